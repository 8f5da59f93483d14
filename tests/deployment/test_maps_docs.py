"""The example of docs/maps.md runs as it stands, and gives what its comments say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

PAGE = Path(__file__).parents[2] / "docs" / "maps.md"


def test_the_example_of_the_page(tmp_path, monkeypatch):
    """The field is 100 x 200 pixels of 100 m2."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names: dict = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert names["result"].valid_pixels == 138_000
    with rasterio.open("map.tif") as dataset:
        found = dataset.read(1)
    expected = np.zeros((300, 500), np.uint8)
    expected[100:200, 150:350] = 1
    expected[:, :40] = 255
    assert (found == expected).all()
    features = json.loads(Path("areas.geojson").read_text())["features"]
    assert len(features) == names["result"].polygon_count == 2
    areas = {f["properties"]["class"]: f["properties"]["area_m2"] for f in features}
    ground = 0.9996**-2  # of a square metre of UTM near its central meridian
    due = {"bare": 11_800_000 * ground, "vegetation": 2_000_000 * ground}
    assert areas == pytest.approx(due, rel=1e-6)
    assert Path("map-probabilities.tif").exists() and Path("map.tif.aux.xml").exists()
