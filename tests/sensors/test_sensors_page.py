"""The tables of docs/sensors.md say what the catalogue says.

After a change of the catalogue, `python tests/sensors/test_sensors_page.py` writes them anew.
"""

import math
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pytest

from ringmoe.sensors import Calibration, Channel, Sensor, list_sensors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sensors.md"


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    titles = head.split(" | ")
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def encoding(name: str, calibration: Calibration) -> str:
    scale = f"{calibration.scale:.4g} × " if calibration.scale != 1 else ""
    offset = f" − {-calibration.offset:g}" if calibration.offset else ""
    formula = f"{scale}DN{offset}"
    if calibration.form != "linear":
        formula = {"intensity": "√DN", "decibel": "10^(DN/20)"}[calibration.form]
    return f"`{name}`" if formula == "DN" else f"`{name}`: {formula}"


def sensors_table() -> str:
    return table(
        "Sensor | What it is | Modality | Channels | Encodings, the first is the default | GSD",
        (
            (
                f"`{s.name}`",
                s.title,
                f"`{s.modality}`",
                " ".join(c.name for c in s.channels),
                "; ".join(encoding(*item) for item in s.encodings.items()),
                f"{s.gsd:g} m" if s.gsd else "",
            )
            for s in list_sensors()
        ),
    )


def bands_table() -> str:
    optical = [s for s in list_sensors() if s.channels[0].wavelength_nm]
    return table(
        "Sensor | Band | Key | Common name | Centre, nm | Width, nm | Mean | Std",
        (
            (
                ", ".join(f"`{s.name}`" for s in alike),
                *(c.name, c.key, c.common_name, f"{c.wavelength_nm:g}", f"{c.bandwidth_nm:g}"),
                *(f"{c.mean:g}", f"{c.std:g}"),
            )
            for channels, alike in grouped(optical)
            for c in channels
        ),
    )


def grouped(sensors: list[Sensor]) -> list[tuple[tuple[Channel, ...], list[Sensor]]]:
    return [(channels, list(alike)) for channels, alike in groupby(sensors, lambda s: s.channels)]


def others_table() -> str:
    rows = []
    for sensor in list_sensors():
        if sensor.channels[0].wavelength_nm:
            continue
        constants = groupby(
            sorted(sensor.channels, key=lambda c: (c.mean, c.std), reverse=True),
            key=lambda c: (c.unit, c.valid_range, c.log_floor, c.mean, c.std),
        )
        for (unit, (low, high), floor, mean, std), channels in constants:
            names = " ".join(c.name for c in channels)
            every = len(names.split()) == len(sensor.channels)
            rows.append(
                (
                    f"`{sensor.name}`",
                    "all" if every else names,
                    unit.replace("_", " "),
                    f"{low:g} to {high:g}",
                    f"{floor:g}" if floor else "",
                    f"{mean:g}",
                    f"{std:g}",
                )
            )
    return table("Sensor | Channels | Unit | Range | Log floor | Mean | Std", rows)


def sources_table() -> str:
    return table(
        "Sensor | Bands and calibration | Normalisation",
        ((f"`{s.name}`", s.source, s.normalisation_source) for s in list_sensors()),
    )


def in_step(page: str) -> str:
    """The page with its tables written anew, each between `<!-- name -->` and `<!-- end -->`."""
    tables = {
        "sensors": sensors_table,
        "bands": bands_table,
        "others": others_table,
        "sources": sources_table,
    }
    for name, build in tables.items():
        page, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, build=build: f"{match[1]}\n{build()}\n\n{match[2]}",
            page,
            flags=re.DOTALL,
        )
        assert count == 1, f"the page has {count} tables named {name}"
    return page


def test_the_page_is_in_step_with_the_catalogue():
    page = PAGE.read_text(encoding="utf-8")
    assert page == in_step(page), f"run python {Path(__file__).relative_to(PAGE.parents[1])}"


def test_a_stale_page_is_noticed():
    """A band that moved by a nanometre is a difference."""
    page = PAGE.read_text(encoding="utf-8")
    assert "| 664.6 |" in page
    stale = page.replace("| 664.6 |", "| 665.6 |")
    assert in_step(stale) == page != stale


def test_the_examples_of_the_page_run():
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, names)
    assert [c.key for c in names["planet"].channels] == ["B02", "B03", "B04", "B08"]
    # sigma nought in dB is 20 log10(DN q / 32767) - K: DN of 32767 is q = 3000, 69.54 - 32 dB.
    full_scale = 32767 * names["scene_sensor"].encoding().scale
    assert 20 * math.log10(full_scale) == pytest.approx(37.54, abs=0.005)


if __name__ == "__main__":
    PAGE.write_text(in_step(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
