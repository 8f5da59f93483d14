"""Ingest: what is let in, and what is refused."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.archive.small_scenes import contents, reflectance, rgb, write_scene

from ringmoe.archive import Archive, IngestReport, Limits, Source, ingest, journal, reading
from ringmoe.errors import ArchiveError

S2 = "sentinel2-l1c"


def test_tiles_are_the_scene(archive, scenes):
    """All tiles of the Sentinel-2 scene put back in place give its pixels, but for the gap."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(scenes[0] / "s2.tif") as file:
        scene = file.read()
    stream = archive.streams["sentinel2-l1c-uint16-32px"]
    digital, valid = stream.read(range(len(stream)))
    assert valid.all() and digital.dtype == np.uint16
    for tile, values in enumerate(digital):
        row, column = stream.table["row"][tile], stream.table["column"][tile]
        assert (values == scene[:, row : row + 32, column : column + 32]).all()
    # 160 columns: 32 held out at one end, a gap of 32, 96 for training; 2 rows of tiles.
    assert len(stream.indices("train")) == 6 and len(stream.indices("heldout")) == 2
    assert set(stream.table["crs"]) == {"EPSG:32631"} and set(stream.table["gsd"]) == {10}


def test_streams_say_what_they_hold(archive):
    assert list(archive.streams) == [
        "rgb-dn8-uint8-32px",
        "rgb-dn8-uint8-48px",
        "sentinel2-l1c-uint16-32px",
        "airsar-complex64-32px",
    ]
    slc = archive.streams["airsar-complex64-32px"]
    assert slc.modality == "sar_complex" and slc.dtype == np.complex64
    assert [channel.name for channel in slc.channels] == ["HH", "HV", "VH", "VV"]
    assert [row["channel"] for row in slc.statistics][:3] == ["HH_I", "HH_Q", "HV_I"]
    assert all(len(stream.thumbnails) == min(8, len(stream)) for stream in archive.streams.values())


def test_whole_images_are_held_out_where_there_are_several(archive):
    """Of 6 images a fifth, 1.2, is one; of 3 chips at least one. No image is in both splits."""
    for name, held_out in (("rgb-dn8-uint8-32px", 1), ("rgb-dn8-uint8-48px", 1)):
        table = archive.streams[name].table
        train, heldout = (
            set(table["source"][table["split"] == s].tolist()) for s in ("train", "heldout")
        )
        assert not train & heldout and len(heldout) == held_out


def test_statistics_are_numpys(archive):
    """Over the valid pixels of all tiles, in reflectance and normalised."""
    stream = archive.streams["sentinel2-l1c-uint16-32px"]
    values = stream.read(range(len(stream)))[0].astype(np.float64) / 1e4
    for i, row in enumerate(stream.statistics):
        band, channel = values[:, i], stream.channels[i]
        assert row["pixels"] == band.size
        found = [row["calibrated"][name] for name in ("mean", "std", "min", "max")]
        np.testing.assert_allclose(
            found, [band.mean(), band.std(), band.min(), band.max()], rtol=1e-5
        )
        assert row["normalised"]["mean"] == pytest.approx(
            (band.mean() - channel.mean) / channel.std, rel=1e-4, abs=1e-5
        )
        assert row["normalised"]["std"] == pytest.approx(band.std() / channel.std, rel=1e-4)


