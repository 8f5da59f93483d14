"""Ingest again: interrupted, killed, finished, of other files, or two at once."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.archive.small_scenes import contents, reflectance, write_scene

from ringmoe.archive import Archive, Source, ingest, journal
from ringmoe.errors import ArchiveError

S2 = "sentinel2-l1c"


def interrupted(root: Path, out: Path, monkeypatch) -> None:
    """An ingest of all scenes in a folder that ends after the first."""
    monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)

    def interrupt(done: float, total: int) -> None:
        if done > 1:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        ingest([Source(("*.tif",), S2)], out, tile_size=32, root=root, progress=interrupt)
    assert len((out / journal.FILE_NAME).read_bytes().splitlines()) == 2


@pytest.fixture
def three(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in "abc":
        write_scene(tmp_path / "three" / f"{name}.tif", reflectance(rng, 32, 64))
    return tmp_path / "three"


def test_an_ingest_does_not_go_on_over_changed_files(three, tmp_path, monkeypatch):
    """Neither over another file of that name nor over another root; a copy of the root is fine."""
    interrupted(three, tmp_path / "archive", monkeypatch)
    shutil.copytree(tmp_path / "archive", tmp_path / "moved")
    shutil.copytree(three, tmp_path / "copy")
    write_scene(three / "a.tif", reflectance(np.random.default_rng(1), 32, 64))
    with pytest.raises(ArchiveError, match=r"unfinished ingest, and .*a\.tif has changed since"):
        ingest([Source(("*.tif",), S2)], tmp_path / "archive", tile_size=32, root=three)
    options = {"tile_size": 32, "root": tmp_path / "copy"}
    ingest([Source(("*.tif",), S2)], tmp_path / "moved", **options)
    ingest([Source(("*.tif",), S2)], tmp_path / "whole", **options)
    assert contents(tmp_path / "moved") == contents(tmp_path / "whole")


def test_two_ingests_do_not_write_to_one_folder(three, tmp_path):
    """The second is refused while the first runs, in another process too; the first is whole."""
    sources, options = [Source(("*.tif",), S2)], {"tile_size": 32, "root": three}
    words = ["ingest", "*.tif", "--sensor", S2, "--tile-size", "32", "--root", str(three)]
    command = [sys.executable, "-m", "ringmoe", *words, "--out", str(tmp_path / "archive")]
    errors = []

    def second(done: float, total: int) -> None:
        if done == 1.5:
            with pytest.raises(ArchiveError, match="archive: another ingest is writing here"):
                ingest(sources, tmp_path / "archive", **options)
            errors.append(subprocess.run(command, capture_output=True, text=True).stderr)

    ingest(sources, tmp_path / "archive", progress=second, **options)
    assert errors[0].count("\n") == 1 and "another ingest is writing here" in errors[0]
    ingest(sources, tmp_path / "alone", **options)
    assert contents(tmp_path / "archive") == contents(tmp_path / "alone")


def test_an_unfinished_ingest_of_an_earlier_version_is_refused(three, tmp_path, monkeypatch):
    interrupted(three, tmp_path / "archive", monkeypatch)
    path = tmp_path / "archive" / journal.FILE_NAME
    first, second = map(json.loads, path.read_text().splitlines())
    del first["format"], second["state"]
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(ArchiveError, match="unfinished ingest of an earlier version"):
        ingest([Source(("*.tif",), S2)], tmp_path / "archive", tile_size=32, root=three)


def test_a_finished_archive_says_that_nothing_was_read(three, tmp_path, caplog):
    """Where files are others than then, or were refused; the fingerprint is of pixels alone."""
    sources, options = [Source(("*.tif",), S2)], {"tile_size": 32, "root": three}
    first = ingest(sources, tmp_path / "archive", **options)
    assert ingest(sources, tmp_path / "archive", **options) == first and not caplog.messages
    os.utime(three / "b.tif", (0, 0))
    assert ingest(sources, tmp_path / "archive", **options) == first
    assert "nothing was read now, although files have changed since" in caplog.messages[0]
    assert ingest(sources, tmp_path / "later", **options).fingerprint == first.fingerprint

    index = tmp_path / "archive" / "index.json"  # as earlier versions wrote it
    index.write_text(json.dumps({**json.loads(index.read_text()), "files": None}))
    assert ingest(sources, tmp_path / "archive", **options) == first and len(caplog.messages) == 1
    assert Archive.open(tmp_path / "archive").fingerprint == first.fingerprint

    (three / "d.tif").write_text("no image")
    ingest(sources, tmp_path / "other", **options)
    write_scene(three / "d.tif", reflectance(np.random.default_rng(1), 32, 64))
    ingest(sources, tmp_path / "other", **options)
    assert "although files have changed since and 1 of 4 were refused" in caplog.messages[1]
    assert "ingest into another folder" in caplog.messages[1]


def test_an_archive_of_an_earlier_version_keeps_its_fingerprint(archive):
    """A hash of the index as it was written, so that runs on it can go on: without `fill`."""
    index = json.loads((archive.path / "index.json").read_text())
    del index["files"]
    written = json.dumps(index, sort_keys=True).encode()
    assert archive.fingerprint == hashlib.blake2b(written, digest_size=16).hexdigest()
    calibrations = [stream["key"]["calibration"] for stream in index["streams"].values()]
    assert {c.get("fill", "none") for c in calibrations} == {0, "none"}


def test_the_same_ingest_gives_the_same_archive(archive, scenes, tmp_path):
    root, sources = scenes
    options = {"tile_size": 32, "root": root, "shard_bytes": 60_000}
    again = ingest(sources, tmp_path / "again", holdout=0.2, **options)
    assert contents(tmp_path / "again") == contents(archive.path)
    assert again.fingerprint == archive.fingerprint
    other = ingest(sources, tmp_path / "other", holdout=0.2, seed=1, **options)
    assert other.fingerprint != archive.fingerprint


def test_a_finished_archive_is_left_alone(archive, scenes):
    root, sources = scenes
    before = contents(archive.path)
    options = {"tile_size": 32, "holdout": 0.2, "root": root}
    report = ingest(sources, archive.path, shard_bytes=60_000, **options)
    assert report.fingerprint == archive.fingerprint
    with pytest.raises(ArchiveError, match="archive of other sources or settings"):
        ingest(sources[:1], archive.path, shard_bytes=60_000, **options)
    assert contents(archive.path) == before


KILLED = """
import sys, time
from tests.archive.small_scenes import SOURCES
from ringmoe.archive import ingest, journal

