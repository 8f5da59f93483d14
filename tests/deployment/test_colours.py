"""Colours of classes are those that their names say, and differ."""

import itertools

from ringmoe.deployment.colours import class_colours
from ringmoe.simulation.materials import LAND_COVER, LAND_COVER_COLOURS


def test_names_say_colours():
    land, water = class_colours(("land", "Water"))
    assert water[2] > 150 > water[0]  # blue
    assert min(land) > 200  # pale, whichever comes first
    assert class_colours(("water", "land")) == (water, land)
    assert class_colours(("Low_vegetation", "Buildings")) == class_colours(("grass", "built-up"))


def test_the_simulations_classes_look_as_its_masks_do():
    assert class_colours(LAND_COVER) == LAND_COVER_COLOURS


def test_other_names_get_colours_that_differ():
    """Two names of one meaning too: the second is only another class."""
    names = ("water", "river", "wheat", "maize", "trees", "a", "b", "c")
    for one, other in itertools.combinations(class_colours(names), 2):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) >= 40
    assert len(set(class_colours([str(number) for number in range(255)]))) > 250
