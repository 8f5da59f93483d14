"""Steps prepared ahead come in order, and an error comes when its step does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmoe.sampling import prepared


@given(st.integers(0, 4), st.integers(1, 3), st.integers(0, 20))
def test_steps_come_in_order(ahead, threads, count):
    made = prepared(lambda step: step * step, range(count), ahead=ahead, threads=threads)
    assert list(made) == [step * step for step in range(count)]


def test_an_error_waits_for_its_step():
    """Step 3 fails; steps 0 to 2 are had, though it was tried before they were asked for."""

    def make(step):
        if step == 3:
            raise ValueError("step 3")
        return step

    steps = prepared(make, range(10), ahead=5)
    assert [next(steps) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="step 3"):
        next(steps)


def test_endless_steps_are_made_only_as_far_as_asked():
    """Two ahead: after the first is taken, no more than steps 0 to 2 were made."""
    asked = []

    def count():
        step = 0
        while True:
            asked.append(step)
            yield step
            step += 1

    steps = prepared(lambda step: step, count(), ahead=2)
    assert next(steps) == 0
    assert asked == [0, 1, 2]
    steps.close()
