"""Shards: what is written, what a kill, a full disk or a damaged file does to them."""

import json
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest

from ringmoe.archive import Archive, TileLoader
from ringmoe.archive.shards import ShardWriter, open_shard, record_type, shard_path
from ringmoe.errors import ArchiveError, ShardError

RECORD = record_type(2, 4, np.dtype(np.uint16))


def tile(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 2**16, (2, 4, 4), dtype=np.uint16), rng.random((4, 4)) < 0.5


def write(folder, numbers, per_shard=3) -> list[int]:
    writer = ShardWriter(folder, RECORD, per_shard)
    checksums = [writer.append(*tile(number)) for number in numbers]
    writer.finish()
    return checksums


def test_a_record_is_values_then_bits_then_padding(tmp_path):
    """Two 4 x 4 planes of uint16 are 64 bytes, 16 bits of validity 2; 66 is padded to 128."""
    digital, valid = tile(5)
    (checksum,) = write(tmp_path, [5])
    data = shard_path(tmp_path, 0).read_bytes()
    assert data == digital.astype("<u2").tobytes() + np.packbits(valid).tobytes() + bytes(62)
    assert checksum == zlib.crc32(data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64"])
def test_values_come_back_as_they_were(tmp_path, dtype):
    record = record_type(3, 5, np.dtype(dtype))
    digital = np.arange(75).reshape(3, 5, 5).astype(dtype) * (1 + (2j if dtype[0] == "c" else 0))
    valid = np.eye(5, dtype=bool)
    writer = ShardWriter(tmp_path, record, 4)
    writer.append(digital.astype(dtype), valid)
    writer.finish()
    found = open_shard(shard_path(tmp_path, 0), record, 1, 0)[0]
    assert (found["digital"] == digital.astype(dtype)).all()
    assert (np.unpackbits(found["valid"], count=25).reshape(5, 5) == valid).all()


def test_a_shard_has_its_name_only_when_it_is_full(tmp_path):
    writer = ShardWriter(tmp_path, RECORD, 3)
    for number in range(4):
        writer.append(*tile(number))
    writer.sync()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["shard-00000.bin", "shard-00001.bin.partial"]


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 6, 7, 8])
def test_going_on_from_any_tile_gives_the_same_shards(tmp_path, kept):
    """What a kill left behind that no journal knows is cut off; full shards are opened again."""
    write(tmp_path / "straight", range(8))
    writer = ShardWriter(tmp_path / "killed", RECORD, 3)
    for number in [*range(kept), 90, 91, 92, 93]:
        writer.append(*tile(number))
    writer.sync()
    writer.abandon()
    writer = ShardWriter(tmp_path / "killed", RECORD, 3, kept)
    for number in range(kept, 8):
        writer.append(*tile(number))
    writer.finish()
    straight, killed = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("straight", "killed")
    )
    assert straight == killed and len(straight) == 3


@pytest.fixture
def copy(archive, tmp_path) -> Archive:
    """An archive to damage."""
    shutil.copytree(archive.path, tmp_path / "archive")
    return Archive.open(tmp_path / "archive")


def test_a_flipped_bit_is_found_and_named(copy):
    """In the middle of tile 2; its neighbours are still given."""
    stream = copy.streams["sentinel2-l1c-uint16-32px"]
    assert stream.tiles_per_shard == 2  # of 27 kB each, 60 kB asked for a shard
    path = shard_path(stream.folder, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    out = np.zeros((2, 13, 32, 32), np.uint16)
    digital, _ = stream.read([1, 3], out)
    assert digital is out and (out == stream.read([1, 3])[0]).all()
    with pytest.raises(ShardError, match=r"shard-00001\.bin: tile 2 \(s2\.tif.* checksum"):
        stream.read([2])


def test_a_flipped_bit_in_the_mask_is_found(copy):
    stream = copy.streams["rgb-dn8-uint8-48px"]
    path = shard_path(stream.folder, 0)
    data = bytearray(path.read_bytes())
    data[3 * 48 * 48] ^= 0x80
    path.write_bytes(data)
    with pytest.raises(ShardError, match="tile 0"):
        stream.read([0])


@pytest.mark.parametrize("length", [0, 1000, None])
def test_a_shard_cut_short_is_found_and_named(copy, length):
    """Every tile of it is refused: what was cut off is not all that may be wrong with it."""
    stream = copy.streams["rgb-dn8-uint8-32px"]
    path = shard_path(stream.folder, 1)
    if length is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:length])
    first = stream.tiles_per_shard
    stream.read([0])
    with pytest.raises(ShardError, match=rf"shard-00001\.bin: .* tile {first} "):
        stream.read([first])


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_damaged_tile_never_reaches_the_training(copy, prefetch):
    """The step that would train on it raises; those before it are as in the sound archive."""
    sound = TileLoader(copy, batch_size=8, crop_size=32, modalities=["optical"], prefetch=0)
    steps = [batches[0] for batches in sound.iterate(0, 12)]
    last = steps[-1]
    stream = copy.streams[last.stream]
    damaged = last.tiles[0]
    hit = min(s for s, b in enumerate(steps) if b.stream == stream.name and damaged in b.tiles)
    path = shard_path(stream.folder, damaged // stream.tiles_per_shard)
    data = bytearray(path.read_bytes())
    data[damaged % stream.tiles_per_shard * stream._record.itemsize + 100] ^= 0x10
    path.write_bytes(data)
    loader = TileLoader(
        Archive.open(copy.path),
        batch_size=8,
        crop_size=32,
        modalities=["optical"],
        prefetch=prefetch,
    )
    given = []
    with pytest.raises(ShardError, match=f"tile {damaged} "):
        for batches in loader.iterate():
            given.append(batches[0])
    assert len(given) == hit
    for batch, expected in zip(given, steps, strict=False):
        assert (batch.observation.images == expected.observation.images).all()


def test_a_table_of_another_archive_is_refused(copy):
    first, second = (copy.streams[f"rgb-dn8-uint8-{size}px"].folder for size in (32, 48))
    shutil.copy(second / "tiles.parquet", first / "tiles.parquet")
    with pytest.raises(ArchiveError, match="not the one of the archive's index"):
        copy.streams[first.name].indices("train")
    (first / "tiles.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArchiveError, match=r"tiles\.parquet"):
        Archive.open(copy.path).streams[first.name].indices("train")


def test_folders_that_are_no_archive_are_refused(tmp_path, archive):
    with pytest.raises(ArchiveError, match="no archive"):
        Archive.open(tmp_path)
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(ArchiveError, match="an unfinished archive"):
        Archive.open(tmp_path)
    index = json.loads((archive.path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"format": "ringmoe-archive-0"}))
    with pytest.raises(ArchiveError, match=r"ringmoe-archive-0.*this version reads"):
        Archive.open(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps(index)[:500])
    with pytest.raises(ArchiveError, match="not an archive's index"):
        Archive.open(tmp_path)


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from ringmoe.archive.shards import ShardWriter, record_type
from ringmoe.errors import WriteError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = ShardWriter(Path(sys.argv[1]), record_type(1, 128, np.dtype(np.uint8)), 100)
try:
    for _ in range(100):
        writer.append(np.zeros((1, 128, 128)), np.ones((128, 128), bool))
        writer.sync()
except WriteError as error:
    print(error)
"""


def test_a_write_that_fails_says_where(tmp_path):
    """The kernel refuses files over 100 kB, as a full disk would: 5 tiles of 18.4 kB fit."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {tmp_path}")
    assert "shard-00000.bin.partial" in done.stdout and "goes on where it stopped" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.bin.partial"]
