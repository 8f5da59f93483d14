"""Cells of measurements: written once, never mixed up with those of other settings."""

import json

import pytest
from benchmarks.cells import fill_cell

from ringmoe.errors import ConfigError


def test_a_cell_is_measured_once(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"accuracy": 0.5}

    path = tmp_path / "task" / "start-seed0.json"
    for _ in range(2):
        fill_cell(path, {"seed": 0}, {"sizes": (1, 2)}, measure)
    cell = json.loads(path.read_text())
    assert len(calls) == 1
    assert (cell["seed"], cell["result"], cell["settings"]) == (
        0,
        {"accuracy": 0.5},
        {"sizes": [1, 2]},
    )
    assert {"date", "packages", "processor"} <= set(cell["environment"])
    assert cell["command"].startswith("python")


def test_a_cell_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "cell.json"
    fill_cell(path, {}, {"steps": 1}, dict)
    with pytest.raises(ConfigError, match="other settings"):
        fill_cell(path, {}, {"steps": 2}, dict)


def test_what_fails_leaves_no_cell(tmp_path):
    def fail():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError):
        fill_cell(tmp_path / "cell.json", {}, {}, fail)
    assert not list(tmp_path.iterdir())
