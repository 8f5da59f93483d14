"""Bad input through the command line: the table of docs/errors.md, row by row.

Single use: exit code 2 and one line on standard error that names the file and what to do. In bulk:
what is bad is skipped, counted and listed, and what is good is there as if it had been alone.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio

import ringmoe
from ringmoe.cli import main
from ringmoe.errors import CheckpointError

SIZE = 32
S2 = ("sentinel2-l1c", 13, "uint16")
RGB = ("rgb-dn8", 3, "uint8")
SLC = ("airsar", 4, "complex64")


def values(kind, size=SIZE):
    """What such a file holds when all is well, drawn anew for each size."""
    _, bands, dtype = kind
    rng = np.random.default_rng(size)
    if dtype == "complex64":
        parts = rng.normal(0, 0.1, (2, bands, size, size))
        return (parts[0] + 1j * parts[1]).astype(dtype)
    return rng.integers(100, 4000 if dtype == "uint16" else 250, (bands, size, size), dtype=dtype)


def write(path, data, **profile):
    """A GeoTIFF written by rasterio alone, with a CRS unless `crs=None`."""
    georeference = {"crs": 32631, "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    profile = {**georeference, **profile}
    if profile["crs"] is None:
        del profile["transform"]
    count, height, width = data.shape
    options = {"driver": "GTiff", "count": count, "height": height, "width": width}
    with warnings.catch_warnings():  # rasterio's, that a file without CRS has none
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", dtype=data.dtype, **options, **profile) as file:
            file.write(data)


def truncated(path, data):
    write(path, data)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def with_pixel(value):
    """One pixel of every band set to a value that only floating point can hold."""

    def write_it(path, data):
        data = data.astype(np.float32)
        data[:, 5, 5] = value
        write(path, data)

    return write_it


@dataclass(frozen=True)
class Case:
    """A bad file, how it is declared, and what the message must say."""

    name: str
    kind: tuple[str, int, str]
    write: Callable[[Path, np.ndarray], None]
    message: str
    flags: tuple[str, ...] = ()


REFUSED = [
    Case("truncated", S2, truncated, "cut short|truncated|cannot be read|damaged"),
    Case("zero bytes", S2, lambda path, data: path.touch(), "empty"),
    Case("text", S2, lambda path, data: path.write_text("hello"), "no reader knows this format"),
    Case("missing band", S2, lambda path, data: write(path, data[:4]), "4 bands"),
    Case(
        "wrong dtype",
        RGB,
        lambda path, data: write(path, data.astype(np.complex64)),
        "complex",
    ),
    Case("all nodata", S2, lambda path, data: write(path, 0 * data, nodata=0), "0% .*data"),
    Case("all NaN", S2, lambda path, data: with_pixel(0)(path, data * np.nan), "data"),
    Case("infinite", S2, with_pixel(np.inf), "infinite"),
    Case("constant", S2, lambda path, data: write(path, 0 * data + 700), "700"),
    Case(
        "negative reflectance",
        S2,
        lambda path, data: write(path, -5.0 * data.astype(np.float32)),
        "reflectance",
    ),
    Case("real for complex", SLC, lambda path, data: write(path, abs(data)), "complex|phase"),
]


def ids(case):
    return case.name.replace(" ", "-")


def ingest(folder, kind, capsys, *flags, out="archive"):
    """Run `ringmoe ingest` on all TIFFs of a folder; exit code, what it printed, its report."""
    words = [str(folder / "*.tif"), "--sensor", kind[0], "--out", str(folder / out)]
    code = main(["ingest", *words, "--tile-size", str(SIZE), *flags])
    captured = capsys.readouterr()
    report = folder / out / "report.json"
    return code, captured, json.loads(report.read_text()) if report.exists() else {}


def tiles_of(path):
    from ringmoe.archive import Archive

    (stream,) = Archive.open(path).streams.values()
    return stream.read(range(len(stream)))


def assert_one_line(captured, *parts):
    """`captured`: of capsys, or of a process."""
    line = (captured.err if hasattr(captured, "err") else captured.stderr).strip()
    assert "\n" not in line and "Traceback" not in line
    assert re.match(r"ringmoe \w+: error: ", line)
    for part in parts:
        assert re.search(part, line), (part, line)


@pytest.mark.parametrize("case", REFUSED, ids=ids)
def test_alone_a_bad_file_is_a_one_line_error(case, tmp_path, capsys):
    case.write(tmp_path / "bad.tif", values(case.kind))
    code, captured, _ = ingest(tmp_path, case.kind, capsys, *case.flags)
    assert code == 2
    assert_one_line(captured, r"bad\.tif", case.message)
    assert main(["pretrain", "--archive", str(tmp_path / "archive"), "--out", "runs/never"]) == 2
    assert_one_line(capsys.readouterr(), "archive")


@pytest.mark.parametrize("case", REFUSED, ids=ids)
def test_among_others_a_bad_file_is_skipped_counted_and_listed(case, tmp_path, capsys):
    good = values(case.kind, SIZE * 2)
    write(tmp_path / "good.tif", good)
    case.write(tmp_path / "bad.tif", values(case.kind))
    code, captured, report = ingest(tmp_path, case.kind, capsys, *case.flags)
    assert code == 0
    (listed,) = [line for line in captured.out.splitlines() if line.startswith("refused: ")]
    assert "bad.tif" in listed and re.search(case.message, listed)
    assert report["files"]["refused"] + sum(report["refused"].values()) == 1
    (entry,) = report["refused_files"] + report["refused_tiles"]
    assert entry["file"].endswith("bad.tif")
    digital, valid = tiles_of(tmp_path / "archive")
    expected = [good[:, r : r + SIZE, c : c + SIZE] for r in (0, SIZE) for c in (0, SIZE)]
    np.testing.assert_array_equal(digital, expected)
    assert valid.all()


def test_a_nan_pixel_is_a_pixel_without_data(tmp_path, capsys):
    data = values(S2).astype(np.float32)
    with_pixel(np.nan)(tmp_path / "nan.tif", data)
    code, _, report = ingest(tmp_path, S2, capsys)
    assert (code, report["tiles"]["train"]) == (0, 1)
    digital, valid = tiles_of(tmp_path / "archive")
    assert not valid[0, 5, 5] and valid.sum() == SIZE**2 - 1
    np.testing.assert_array_equal(digital[0][:, valid[0]], data[:, valid[0]])


def test_swapped_bands_given_by_name_come_in_the_sensors_order(tmp_path, capsys):
    """The same picture as RGB and, with its bands named, as BGR: the tiles are the same."""
    data = values(RGB)
    for name, order in (("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.tif", data[order])
    names = ["red", "green", "blue"]
    assert ingest(tmp_path / "rgb", RGB, capsys)[0] == 0
    flags = ["--bands", *names[::-1], "--channels", *names]
    assert ingest(tmp_path / "bgr", RGB, capsys, *flags)[0] == 0
    for one, other in zip(
        tiles_of(tmp_path / "rgb/archive"), tiles_of(tmp_path / "bgr/archive"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_band_that_the_sensor_lacks_is_named(tmp_path, capsys):
    write(tmp_path / "a.tif", values(RGB))
    code, captured, _ = ingest(tmp_path, RGB, capsys, "--bands", "red", "green", "infrared")
    assert code == 2
    assert_one_line(captured, "infrared", "red.*green.*blue")


def test_an_image_smaller_than_a_tile_is_padded_and_counted(tmp_path, capsys):
    data = values(S2, 20)
    write(tmp_path / "chip.tif", data)
    code, _, report = ingest(tmp_path, S2, capsys)
    assert (code, report["tiles"]["padded"]) == (0, 1)
    digital, valid = tiles_of(tmp_path / "archive")
    np.testing.assert_array_equal(digital[0][:, :20, :20], data)
    assert valid[0, :20, :20].all() and valid.sum() == 20 * 20


def test_no_georeference_is_no_obstacle_to_training_data(tmp_path, capsys):
    data = values(RGB)
    write(tmp_path / "a.tif", data, crs=None)
    code, captured, _ = ingest(tmp_path, RGB, capsys)
    assert code == 0 and "warn" not in captured.err.lower()
    np.testing.assert_array_equal(tiles_of(tmp_path / "archive")[0][0], data)


@pytest.fixture
def archive(tmp_path, capsys):
    """A small sound archive of one modality."""
    write(tmp_path / "a.tif", values(RGB, SIZE * 4))
    assert ingest(tmp_path, RGB, capsys)[0] == 0
    return tmp_path / "archive"


def pretrain(archive, out, *flags):
    """Two steps of the smallest model there can be."""
    words = ["--archive", str(archive), "--out", str(out), "--crop-size", "32", "--batch-size", "2"]
    words += ["--steps", "2", "--checkpoint-every", "1", "--no-tensorboard"]
    words += ["--overrides.embed_dim", "8", "--overrides.depths", "[1,1,1,1]"]
    return main(["pretrain", *words, "--overrides.num_heads", "[1,1,1,1]", *flags])


def test_a_shard_cut_short_is_named_and_never_trained_on(archive, tmp_path, capsys):
    (shard,) = archive.glob("*/*.bin")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    assert pretrain(archive, tmp_path / "run") == 2
    assert_one_line(capsys.readouterr(), shard.name)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    shard.write_bytes(flipped)
    every_tile = ["--batch-size", "16"]
    assert pretrain(archive, tmp_path / "run2", *every_tile) == 2
    assert_one_line(capsys.readouterr(), shard.name, "checksum")
    assert not list((tmp_path / "run2").glob("model/*"))


def test_a_misspelt_key_is_named_with_its_file_and_the_nearest(archive, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("learning_rat: 0.001\n")
    assert pretrain(archive, tmp_path / "run", "--config", str(config)) == 2
    assert_one_line(capsys.readouterr(), r"run\.yaml", "'learning_rat'", "'learning_rate'")
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_named_with_the_tensor(archive, tmp_path, capsys):
    from safetensors.numpy import load_file, save_file

    assert pretrain(archive, tmp_path / "run") == 0
    weights = tmp_path / "run/model/model.safetensors"
    tensors = load_file(weights)
    name = next(iter(tensors))
    for damage in ("missing", "misshapen"):
        changed = {k: v for k, v in tensors.items() if k != name}
        if damage == "misshapen":
            changed[name] = np.zeros((*tensors[name].shape, 2), np.float32)
        save_file(changed, weights)
        with pytest.raises(CheckpointError, match=re.escape(name)) as caught:
            ringmoe.load_model(tmp_path / "run/model")
        assert "\n" not in str(caught.value) and str(weights.parent) in str(caught.value)


def test_a_full_disk_leaves_one_line_and_nothing_that_looks_whole(tmp_path, capsys):
    """A limit on the size of files stands in for a full disk: writing fails in the middle.

    With the limit gone, the same command goes on to the same tiles as an ingest that never failed.
    """
    write(tmp_path / "a.tif", values(S2, SIZE * 8))
    words = ["ingest", str(tmp_path / "*.tif"), "--sensor", S2[0], "--tile-size", str(SIZE)]
    words += ["--out", str(tmp_path / "archive")]
    result = subprocess.run(
        [sys.executable, "-m", "ringmoe", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert_one_line(result, "cannot write .*archive")
    assert not (tmp_path / "archive/index.json").exists()
    assert main(words) == 0
    assert ingest(tmp_path, S2, capsys, out="undisturbed")[0] == 0
    for one, other in zip(
        tiles_of(tmp_path / "archive"), tiles_of(tmp_path / "undisturbed"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
