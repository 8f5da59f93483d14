"""The demonstration, as short as it can be: every part is real, only smaller."""

import re

import pytest
import rasterio
from sklearn.metrics import jaccard_score

from ringmoe.cli import demo as demo_module
from ringmoe.cli.demo import demo
from ringmoe.errors import ConfigError
from ringmoe.models import load_model
from ringmoe.simulation import write_simulation


@pytest.mark.slow
def test_demo_ends_in_a_report_of_what_it_did(tmp_path, capsys):
    """A few steps give a loadable model and a page with all four modalities' pictures."""
    demo(out=tmp_path / "demo", scenes=8, steps=4)
    assert "report.html is ready" in capsys.readouterr().out
    model = load_model(tmp_path / "demo" / "pretraining" / "model")
    html = (tmp_path / "demo" / "report.html").read_text()
    # 3 scenes x 4 modalities, 4 modalities x 2 tiles x 4 pictures, and a map beside its truth
    assert html.count('<img src="data:image/png') == 3 * 4 + 4 * 2 * 4 + 3
    miou = float(re.search(r"mean IoU ([\d.]+) %", html)[1])
    mapped, truth = (
        rasterio.open(tmp_path / "demo" / name).read(1)
        for name in ("land-cover.tif", "map-scene/scene-0000/landcover.tif")
    )
    measured = jaccard_score(truth.ravel(), mapped.ravel(), average="macro", zero_division=0)
    assert miou == pytest.approx(100 * measured, abs=0.05)
    for title in ("Optical", "Multispectral", "SAR complex", "SAR amplitude"):
        assert title in html
    sub_model = load_model(tmp_path / "demo" / "pruned" / "submodel")
    assert sub_model.config.modalities == ("sar_amplitude",)
    kept = sum(p.numel() for p in sub_model.parameters())
    row = re.search(r"its sub-model</td><td>([\d.]+) M</td>.*?<td>([\d.]+) %</td>", html)
    assert float(row[1]) == pytest.approx(kept / 1e6, abs=0.005)
    assert row[2] == "100.0"  # a sub-model says what the full model says
    shown = re.search(r"([\d.]+) M</dd>", html)
    parameters = sum(p.numel() for p in model.parameters())
    assert float(shown[1]) == pytest.approx(parameters / 1e6, abs=0.05)


@pytest.mark.slow
def test_demo_goes_on_where_it_stopped(tmp_path, capsys):
    """A finished demonstration only writes its report again."""
    demo(out=tmp_path / "demo", scenes=8, steps=2)
    weights = (tmp_path / "demo" / "pretraining" / "model" / "model.safetensors").read_bytes()
    (tmp_path / "demo" / "report.html").unlink()
    demo(out=tmp_path / "demo", scenes=8, steps=2)
    assert (tmp_path / "demo" / "report.html").exists()
    after = (tmp_path / "demo" / "pretraining" / "model" / "model.safetensors").read_bytes()
    assert weights == after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenes": 2}, "scenes was 1, now it is 2"),
        ({"size": 64}, "size was 32, now it is 64"),
        ({"seed": 7}, "seed was 3, now it is 7"),
        ({"kinds": ["river"]}, "its scenes are of other kinds"),
    ],
)
def test_scenes_of_other_arguments_are_not_taken_for_these(change, message, tmp_path):
    before = {"scenes": 1, "size": 32, "seed": 3, "kinds": ["harbour"]}
    manifest = write_simulation(tmp_path, **before)
    written = manifest.stat().st_mtime_ns
    demo_module._simulate(tmp_path, **before)
    assert manifest.stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match=f"simulation.json: {message}: take another --out"):
        demo_module._simulate(tmp_path, **(before | change))


def test_a_damaged_list_of_scenes_is_refused(tmp_path):
    (tmp_path / "simulation.json").write_text("{")
    with pytest.raises(ConfigError, match=r"simulation.json: not what `ringmoe simulate` writes"):
        demo_module._simulate(tmp_path, 1, 32, 3)
