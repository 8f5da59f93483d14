"""The report is one file that asks for nothing, and shows what it was given."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from ringmoe.errors import WriteError
from ringmoe.reports import (
    DemoResults,
    ExpertUse,
    MapView,
    PrunedModel,
    ReconstructionView,
    charts,
    pictures,
    write_demo_report,
)
from ringmoe.sensors import MODALITIES

pytestmark = pytest.mark.slow  # some seconds in all


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    mask = np.zeros((96, 96), bool)
    mask[:48] = True
    views = [
        ReconstructionView(
            modality,
            rng.integers(0, 255, (96, 96, 3), dtype=np.uint8),
            mask,
            rng.normal(size=(1, 96, 96)),
            rng.normal(size=(1, 96, 96)),
            ("power",),
            "log-power",
        )
        for modality in MODALITIES
    ]
    shares = {m: np.full((10, 8), 0.25) for m in MODALITIES}
    curve = (list(range(200)), np.linspace(1, 0.4, 200) + 0.05 * rng.normal(size=200))
    return DemoResults(
        scenes=[{m: rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for m in MODALITIES}],
        reconstructions=views,
        losses=dict.fromkeys(MODALITIES, curve),
        held_out_loss=dict.fromkeys(MODALITIES, (1.0, 0.75)),
        experts=ExpertUse(shares, specialized=4),
        probe_before=dict.fromkeys(MODALITIES, 0.5),
        probe_after=dict.fromkeys(MODALITIES, 0.8125),
        probe_chance=0.3,
        pruned={
            "optical": [PrunedModel("the <full> model", 36_000_000, 144_000_000, 10**9, 1.0, 0.625)]
        },
        figures=[("4.2 M", "parameters")],
        details=[("optimiser", "AdamW <fused>")],
    )


@pytest.mark.slow
def test_report_is_self_contained(results, tmp_path):
    """No address is loaded: every `src` is inside the file, and there is no script."""
    html = write_demo_report(results, tmp_path / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert "<script" not in html
    assert "url(http" not in html and "@import" not in html


def test_report_shows_figures_and_escapes_text(results, tmp_path):
    html = write_demo_report(results, tmp_path / "report.html").read_text()
    assert "4.2 M" in html
    assert "-25 %" in html  # the held-out loss fell from 1.0 to 0.75
    assert ">81.2<" in html  # the probe's accuracy is written on its bar
    assert "AdamW &lt;fused&gt;" in html


def test_pictures_decode_to_what_was_given(results):
    given = results.scenes[0]["optical"]
    encoded = pictures.png(given).partition(",")[2]
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    np.testing.assert_array_equal(decoded, given)


def test_pauli_colours_name_the_scattering():
    """A dihedral (HH = -VV) is red, a trihedral (HH = VV) blue, a rotated dihedral (HV) green."""
    canonical = {0: (1, 0, 0, -1), 2: (1, 0, 0, 1), 1: (0, 1, 1, 0)}
    for brightest, scattering in canonical.items():
        values = np.full((4, 8, 8), 1e-3, np.complex64)
        values[:, :4] = np.array(scattering)[:, None, None] + 1e-3
        picture = pictures.pauli(values, ("HH", "HV", "VH", "VV"))
        assert picture[0, 0].argmax() == brightest


def test_smooth_is_the_running_mean():
    """Of 80 values the window is 2 * 2 + 1 = 5 wide; a line stays a line inside."""
    line = np.arange(80.0)
    np.testing.assert_allclose(charts.smooth(line)[2:-2], line[2:-2])
    assert charts.smooth(line)[0] == pytest.approx((0 + 1 + 2) / 3)


@pytest.mark.slow
def test_unwritable_report_is_one_line(results, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(WriteError, match=r"cannot write .*report\.html"):
        write_demo_report(results, blocker / "report.html")


@pytest.mark.slow
def test_report_says_what_a_pruned_model_is(results, tmp_path):
    """In millions, megabytes, 10^9 operations and per cent."""
    html = write_demo_report(results, tmp_path / "report.html").read_text()
    cells = ("the &lt;full&gt; model", "36.00 M", "144.0 MB", "1.00 GFLOP", "100.0 %", "62.5 %")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in html


def test_report_shows_the_map_with_its_legend(results, tmp_path):
    """Three pictures more, the colours of the classes, the figures in percent."""
    without = write_demo_report(results, tmp_path / "without.html").read_text()
    picture = np.zeros((8, 8, 3), np.uint8)
    view = MapView(picture, picture, picture, [("wat<er", (52, 116, 201))], 0.4375, 0.625, 8, 12.4)
    html = write_demo_report(
        dataclasses.replace(results, map=view), tmp_path / "r.html"
    ).read_text()
    assert html.count("<img ") == without.count("<img ") + 3
    assert "rgb(52, 116, 201)" in html and "wat&lt;er" in html
    assert "mean IoU 43.8 %, 62.5 % of the pixels right, 12 tiles a second" in html
