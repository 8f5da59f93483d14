"""What docs/model.md says is so: its examples run, its table is what `describe` finds."""

import re
from pathlib import Path

import pytest
import torch

from ringmoe.cli.info import _amount
from ringmoe.models import PRESETS, describe

PAGE = Path(__file__).parents[2] / "docs" / "model.md"


@pytest.mark.slow
def test_examples_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert [tuple(level.shape) for level in names["pyramids"][1]] == [
        *((1, 32, 16, 32), (1, 64, 8, 16), (1, 128, 4, 8), (1, 256, 2, 4))
    ]
    assert int(names["load"].chosen.sum()) == 2 * 24 * 24
    assert names["encoder"].out_channels == [32, 64, 128, 256]
    assert names["optical"].config.modalities == ("optical",)
    assert names["plan"].parameters == sum(p.numel() for p in names["optical"].parameters())
    assert names["sar"].config.modalities == ("sar_complex",)
    assert not any(torch.isnan(p).any() for p in names["optical"].parameters())


def test_the_table_of_presets():
    text = PAGE.read_text().split("<!-- presets -->")[1].split("<!-- end -->")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")[4:] if line
    ]
    found = {row[0]: row[1:] for row in rows}
    for column, config in enumerate(PRESETS.values()):
        facts = describe(config)
        parameters, flops = facts["parameters"], facts["flops_per_image"]
        expected = {
            "native size, px": str(config.image_size),
            "widths": " ".join(map(str, config.widths)),
            "blocks": " ".join(map(str, config.depths)),
            "parameters": _amount(parameters["total"]),
            "active for a token": _amount(parameters["active"]),
            "one modality alone": _amount(parameters["sub_models"]["optical"]),
            "the same, 1 collaborative expert": _amount(parameters["expert_pruned"]),
            "one FFN per block": _amount(parameters["dense"]),
            "forward, FLOP per image": _amount(flops["total"]),
            "with one FFN per block": _amount(flops["dense"]),
        }
        assert {name: cells[column] for name, cells in found.items()} == expected
