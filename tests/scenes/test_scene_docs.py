"""The examples of docs/scenes.md run as they stand, and give what their comments say."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "scenes.md"


def test_examples_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert not names["part"].valid[:, :20].any()
    assert names["part"].valid[:, 20:].all()
    assert (names["part"].transform.c, names["part"].transform.f) == (500_000, 4_999_000)
    assert [c.name for c in names["chip"].channels] == ["VH", "VV"]
    np.testing.assert_allclose(names["span"].read().total_power(), 1.2, rtol=1e-6)
    assert names["looks"].read().values.shape == (2, 50, 60)
    printed = capsys.readouterr().out
    assert printed.startswith("product.tif: channel B01 has values from")
    assert "encoding" in printed
