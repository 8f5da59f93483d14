"""Models in several threads: side by side, results in order, torch's own threads as before."""

import time
from threading import Barrier

import pytest
import torch

from ringmoe.deployment.pipeline import forward_threads, side_by_side
from ringmoe.errors import ConfigError


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_items_are_worked_on_at_once_and_come_in_their_order():
    """The barrier opens for two at once; the second is done first."""
    meeting = Barrier(2, timeout=30)

    def work(number):
        meeting.wait()
        time.sleep(0.02 * (number % 2 == 0))
        return number, torch.get_num_threads()

    assert list(side_by_side(work, range(6), 2)) == [(number, 2) for number in range(6)]
    assert torch.get_num_threads() == 4


def test_one_thread_is_the_callers():
    found = side_by_side(lambda _: torch.get_num_threads(), range(2), 1)
    assert list(found) == [4, 4]


def test_no_thread_is_refused():
    with pytest.raises(ConfigError, match="threads must be 1 or more, got 0"):
        next(side_by_side(str, range(2), 0))


def test_items_are_taken_as_results_are():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = side_by_side(lambda number: number, items(), 2)
    assert next(results) == 0
    assert len(taken) == 3
    results.close()
    assert len(taken) == 3 and torch.get_num_threads() == 4


def test_an_error_comes_in_its_items_turn_and_ends_the_rest():
    done = []

    def work(number):
        if number == 2:
            raise ValueError("the third")
        done.append(number)
        return number

    results = side_by_side(work, range(100), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
    assert len(done) < 7 and torch.get_num_threads() == 4


def test_a_gpu_is_called_by_one_thread():
    assert forward_threads("cuda") == 1
    assert forward_threads("cpu") == 4
    torch.set_num_threads(1)
    assert forward_threads("cpu") == 1
