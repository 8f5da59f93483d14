"""Values of options against the types that tasks declare."""

from dataclasses import MISSING, fields
from typing import Literal, get_type_hints

import pytest

from ringmoe.tasks import TASKS
from ringmoe.tasks.option_types import fits, words_of


@pytest.mark.parametrize(
    ("value", "type_", "due"),
    [
        (3, int, True),
        (3.0, int, False),
        (True, int, False),
        (3, float, True),
        (3.5, float, True),
        (True, float, False),
        ("3", float, False),
        (True, bool, True),
        (1, bool, False),
        (None, float | None, True),
        ("x", float | None, False),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ((1.0, 2), tuple[float, ...], True),
        ((), tuple[str, ...], True),
        (("a", 1), tuple[str, ...], False),
        (3.0, tuple[float, ...], False),
        ((1, 2, 3), tuple[int, int], False),
        ((1.0,), tuple[float, ...] | None, True),
    ],
)
def test_what_fits(value, type_, due):
    assert fits(value, type_) is due


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_option_has_words_and_its_default_fits(task):
    hints = get_type_hints(task)
    for field in fields(task):
        assert words_of(hints[field.name])
        assert field.default is MISSING or fits(field.default, hints[field.name])
