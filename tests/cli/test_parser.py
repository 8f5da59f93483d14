"""A verb's signature is its command line, and what is wrong with one is said in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import split
from typing import Any, Literal

import pytest

from ringmoe.cli.parser import call
from ringmoe.errors import ConfigError

received: dict[str, Any] = {}


@dataclass(frozen=True)
class Settings:
    """What a run needs.

    Attributes:
        archive: Folder of the tiles.
        steps: Optimiser steps.
        rate: Learning rate per 256 images.
        clip: Largest norm of the gradient.
        targets: What each modality reconstructs.
        modalities: Which to train on.
    """

    archive: Path
    steps: int = 100
    rate: float = 1e-3
    clip: float | None = 5.0
    targets: dict[str, str] = field(default_factory=dict)
    modalities: tuple[str, ...] = ("optical", "sar_complex")


def train(config: Settings, *, resume: bool = False) -> None:
    """Train a model."""
    received.update(settings=config, resume=resume)


@dataclass(kw_only=True)
class Files:
    """Where data lie.

    Attributes:
        path: A folder.
        tile_size: Edge in pixels.
        sensors: Image name to sensor.
    """

    path: Path
    tile_size: int = 0
    sensors: dict[str, str] = field(default_factory=dict)


def adapt(task: str, *, config: Settings, data: Files) -> None:
    """Adapt a model."""
    received.update(task=task, config=config, data=data)


def gather(
    sources: list[Path],
    *,
    sensor: str,
    tile_size: int = 192,
    crop: Literal["cut", "resized"] = "cut",
    bands: list[str] | None = None,
    check: bool = True,
) -> None:
    """Gather tiles of a product.

    They are cut in rows.

    Args:
        sources: Files or folders.
        sensor: Name in the catalogue.
        tile_size: Edge in pixels, 100 % of it.
        crop: How.
        bands: What each band of the file is.
        check: Look at the values.
    """
    received.update(locals())


@pytest.fixture(autouse=True)
def _forget():
    received.clear()


def complaint(function, *words):
    with pytest.raises(ConfigError) as caught:
        call(function, [str(word) for word in words])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_places_flags_lists_and_switches():
    call(gather, split("a.tif b.tif --sensor landsat8 --bands red nir --no-check --tile_size=96"))
    assert received == {
        "sources": [Path("a.tif"), Path("b.tif")],
        "sensor": "landsat8",
        "tile_size": 96,
        "crop": "cut",
        "bands": ["red", "nir"],
        "check": False,
    }


def test_a_dataclass_gives_one_flag_a_field():
    call(train, split("--archive tiles --steps 7 --targets.optical pixels --clip null --resume"))
    assert received["resume"] is True
    assert received["settings"] == Settings(
        Path("tiles"), steps=7, clip=None, targets={"optical": "pixels"}
    )


def test_flags_win_over_the_configuration_and_it_over_defaults(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        "archive: tiles\nsteps: 5\nrate: 3e-4\nresume: true\n"
        "modalities: [multispectral]\ntargets: {optical: pixels}\n"
    )
    call(train, ["--config", str(config), "--steps", "9", "--targets.sar_complex", "power"])
    assert received["resume"] is True
    assert received["settings"] == Settings(
        Path("tiles"),
        steps=9,
        rate=3e-4,
        targets={"optical": "pixels", "sar_complex": "power"},
        modalities=("multispectral",),
    )


def test_what_print_config_writes_is_a_configuration(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        call(train, ["--archive", "tiles", "--steps", "3", "--print-config"])
    assert stop.value.code == 0
    config = tmp_path / "run.yaml"
    config.write_text(capsys.readouterr().out)
    call(train, ["--config", str(config)])
    assert received["settings"] == Settings(Path("tiles"), steps=3)


def test_defaults_are_not_shared_between_calls():
    call(train, ["--archive", "a", "--modalities", "optical", "--targets.optical", "pixels"])
    call(train, ["--archive", "a"])
    assert received["settings"] == Settings(Path("a"))


def test_help_explains_each_argument_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        call(gather, ["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: ringmoe gather SOURCE [SOURCE ...] --sensor SENSOR [OPTION ...]" in text
    assert "Gather tiles of a product. They are cut in rows." in text
    assert "--sensor SENSOR Name in the catalogue. (required)" in text
    assert "--tile-size N Edge in pixels, 100 % of it. (default: 192)" in text
    assert "--crop {cut,resized} How. (default: cut)" in text
    assert "--check, --no-check Look at the values. (default: True)" in text
    with pytest.raises(SystemExit):
        call(train, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--rate X Learning rate per 256 images. (default: 0.001)" in text
    assert "Which to train on. (default: optical sar_complex)" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "missing SOURCE, --sensor (see --help)"),
        ("a --sensor b --tile-sise 3", "unknown argument --tile-sise: did you mean '--tile-size'?"),
        ("a --sensor b --tile-size x", "--tile-size: expected a whole number, got 'x'"),
        ("a --sensor b --crop x", "--crop: expected one of cut, resized, got 'x'"),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(words, message):
    assert complaint(gather, *words.split()).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps: 3", "unknown key 'stepps': did you mean 'steps'?"),
        ("colour: 3", "unknown key 'colour': choose from archive, steps, rate, clip"),
        ("steps: many", "steps: expected a whole number, got 'many'"),
        ("clip: tight", "clip: expected a number or null, got 'tight'"),
        ("modalities: optical", "modalities: expected a list, each item a text, got 'optical': "),
        ("modalities: a, b", "modalities: expected a list, each item a text, got 'a, b': write '["),
        ("targets: {optical: [1]}", "targets: expected `key: value` pairs, each value a text"),
        ("- steps", "expected `key: value` lines, found list"),
        ("", "expected `key: value` lines, found NoneType"),
    ],
)
def test_a_wrong_configuration_is_told_with_file_and_key(tmp_path, text, message):
    config = tmp_path / "run.yaml"
    config.write_text(text)
    assert complaint(train, "--archive", "a", "--config", config).startswith(f"{config}: {message}")


def test_a_configuration_that_is_not_yaml_is_told_with_its_line(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("archive: tiles\nsteps: [1\n")
    assert complaint(train, "--config", config).startswith(f"{config}, line 3: not valid YAML")
    config.write_bytes(b"\xff\xfe\x00\x01")
    assert complaint(train, f"--config={config}") == f"{config}: not a YAML text file"


def test_a_configuration_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        call(train, ["--config", str(tmp_path / "none.yaml")])


def test_a_dataclass_of_another_name_is_a_section(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("archive: tiles\ndata:\n  path: images\n  tile_size: 64\n")
    call(adapt, split(f"water --config {file} --data.tile_size 96 --data.sensors.optical rgb"))
    assert received["config"] == Settings(Path("tiles"))
    assert received["data"] == Files(path=Path("images"), tile_size=96, sensors={"optical": "rgb"})
    assert received["task"] == "water"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  pth: images\n", r"a.yaml: unknown key 'data.pth': did you mean 'data.path'\?"),
        ("  path: i\n  tile_size: big\n", "a.yaml: data.tile_size: expected a whole number"),
        ("  tile_size: 64\n", "missing --data.path"),
    ],
)
def test_what_is_wrong_in_a_section_is_named(tmp_path, text, message):
    file = tmp_path / "a.yaml"
    file.write_text("archive: tiles\ndata:\n" + text)
    with pytest.raises(ConfigError, match=message):
        call(adapt, split(f"water --config {file}"))