@pytest.fixture
def bad(tmp_path) -> Path:
    """One scene of each kind of trouble, 32 x 32 pixels, Sentinel-2 unless said otherwise."""
    rng = np.random.default_rng(0)
    good = reflectance(rng, 32, 32)
    as_float = good.astype(np.float32)
    nan, infinite, empty = as_float.copy(), as_float.copy(), good.copy()
    nan[4, :20] = np.nan
    infinite[3, 5, 5] = np.inf
    empty[:, :30] = 0
    bright = good.copy()
    bright[:, :12] = 65535
    write_scene(tmp_path / "good.tif", good)
    write_scene(tmp_path / "nan.tif", nan)
    write_scene(tmp_path / "infinite.tif", infinite)
    write_scene(tmp_path / "empty.tif", empty, nodata=0)
    write_scene(tmp_path / "nothing.tif", np.zeros_like(good), nodata=0)
    write_scene(tmp_path / "constant.tif", np.full_like(good, 700))
    write_scene(tmp_path / "bright.tif", bright)
    write_scene(tmp_path / "small.tif", good[:, :7])
    write_scene(tmp_path / "short.tif", good[:, :, :20])
    write_scene(tmp_path / "negative.tif", -0.5 * as_float)
    write_scene(tmp_path / "four_bands.tif", good[:4])
    (tmp_path / "zero_bytes.tif").touch()
    (tmp_path / "text.tif").write_text("not an image")
    whole = (tmp_path / "good.tif").read_bytes()
    (tmp_path / "truncated.tif").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def test_bad_tiles_and_files_are_skipped_counted_and_listed(bad, tmp_path):
    out = tmp_path / "archive"
    report = ingest([Source(("*.tif",), S2)], out, tile_size=32, root=bad)
    assert report.files == {"read": 10, "refused": 4}
    assert report.tiles == {"train": 2, "heldout": 0, "padded": 1}
    reasons = {found["file"]: found["reason"] for found in report.refused_tiles}
    assert reasons == {
        "nan.tif": "nodata",
        "infinite.tif": "not finite",
        "empty.tif": "nodata",
        "nothing.tif": "nodata",
        "constant.tif": "constant",
        "bright.tif": "saturated",
        "small.tif": "small",
        "negative.tif": "not in unit",
    }
    assert report.refused == {
        "nodata": 3,
        "not finite": 1,
        "constant": 1,
        "saturated": 1,
        "small": 1,
        "not in unit": 1,
    }
    refused = {found["file"]: found["error"] for found in report.refused_files}
    assert set(refused) == {"four_bands.tif", "zero_bytes.tif", "text.tif", "truncated.tif"}
    for file, error in refused.items():
        assert file in error and "\n" not in error
    assert report == IngestReport.read(out)
    archive = Archive.open(out)
    sources = {name for s in archive.streams.values() for name in s.table["source"]}
    assert sources == {"good.tif", "short.tif"}


def test_odd_files_are_refused_one_by_one(bad, tmp_path):
    """A name and a header in other encodings, long doubles: each one line."""
    header = "ENVI\nsamples = 32\nlines = 32\nbands = 1\ndata type = 12\ninterleave = bsq\n"
    np.ones((32, 32), "<u2").tofile(bad / "latin.img")
    (bad / "latin.hdr").write_bytes(f"{header}band names = {{gr\xfcn}}\n".encode("latin-1"))
    np.save(bad / "long.npy", np.ones((13, 32, 32), np.longdouble))
    odd = ["latin.img", "long.npy"]
    with suppress(OSError):  # a file system that is UTF-8 only
        shutil.copy(bad / "good.tif", os.fsencode(bad) + b"/\xd6\xd0.tif")
        odd.append(os.fsdecode(b"\xd6\xd0.tif"))
    sources = [Source(("good.tif", *odd), S2)]
    report = ingest(sources, tmp_path / "archive", tile_size=32, holdout=0.3, root=bad)
    refused = {found["file"]: found["error"] for found in report.refused_files}
    assert report.files == {"read": 1, "refused": len(odd)}
    assert "latin.img: not UTF-8 in its header" in refused["latin.img"]
    assert "save it as float64" in refused["long.npy"]
    for name in odd[2:]:
        assert "not UTF-8 in its name: rename it" in refused["\\udcd6\\udcd0.tif"]
        assert name not in refused


def test_single_looks_of_several_scenes_are_independent(tmp_path):
    """Two folders of the same matrices: the mean product of the draws is 0, standard error 1/64.

    T3 of two: HH, HV and VV of power 1, uncorrelated. The same draw would have a mean product of 1.
    """
    for name in ("north", "south"):
        folder = tmp_path / name / "T3"
        folder.mkdir(parents=True)
        (folder / "config.txt").write_text("Nrow\n64\n---------\nNcol\n64\n")
        for i, j in ((1, 1), (2, 2), (3, 3), (1, 2), (1, 3), (2, 3)):
            for part in ("",) if i == j else ("_real", "_imag"):
                plane = np.full((64, 64), 1 + (i == 3) if i == j else 0, "<f4")
                plane.tofile(folder / f"T{i}{j}{part}.bin")
    source = Source(("*/T3",), "airsar", derive="single-look", seed=3)
    options = {"tile_size": 64, "root": tmp_path}
    first = ingest([source], tmp_path / "archive", **options)
    stream = next(iter(Archive.open(tmp_path / "archive").streams.values()))
    north, south = stream.read(range(2))[0].astype(np.complex128)
    for band in (0, 1, 3):
        assert abs((north[band] * north[band].conj()).mean() - 1) < 4 / 64
        assert abs((north[band] * south[band].conj()).mean()) < 4 / 64
    assert ingest([source], tmp_path / "again", **options).fingerprint == first.fingerprint


