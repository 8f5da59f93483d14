"""The example of docs/simulation.md runs as it stands, and its facts are the code's."""

import re
from pathlib import Path

import numpy as np

from ringmoe.simulation import KINDS, LAND_COVER
from ringmoe.simulation.materials import INDEX, MATERIALS
from ringmoe.simulation.scattering import TABLE

PAGE = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()


def test_the_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    names: dict = {}
    exec(compile(block, "simulation.md", "exec"), names)
    assert names["rgb"].shape == names["later"].shape == (3, 128, 128)
    assert names["slc"].shape == (4, 128, 128)
    assert np.iscomplexobj(names["slc"])
    assert len(names["video"]) == 8


def test_the_facts_of_the_page():
    for number, name in enumerate(LAND_COVER):
        assert f"{number} {name}" in PAGE
    listed = re.search(r"airfield, farmland.* or village", PAGE)[0]
    assert re.findall(r"[a-z]+", listed.replace(" or ", " ")) == list(KINDS)
    assert f"for {len(MATERIALS)} materials" in PAGE
    wheat = (10 * np.log10(power[INDEX["wheat"]]) for power in (TABLE.vv, TABLE.hv))
    vv, hv = (f"−{-decibel:.1f}" for decibel in wheat)
    assert f"wheat {vv} and {hv} dB" in PAGE.replace("\n", " ")
