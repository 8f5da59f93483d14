"""`ringmoe ingest`, as people type it."""

import json
import os
from pathlib import Path

import pytest
import yaml

from ringmoe.archive import Archive, Source
from ringmoe.archive.sources import list_files
from ringmoe.cli import main
from ringmoe.sensors import MODALITIES, get_sensor

CONFIGS = Path(__file__).parents[2] / "configs" / "ingest"


def test_files_and_flags(scenes, tmp_path, capsys):
    root, _ = scenes
    broken, out = tmp_path / "broken.tif", tmp_path / "archive"
    broken.write_text("not an image")
    files = [str(root / "s2.tif"), str(broken)]
    flags = ["--sensor", "sentinel2-l1c", "--out", str(out), "--tile-size", "32"]
    assert main(["ingest", *files, *flags, "--holdout", "0.2"]) == 0
    printed = capsys.readouterr().out
    assert "sentinel2-l1c-uint16-32px" in printed
    assert "1 files read, 1 refused; 10 tiles (0 padded), 0 refused" in printed
    assert f"refused: {broken}: " in printed
    assert Archive.open(out).fingerprint in printed


def test_a_configuration_with_a_root_from_the_environment(scenes, tmp_path, monkeypatch, capsys):
    """Relative paths in the provenance; a flag after the file wins."""
    root, _ = scenes
    config = tmp_path / "config.yaml"
    sources = [
        {"paths": "rgb", "sensor": "rgb-dn8", "per_folder": 2},
        {"paths": ["s2.tif"], "sensor": "sentinel2-l1c", "channels": ["red", "nir"]},
    ]
    config.write_text(
        yaml.safe_dump({"root": "${SCENES_HERE}", "sources": sources, "tile_size": 16})
    )
    words = ["ingest", "--config", str(config), "--tile-size", "32", "--out", str(tmp_path / "a")]
    assert main(words) == 2
    assert "set the environment variable SCENES_HERE" in capsys.readouterr().err
    monkeypatch.setenv("SCENES_HERE", str(root))
    assert main([*words, "--encoding", "dn", "--nodata", "0"]) == 2
    error = capsys.readouterr().err
    assert "--encoding, --nodata: the sources of the configuration are mappings" in error
    assert main(words) == 0
    streams = Archive.open(tmp_path / "a").streams
    assert list(streams) == ["rgb-dn8-uint8-32px", "sentinel2-l1c-B04-B08-uint16-32px"]
    assert set(streams["rgb-dn8-uint8-32px"].table["source"]) == {
        "rgb/scene-0.tif",
        "rgb/scene-1.tif",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.tif", "--sensor", "airsar"], "nowhere.tif: expected a file"),
        (["s2.tif"], "s2.tif: which sensor?"),
        (["s2.tif", "--sensor", "sentinel2"], "unknown sensor 'sentinel2'"),
        (["s2.tif", "--sensor", "sentinel2-l1c", "--holdout", "7"], "holdout must be from 0 to 1"),
        (["slc.tif", "--sensor", "sentinel1-grd"], "no tile of 1 files was let in"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    scenes, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(scenes[0])
    assert main(["ingest", *words, "--out", str(tmp_path / "archive")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "archive" / "index.json").exists()


def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(scenes, tmp_path, capsys):
    """Files may grow to 20 kB, which no shard of 32 px quad-pol complex tiles (33 kB) is under."""
    resource = pytest.importorskip("resource")
    words = ["ingest", str(scenes[0] / "slc.tif"), "--sensor", "airsar", "--tile-size", "32"]
    words += ["--out", str(tmp_path / "archive")]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        assert main(words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err
    assert "shard-00000.bin.partial" in error and "goes on where it stopped" in error
    assert not (tmp_path / "archive" / "index.json").exists()
    assert main(words) == 0
    (stream,) = Archive.open(tmp_path / "archive").streams.values()
    stream.read(range(len(stream)))


def test_the_real_configuration_holds_all_modalities_and_no_test_image(real_data):
    """AID's images 51 to 80 and MSTAR's validation split must never be trained on."""
    config = yaml.safe_load((CONFIGS / "real.yaml").read_text())
    sources = [Source.from_dict(source) for source in config["sources"]]
    files = list_files(sources, real_data, config["holdout"], seed=0)
    found = {get_sensor(file.source.sensor).modality for file in files}
    assert found == set(MODALITIES)
    names = [file.name for file in files]
    aid = [name for name in names if name.startswith("aid/")]
    numbers = {int(Path(name).stem.rpartition("_")[2]) for name in aid}
    assert len(aid) == 30 * 50 and numbers == set(range(1, 51))
    assert sum(name.startswith("mstar/train/") for name in names) == 2747
    assert not any("mstar/val" in name or "instance" in name for name in names)


@pytest.mark.slow
def test_the_real_configuration_runs(real_data, tmp_path, monkeypatch):
    """A few files of each source (no sensor, band or encoding of the configuration is wrong)."""
    config = yaml.safe_load((CONFIGS / "real.yaml").read_text())
    for source in config["sources"]:
        source["per_folder"] = min(source.get("per_folder", 2), 2)
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("RINGMOE_DATA", str(real_data))
    assert main(["ingest", "--config", str(path), "--out", str(tmp_path / "archive")]) == 0
    report = json.loads((tmp_path / "archive" / "report.json").read_text())
    assert not report["refused_files"]
    archive = Archive.open(tmp_path / "archive")
    assert set(archive.modalities) == set(MODALITIES)
    for stream in archive.streams.values():
        stream.read(range(len(stream)))
        for row in stream.statistics:
            normalised = row["normalised"]
            assert abs(normalised["mean"]) < 2 and 0.01 < normalised["std"] < 10, (stream, row)
    assert os.path.getsize(archive.path / "report.json") > 1000