def test_limits_can_be_set(bad, tmp_path):
    """20 of 32 rows are NaN in nan.tif: 37.5 % hold data."""
    report = ingest(
        [Source(("nan.tif", "empty.tif"), S2)],
        tmp_path / "archive",
        tile_size=32,
        root=bad,
        limits=Limits(min_valid=0.3),
    )
    assert report.tiles["train"] == 1 and report.refused == {"nodata": 1}
    stream = next(iter(Archive.open(tmp_path / "archive").streams.values()))
    digital, valid = stream.read([0])
    assert np.isfinite(digital).all() and valid.sum() == 12 * 32


def test_an_archive_of_nothing_is_an_error(bad, tmp_path):
    with pytest.raises(
        ArchiveError,
        match=r"no tile of 2 files was let in \(constant\.tif: constant, .*; .*zero_bytes",
    ):
        ingest([Source(("constant.tif", "zero_bytes.tif"), S2)], tmp_path / "a", root=bad)
    with pytest.raises(ArchiveError, match="no archive"):
        Archive.open(tmp_path / "a")
    report = ingest([Source(("good.tif",), S2)], tmp_path / "a", root=bad)  # another try is free
    assert report.tiles["train"] == 1


def test_an_unfinished_archive_is_not_mixed_with_another(bad, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)

    def interrupt(done: float, total: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    source = Source(("good.tif", "short.tif"), S2)
    with suppress(KeyboardInterrupt):
        ingest([source], tmp_path / "a", root=bad, progress=interrupt)
    with pytest.raises(ArchiveError, match="an unfinished archive"):
        Archive.open(tmp_path / "a")
    with pytest.raises(ArchiveError, match="unfinished ingest of other sources or settings"):
        ingest([source], tmp_path / "a", root=bad, holdout=0.1)


def test_a_file_that_breaks_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    """The second block of one scene cannot be read: the 16 tiles before are not kept either."""
    monkeypatch.setattr(reading, "READ_WHOLE_BYTES", 0)
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        write_scene(tmp_path / f"{name}.tif", reflectance(rng, 32, 1024), cog=False)
    path = tmp_path / "b.tif"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    done: list[float] = []
    options = {"tile_size": 32, "root": tmp_path, "progress": lambda now, _: done.append(now)}
    report = ingest([Source(("*.tif",), S2)], tmp_path / "archive", **options)
    assert sum(1 < now < 2 for now in done) == 16
    assert report.files == {"read": 2, "refused": 1}
    stream = Archive.open(tmp_path / "archive").streams["sentinel2-l1c-uint16-32px"]
    assert stream.table["source"].tolist() == ["a.tif"] * 32 + ["c.tif"] * 32
    stream.read(range(64))


def test_a_broken_file_takes_no_place_among_the_streams(tmp_path, monkeypatch):
    """A stream first met in it comes after those of whole files, also if the ingest is resumed."""
    monkeypatch.setattr(reading, "READ_WHOLE_BYTES", 0)
    rng = np.random.default_rng(0)
    broken = write_scene(tmp_path / "a.tif", reflectance(rng, 32, 1024), cog=False)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 3 // 5])
    write_scene(tmp_path / "b.tif", rgb(rng, 32, 32))
    write_scene(tmp_path / "c.tif", reflectance(rng, 32, 32))
    sources = [Source((f"{n}.tif",), s) for n, s in {"a": S2, "b": "rgb-dn8", "c": S2}.items()]
    options = {"tile_size": 32, "root": tmp_path}
    ingest(sources, tmp_path / "whole", **options)
    streams = list(Archive.open(tmp_path / "whole").streams)
    assert streams == ["rgb-dn8-uint8-32px", "sentinel2-l1c-uint16-32px"]

    def interrupt(done: float, total: int) -> None:
        if done > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)
    with suppress(KeyboardInterrupt):
        ingest(sources, tmp_path / "resumed", progress=interrupt, **options)
    ingest(sources, tmp_path / "resumed", **options)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
