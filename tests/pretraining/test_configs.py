"""Configuration files: the project's own are read, mistakes are named in one line."""

import importlib
from pathlib import Path

import pytest

from ringmoe.cli import main
from ringmoe.pretraining import PretrainConfig, RunResult

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "pretrain"


@pytest.fixture
def calls(monkeypatch) -> list[tuple[PretrainConfig, bool]]:
    """What the verb would have run."""
    found: list[tuple[PretrainConfig, bool]] = []

    def record(config: PretrainConfig, *, resume: bool, progress: bool) -> RunResult:
        config.check()
        found.append((config, resume))
        return RunResult(config.out, config.out / "model", config.out / "metrics.jsonl")

    monkeypatch.setattr(importlib.import_module("ringmoe.cli.pretrain"), "run_pretraining", record)
    return found


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_configurations_are_read(path, calls):
    assert main(["pretrain", "--config", str(path)]) == 0
    ((config, resume),) = calls
    assert config.archive.parts[0] == config.out.parts[0] == "runs"
    assert not resume


def test_both_nano_recipes_are_what_they_are_said_to_be():
    assert {"real_nano", "simulated_nano"} <= {path.stem for path in CONFIGS.glob("*.yaml")}


def test_flags_win_over_the_file(tmp_path, calls):
    path = tmp_path / "run.yaml"
    path.write_text(
        "archive: a\nout: b\nlearning_rate: 1e-4\nshares: {optical: 7, sar_complex: 1}\n"
        "overrides: {gate: unit, depths: [1, 1, 1, 1]}\ntargets: {sar_complex: power}\n"
    )
    words = [
        "--out",
        str(tmp_path / "c"),
        "--steps",
        "7",
        "--resume",
        "--overrides.gate",
        "softmax",
    ]
    assert main(["pretrain", "--config", str(path), *words]) == 0
    ((config, resume),) = calls
    assert (config.archive, config.out, config.steps, resume) == (
        Path("a"), tmp_path / "c", 7, True,
    )  # fmt: skip
    assert config.learning_rate == 1e-4
    assert config.shares == {"optical": 7.0, "sar_complex": 1.0}
    assert config.overrides == {"gate": "softmax", "depths": [1, 1, 1, 1]}
    assert config.targets == {"sar_complex": "power"}


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("learning_rat: 1e-3", ("run.yaml", "learning_rat", "learning_rate")),
        ("steps: many", ("run.yaml", "steps", "many")),
        ("precision: float16", ("run.yaml", "precision", "bfloat16")),
        ("mask_ratio: 1.5", ("mask_ratio", "under 1", "1.5")),
        ("targets: {sar_complex: pwer}", ("sar_complex", "pwer", "log-power")),
        ("overrides: {embed_dims: 8}", ("embed_dims", "embed_dim")),
    ],
)
def test_mistakes_are_one_line(tmp_path, calls, capsys, line, parts):
    path = tmp_path / "run.yaml"
    path.write_text(f"archive: a\nout: b\n{line}\n")
    assert main(["pretrain", "--config", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert all(part in error for part in parts), error
    assert not calls
