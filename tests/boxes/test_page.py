"""What docs/boxes.md shows is so."""

import math
import re
from pathlib import Path

from ringmoe import boxes

PAGE = (Path(__file__).parents[2] / "docs" / "boxes.md").read_text()


def test_the_example_runs():
    """With the shapes that its comments promise; the second ship is the first one's duplicate."""
    scope: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], scope)
    assert scope["kept"].tolist() == [0, 2]
    assert scope["overlaps"].shape == (3, 3) and scope["loss"].shape == (3,)
    assert scope["features"].shape == (3, 64, 7, 7)


def test_every_convention_is_in_the_table():
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for name, convention in boxes.CONVENTIONS.items():
        (row, *_) = [row for row in rows if f'"{name}"' in row]
        assert ("degrees" in row) == convention.degrees, row
        assert ("counter-clockwise" not in row) == convention.clockwise, row
        if convention.begin == -math.pi / 2:
            assert "[-π/2, π/2)" in row
