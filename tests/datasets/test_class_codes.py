"""Codes in masks to classes, one or several codes a class."""

import numpy as np
import pytest

from ringmoe.datasets import IGNORED
from ringmoe.datasets.class_codes import ClassCodes
from ringmoe.errors import ConfigError, DatasetError


def indices(codes: ClassCodes, mask: list[list[int]]) -> list[list[int]]:
    array = np.array(mask)
    return codes.to_indices(array, np.ones(array.shape, bool), "mask.tif").tolist()


def test_several_codes_are_one_class():
    codes = ClassCodes.parse({"land": [1, 2, 3], "water": 0}, ignore=[9])
    assert indices(codes, [[0, 1, 2], [3, 9, 0]]) == [[1, 0, 0], [0, IGNORED, 1]]


def test_colours_can_be_merged_too():
    codes = ClassCodes.parse({"road": ["#ffffff", "#0000ff"], "else": "#000000"})
    assert indices(codes, [[0xFFFFFF, 0x0000FF, 0]]) == [[0, 0, 1]]


def test_a_code_that_is_no_class_is_told():
    with pytest.raises(DatasetError, match=r"holds 7, which is no class: expected 1, 2, 0 \(land"):
        indices(ClassCodes.parse({"land": [1, 2], "water": 0}), [[7, 0]])


@pytest.mark.parametrize(
    "classes", [{"land": [1, 2], "water": 2}, {"land": [], "water": 0}, {"land": [1, "#000000"]}]
)
def test_codes_that_cannot_be_told_apart(classes):
    with pytest.raises(ConfigError, match="classes"):
        ClassCodes.parse(classes)


def test_a_code_is_a_class_or_ignored():
    with pytest.raises(ConfigError, match="classes, ignore: 0 is a class and ignored"):
        ClassCodes.parse({"bare": 0, "water": [1, 2]}, [0, 9])
