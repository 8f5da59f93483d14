"""The example of docs/archive.md runs as it stands, and gives what its comments say."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "archive.md"


def test_example_of_the_page(tmp_path, monkeypatch):
    """Two scenes of 256 x 400 to train on: 2 rows, 4 columns (0, 128, 256, 272) of 128 px tiles."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names: dict = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert names["report"].tiles == {"train": 16, "heldout": 8, "padded": 0}
    (observation,) = names["observations"]
    assert observation.images.shape == (8, 12, 96, 96)
