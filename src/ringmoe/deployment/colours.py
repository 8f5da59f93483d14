"""Colours of classes on a map: those that a reader expects, where the name tells."""

from __future__ import annotations

import colorsys
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from ringmoe.errors import ConfigError

Colour = tuple[int, int, int]

_WATER, _TREES, _FARMED, _GRASS = (52, 116, 201), (44, 120, 62), (232, 197, 82), (163, 206, 110)
_BARE, _BUILT, _PAVED = (176, 146, 113), (205, 83, 76), (110, 110, 118)
_GROUND, _CHANGED = (222, 217, 205), (214, 39, 40)

# What maps of land cover, floods and changes call their classes, singular and lower case.
_KNOWN: dict[str, Colour] = {
    **dict.fromkeys(("water", "permanent water", "flood", "flooded", "river", "sea"), _WATER),
    **dict.fromkeys(("forest", "tree", "tree cover", "wood", "woodland"), _TREES),
    **dict.fromkeys(("crop", "cropland", "agriculture", "agricultural", "farmland"), _FARMED),
    **dict.fromkeys(("grass", "grassland", "meadow", "low vegetation", "vegetation"), _GRASS),
    **dict.fromkeys(("bare", "barren", "bare soil", "bare land", "soil", "sand"), _BARE),
    **dict.fromkeys(("built up", "building", "urban", "settlement"), _BUILT),
    **dict.fromkeys(("road", "impervious surface", "pavement"), _PAVED),
    **dict.fromkeys(("land", "background", "other", "dry", "unchanged", "no change"), _GROUND),
    **dict.fromkeys(("change", "changed"), _CHANGED),
    **dict.fromkeys(("snow", "ice", "snow and ice"), (240, 248, 255)),
    **dict.fromkeys(("shrub", "shrubland"), (139, 160, 60)),
    "wetland": (70, 150, 150),
}
_APART = 60  # of two colours, the sum of their channels' differences at least


def class_colours(classes: Sequence[str]) -> tuple[Colour, ...]:
    """A colour for each class: water blue, woods green, what a name says; the others differ.

    Args:
        classes: Their names; case, hyphens and a plural's "s" do not count.

    Returns:
        Red, green and blue of each, 0 to 255.
    """
    known: dict[int, Colour] = {}
    for index, name in enumerate(classes):
        colour = _expected(name)
        if colour is not None and colour not in known.values():
            known[index] = colour
    others = (c for c in _different() if all(_apart(c, k) >= _APART for k in known.values()))
    return tuple(known[i] if i in known else next(others) for i in range(len(classes)))


def with_colours(classes: Sequence[str], given: Mapping[str, str]) -> tuple[Colour, ...]:
    """The usual colours, but for those that are given.

    Args:
        classes: Their names.
        given: Class name to "#rrggbb".

    Raises:
        ConfigError: A name is no class, or a colour is not written so.
    """
    colours = dict(zip(classes, class_colours(classes), strict=True))
    for name, text in given.items():
        if name not in colours:
            raise ConfigError(f"colours: expected a class of {', '.join(classes)}, got {name!r}")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            raise ConfigError(f'colours: expected "#rrggbb" for {name}, got {text!r}')
        red, green, blue = bytes.fromhex(text[1:])
        colours[name] = red, green, blue
    return tuple(colours.values())


def _expected(name: str) -> Colour | None:
    plain = re.sub(r"[\s_-]+", " ", name.strip().lower())
    return _KNOWN.get(plain) or _KNOWN.get(plain.removesuffix("s"))


def _different() -> Iterator[Colour]:
    """Hues a golden section apart, in turn lighter and darker."""
    for i in itertools.count():
        hue, value = (0.6 + i * 0.618034) % 1, (0.95, 0.75, 0.55)[i % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, value)
        yield round(255 * red), round(255 * green), round(255 * blue)


def _apart(one: Colour, other: Colour) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))
