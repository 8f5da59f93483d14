"""The example of docs/objects.md runs as it stands, and gives what its comments say."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "objects.md"


def test_the_example_of_the_page(tmp_path, monkeypatch):
    """Ships of 40 x 10 pixels of 2 m, near UTM's central meridian: 80 and 20 m over 0.9996."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names: dict = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert names["result"].counts == {"ship": 2}
    features = json.loads(Path("ships.geojson").read_text())["features"]
    found = sorted(tuple(f["properties"][k] for k in ("column", "row")) for f in features)
    assert found == [(35, 60), (140, 100)]
    for feature in features:
        about = feature["properties"]
        assert about["length_m"] == pytest.approx(80 / 0.9996, rel=1e-5)
        assert about["width_m"] == pytest.approx(20 / 0.9996, rel=1e-5)
