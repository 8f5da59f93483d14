"""How fast tiles come out of an archive, in one process, from the page cache.

    python -m benchmarks.archive [--tiles 1024] [--repeats 5] [--json]

Tiles are 192 x 192 pixels of 8 channels uint16 (590 kB), in shuffled order, batches of 32. The goal
of 10,000 tiles a second holds for the raw values of a second pass: later passes trust the checksums
of the first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.environment import describe_environment
from ringmoe.archive import Archive, TileLoader
from ringmoe.archive.builder import StreamBuilder
from ringmoe.archive.index import Index, StreamKey
from ringmoe.archive.journal import FileRecord
from ringmoe.archive.shards import SHARD_BYTES
from ringmoe.sampling.hashing import permutation
from ringmoe.sensors import get_sensor

SENSOR = get_sensor("sentinel2-l1c")
CHANNELS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A")
TILE_SIZE, BATCH = 192, 32
GOAL = 10_000  # tiles a second, raw, second pass


def build(folder: Path, tiles: int) -> Archive:
    """An archive of random Sentinel-2 digital numbers."""
    key = StreamKey(SENSOR.name, CHANNELS, SENSOR.encoding(), "uint16", TILE_SIZE)
    builder = StreamBuilder(folder / key.name, key, SHARD_BYTES)
    record, valid = FileRecord("random"), np.ones((TILE_SIZE, TILE_SIZE), bool)
    rng = np.random.default_rng(0)
    shape = (len(CHANNELS), TILE_SIZE, TILE_SIZE)
    for i in range(tiles):
        digital = rng.integers(1, 10_000, shape, dtype=np.uint16)
        where = {"source": "random", "row": i, "column": 0, "split": "train", "crs": "", "gsd": 10}
        builder.append(record, digital, valid, **where)
    builder.accept(record)
    Index("benchmark", {key.name: builder.finish()}).write(folder)
    return Archive.open(folder)


def raw(archive: Archive, order: np.ndarray, *, reuse: bool = False) -> Iterator[np.ndarray]:
    """Batches of digital values, in new arrays or always in the same one."""
    (stream,) = archive.streams.values()
    out = np.empty((BATCH, len(CHANNELS), TILE_SIZE, TILE_SIZE), np.uint16) if reuse else None
    for start in range(0, len(order), BATCH):
        yield stream.read(order[start : start + BATCH], out)[0]


def copied(memory: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of as many bytes from an array in memory: what no reader can beat."""
    for start in range(0, len(order), BATCH):
        yield memory[order[start : start + BATCH]]


def ahead(batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same, each prepared by a thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def cast(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same as float32."""
    for batch in batches:
        yield batch.astype(np.float32)


def loaded(archive: Archive, steps: int, prefetch: int) -> Iterator[object]:
    """What training gets: calibrated, normalised, flipped, as tensors."""
    loader = TileLoader(archive, batch_size=BATCH, crop_size=TILE_SIZE, prefetch=prefetch)
    yield from loader.iterate(0, steps)


def measure(archive: Archive, tiles: int, repeats: int) -> dict[str, dict[str, float]]:
    """Tiles a second: median and best over the repeats, the ways taking turns."""
    order = permutation(tiles, 1)
    steps = tiles // BATCH
    memory = np.concatenate(list(raw(archive, order)))  # also fills the page cache
    cases: dict[str, Callable[[], Iterable[object]]] = {
        "copied in memory (the ceiling)": lambda: copied(memory, order),
        "raw, first touch, verified": lambda: raw(Archive.open(archive.path), order),
        "raw, second pass": lambda: raw(archive, order),
        "raw, second pass, one buffer": lambda: raw(archive, order, reuse=True),
        "raw, second pass, prefetch thread": lambda: ahead(raw(archive, order)),
        "cast to float32": lambda: cast(raw(archive, order)),
        "cast to float32, prefetch thread": lambda: cast(ahead(raw(archive, order))),
        "loader (calibrated, normalised)": lambda: loaded(archive, steps, prefetch=0),
        "loader, prefetch thread": lambda: loaded(archive, steps, prefetch=2),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.perf_counter()
            for _batch in case():
                pass
            rates[name].append(tiles / (time.perf_counter() - start))
    return {
        name: {"median": float(np.median(found)), "best": max(found)}
        for name, found in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=1024, help="0.6 MB each")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    tiles = arguments.tiles // BATCH * BATCH
    with tempfile.TemporaryDirectory() as folder:
        archive = build(Path(folder), tiles)
        rates = measure(archive, tiles, arguments.repeats)
    if arguments.json:
        result = {"tile": [len(CHANNELS), TILE_SIZE, TILE_SIZE], "dtype": "uint16", "tiles": tiles}
        result |= {"tiles_per_second": rates, "goal_raw_second_pass": GOAL}
        print(json.dumps(result | {"environment": describe_environment()}, indent=1))
        return
    print(f"{'tiles of 8 x 192 x 192 uint16 a second':40} {'median':>8} {'best':>8}")
    for name, rate in rates.items():
        print(f"{name:40} {rate['median']:8.0f} {rate['best']:8.0f}")


if __name__ == "__main__":
    main()