journal.COMMIT_SECONDS = 0  # write after every file

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.01)

scenes, out = sys.argv[1:]
ingest(
    SOURCES, out, root=scenes,
    tile_size=32, holdout=0.2, shard_bytes=60_000, progress=progress,
)
"""


@pytest.mark.parametrize("commit_seconds", [0, 3600])
def test_an_interrupted_ingest_goes_on_to_the_same_archive(
    archive, scenes, tmp_path, monkeypatch, commit_seconds
):
    """Interrupted after 7 tiles, 14, 21, ...; with a journal of every file, and with none."""
    monkeypatch.setattr(journal, "COMMIT_SECONDS", commit_seconds)
    root, sources = scenes

    def run(patience: int) -> list[float]:
        """The progress of an ingest that ends, or is interrupted, after some tiles."""
        seen: list[float] = []

        def progress(done: float, total: int) -> None:
            seen.append(done)
            if len(seen) == patience:
                raise KeyboardInterrupt

        options = {"tile_size": 32, "holdout": 0.2, "shard_bytes": 60_000, "root": root}
        with suppress(KeyboardInterrupt):
            ingest(sources, tmp_path / "archive", progress=progress, **options)
        return seen

    starts = []
    while not (tmp_path / "archive" / "index.json").exists():
        starts.append(run(patience=7 * len(starts) + 7)[0])
    assert len(starts) > 2 and (starts[-1] > 1) == (commit_seconds == 0)
    assert contents(tmp_path / "archive") == contents(archive.path)


def test_an_ingest_interrupted_at_its_very_end_goes_on(archive, scenes, tmp_path, monkeypatch):
    """All tiles are written and journaled, the last shards named; the index is not there yet."""
    root, sources = scenes
    options = {"tile_size": 32, "holdout": 0.2, "shard_bytes": 60_000, "root": root}

    def interrupt(stream: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(sys.modules["ringmoe.archive.ingest"], "write_thumbnails", interrupt)
        ingest(sources, tmp_path / "archive", **options)
    assert not (tmp_path / "archive" / "index.json").exists()
    ingest(sources, tmp_path / "archive", **options)
    assert contents(tmp_path / "archive") == contents(archive.path)


@pytest.mark.slow
def test_a_killed_ingest_goes_on_to_the_same_archive(archive, scenes, tmp_path):
    """SIGKILL after 15 tiles, again and again, until it finishes; then compare every byte.

    No file has more than 15 tiles, so each process gets at least one file further.
    """
    command = [sys.executable, "-c", KILLED, str(scenes[0]), str(tmp_path / "archive")]
    kills, done = 0, False
    while not done:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        ) as process:
            for tiles, _ in enumerate(process.stdout, 1):
                if tiles == 15:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
            done = process.wait() == 0
        assert kills < 10
    assert kills >= 2
    assert contents(tmp_path / "archive") == contents(archive.path)
