"""Mapping whole scenes: rate against the model's own, memory, seams.

    python -m benchmarks.scene [--sizes 4096 8192 20000] [--json] [--out FILE]

Scenes are three bands of uint16 in a tiled GeoTIFF; tiles overlap by a quarter; ten classes. A
share is the rate of `predict_scene`, all of it (reading, blending, writing, overviews), over that
of the model alone on tiles of the scene that are already in memory; the two take turns in one
process. There are two models: nano with a segmentation head and random weights, which the CPU is
busy with, which runs batch after batch when it is alone, and once more in as many threads side by
side as `ringmoe predict` takes; and an emulated device of 200 tiles a second, a model that sleeps
with the interpreter free and then gives scores that were made before: it shows what the work around
the model costs.
TerraTorch's tiled inference maps the same scenes on the emulated device, where it is installed.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window as RasterioWindow
from torch import Tensor, nn

from benchmarks.environment import describe_environment
from ringmoe.deployment import forward_threads, predict_scene
from ringmoe.deployment.pipeline import side_by_side
from ringmoe.deployment.tiling import TiledScene
from ringmoe.deployment.windows import lay_tiles
from ringmoe.models import create_model
from ringmoe.observation import Observation
from ringmoe.scenes import Scene, open_scene
from ringmoe.tasks import Segmentation, TaskModel, TaskSource

logger = logging.getLogger("benchmarks.scene")

GOALS = {
    "share, nano": 0.95,
    "share, emulated": 0.80,
    "GB at 8192": 0.8,
    "GB at 20000": 2.0,
    "seam": 1.05,
}
CLASSES = tuple("abcdefghij")
DEVICE_RATE = 200.0  # tiles a second
RIVALS_LARGEST = 8192  # pixels: it holds the scene and all scores in memory
SENSOR = "rgb-dn16"
BATCH = 8
HELD = 40  # batches in memory, at most
Model = Callable[[Mapping[str, Observation]], Tensor]


def make_scene(path: Path, size: int) -> Scene:
    """Fields of 16 px with noise over them, in blocks of 512 px, deflated."""
    rng = np.random.default_rng(size)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 3, "crs": "EPSG:32633"}
    profile |= {"height": size, "width": size, "compress": "deflate", "tiled": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "interleave": "pixel"}
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(path, "w", **profile) as dataset:
        for row in range(0, size, 512):
            height = min(512, size - row)
            fields = rng.integers(500, 4000, (3, 32, -(-size // 16)), dtype=np.uint16)
            values = fields.repeat(16, 1).repeat(16, 2)[:, :height, :size]
            values = values + rng.integers(0, 200, values.shape, dtype=np.uint16)
            dataset.write(values, window=RasterioWindow(0, row, size, height))
    return open_scene(path, SENSOR)


def nano() -> TaskModel:
    """The preset with a segmentation head, random weights."""
    torch.manual_seed(0)
    scene_bands = ("red", "green", "blue")
    source = TaskSource(SENSOR, scene_bands)
    return TaskModel(create_model("nano"), Segmentation(classes=CLASSES), {"image": source}).eval()


class EmulatedDevice:
    """A device that takes its time and no processor's.

    Args:
        tile_size: Of the scores.
    """

    def __init__(self, tile_size: int) -> None:
        rng = np.random.default_rng(0)
        coarse = rng.normal(size=(BATCH, len(CLASSES), tile_size // 16, tile_size // 16))
        fine = coarse.repeat(16, 2).repeat(16, 3).astype(np.float32)
        self._scores = torch.from_numpy(fine)

    def __call__(self, observations: Mapping[str, Observation]) -> Tensor:
        """Scores `(B, 10, tile, tile)`, after their time."""
        count = observations["image"].batch_size
        time.sleep(count / DEVICE_RATE)
        return self._scores[:count]


def tiles_in_memory(scene: Scene, tile_size: int) -> list[Observation]:
    """The scene's first batches, the full ones if there are any."""
    tiled = TiledScene.over(scene, tile_size, None, BATCH)
    with closing(tiled.batches(torch.device("cpu"))) as batches:
        held = [batch.observations["image"] for batch in islice(batches, HELD)]
    return [batch for batch in held if batch.batch_size == BATCH] or held


def own_rate(model: Model, batches: Sequence[Observation], threads: int = 1) -> float:
    """Tiles a second of the model on batches in memory."""

    @torch.inference_mode()
    def forward(batch: Observation) -> None:
        model({"image": batch})

    start = time.perf_counter()
    deque(side_by_side(forward, batches, threads), maxlen=0)
    return sum(batch.batch_size for batch in batches) / (time.perf_counter() - start)


def mapped_rate(model: Model, scene: Scene, tile_size: int, out: Path, threads: int = 1) -> float:
    """Tiles a second of a whole map, from the first byte read to the last one written."""
    result = predict_scene(
        model,
        scene,
        out,
        kind="classes",
        classes=CLASSES,
        tile_size=tile_size,
        batch_size=BATCH,
        threads=threads,
    )
    return result.tiles / result.seconds


def terratorch_rate(model: Model, scene: Scene, tile_size: int, tiles: int) -> float:
    """Tiles a second, as many as ours, of TerraTorch: all read, mapped in memory, best class.

    Tile, overlap and batch are ours, all else is as delivered. It cuts and blends its own number of
    tiles; the rate is per tile of ours, so that the times of the same scene are compared. Nothing
    is written.
    """
    from terratorch.tasks.tiled_inference import tiled_inference  # type: ignore[import-not-found]

    def forward(images: Tensor, **_: Any) -> Tensor:
        channels = scene.sensor.stem_channels(scene.channels)
        return model({"image": Observation(images, scene.sensor.modality, channels)})

    start = time.perf_counter()
    with rasterio.open(scene.path) as dataset:
        whole = torch.from_numpy(dataset.read().astype(np.float32))[None] / 2000 - 1
    options = {"crop": tile_size, "stride": tile_size * 3 // 4, "batch_size": BATCH}
    with torch.inference_mode():
        tiled_inference(forward, whole, **options).argmax(1)
    return tiles / (time.perf_counter() - start)


def measure_rates(
    model: Model,
    scene: Scene,
    tile_size: int,
    repeats: int,
    folder: Path,
    *,
    threads: int = 1,
    rival: bool = False,
) -> dict[str, Any]:
    """The best of each over turns that alternate, and the share."""
    count = len(lay_tiles(scene.height, tile_size, tile_size // 4).starts) ** 2
    held = tiles_in_memory(scene, tile_size)
    subjects: dict[str, Callable[[], float]] = {
        "own": lambda: own_rate(model, held),
        "mapped": lambda: mapped_rate(model, scene, tile_size, folder / "map.tif", threads),
    }
    if threads > 1:
        subjects["side by side"] = lambda: own_rate(model, held, threads)
    if rival and find_spec("terratorch"):
        subjects["terratorch"] = lambda: terratorch_rate(model, scene, tile_size, count)
    rates = dict.fromkeys(subjects, 0.0)
    for turn in range(repeats):
        for name, subject in subjects.items():
            rate = subject()
            logger.info("%d px, turn %d, %s: %.1f tiles/s", scene.height, turn + 1, name, rate)
            rates[name] = max(rates[name], rate)
    shares = {name: rate / rates["own"] for name, rate in rates.items() if name != "own"}
    return {"size": scene.height, "tiles": count, "tiles_per_second": rates, "shares": shares}


class OneScore(nn.Module):
    """A model's score of one class, as a map of values: what seams are looked for in."""

    def __init__(self, model: TaskModel, index: int = 0) -> None:
        super().__init__()
        self.model, self.index = model, index

    def forward(self, observations: Mapping[str, Observation]) -> Tensor:
        """`(B, 1, H, W)`."""
        return self.model(observations)[:, self.index, None]


def measure_seams(scene: Scene, tile_size: int, folder: Path) -> dict[str, float]:
    """Steps of the blended scores across the lines where tiles begin and end, over elsewhere."""
    model, ratios = OneScore(nano()), {}
    for name, overlap in {"blended": tile_size // 4, "side by side": 0}.items():
        values = map_values(model, scene, tile_size, folder, overlap)
        both = (seam_ratio(grid, tile_size, overlap) for grid in (values, values.T))
        ratios[name] = float(np.mean(list(both)))
    return ratios


def seam_ratio(values: np.ndarray, tile_size: int, overlap: int) -> float:
    """Steps across the lines between columns of tiles, over steps elsewhere."""
    steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
    starts = np.array(lay_tiles(values.shape[1], tile_size, overlap).starts)
    lines = np.unique(np.concatenate([starts[1:] - 1, starts[:-1] + tile_size - 1]))
    across = np.isin(np.arange(len(steps)), lines)
    # Patches of four pixels step at their own borders: like is compared with like.
    alike = ~across & np.isin(np.arange(len(steps)) % 4, lines % 4)
    return float(steps[across].mean() / steps[alike].mean())


def measure_tile_sizes(scene: Scene, sizes: tuple[int, int], folder: Path) -> dict[str, float]:
    """How much the scores depend on the tile: mean difference over their standard deviation."""
    model = OneScore(nano())
    small, large = (map_values(model, scene, size, folder, size // 4) for size in sizes)
    return {"difference": float(np.abs(small - large).mean() / large.std())}


def map_values(
    model: Model, scene: Scene, tile_size: int, folder: Path, overlap: int
) -> np.ndarray:
    """`(H, W)` of a model of one value a pixel."""
    out = folder / "values.tif"
    predict_scene(
        model, scene, out, kind="values", tile_size=tile_size, overlap=overlap, batch_size=BATCH
    )
    with rasterio.open(out) as dataset:
        return dataset.read(1)


def measure_memory(scene: Scene, tile_size: int) -> float | None:
    """GB that mapping adds to a fresh process that has run the model; None but on Linux."""
    if sys.platform != "linux":
        return None
    command = [sys.executable, "-m", "benchmarks.scene", "--peak-of", str(scene.path)]
    command += ["--tile-size", str(tile_size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak(path: Path, tile_size: int) -> float:
    """The same, of this process."""
    torch.set_num_threads(1)
    scene, model = open_scene(path, SENSOR), EmulatedDevice(tile_size)
    images = torch.zeros(BATCH, 3, tile_size, tile_size)
    channels = scene.sensor.stem_channels(scene.channels)
    own_rate(model, [Observation(images, scene.sensor.modality, channels)])
    before = _status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        mapped_rate(model, scene, tile_size, Path(folder) / "map.tif")
    return (_status("VmHWM") - before) * 1024 / 1e9


def _status(field: str) -> int:
    """KiB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    scenes = {size: make_scene(folder / f"{size}.tif", size) for size in options.sizes}
    nano_scene = make_scene(folder / "nano.tif", options.nano_size)
    emulated = EmulatedDevice(options.tile_size)
    nano_tile = create_model("nano").config.image_size
    repeats = options.repeats
    return {
        "goals": GOALS,
        "tile_size": options.tile_size,
        "nano_tile_size": nano_tile,
        "nano": measure_rates(
            nano(), nano_scene, nano_tile, repeats, folder, threads=forward_threads("cpu")
        ),
        "emulated": [
            measure_rates(
                emulated,
                scene,
                options.tile_size,
                repeats,
                folder,
                rival=size <= RIVALS_LARGEST,
            )
            for size, scene in scenes.items()
        ],
        "gb_over_the_process": {
            size: measure_memory(scene, options.tile_size) for size, scene in scenes.items()
        },
        "seams": measure_seams(nano_scene, nano_tile, folder),
        "tile_sizes": measure_tile_sizes(nano_scene, (nano_tile, 2 * nano_tile), folder),
        "environment": describe_environment("terratorch"),
    }


def table(found: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'model':10} {'scene':>6} {'own':>8} {'mapped':>8} {'share':>6} {'TerraTorch':>10}"]
    for name, rows in (("nano", [found["nano"]]), ("emulated", found["emulated"])):
        for row in rows:
            rates, shares = row["tiles_per_second"], row["shares"]
            rival = f"{shares['terratorch']:.2f}" if "terratorch" in shares else "-"
            lines.append(
                f"{name:10} {row['size']:6} {rates['own']:8.1f} {rates['mapped']:8.1f} "
                f"{shares['mapped']:6.2f} {rival:>10}"
            )
    alone = found["nano"]["shares"].get("side by side")
    if alone is not None:
        lines.append(f"nano alone, side by side in threads: {alone:.2f} of batch after batch")
    lines += [
        f"{size} px: {gb:.2f} GB over the process"
        for size, gb in found["gb_over_the_process"].items()
        if gb is not None
    ]
    seams, sizes = found["seams"], found["tile_sizes"]
    lines.append(f"seams: {seams['blended']:.3f}, side by side {seams['side by side']:.3f}")
    lines.append(f"between two tile sizes: {sizes['difference']:.3f} standard deviations")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192, 20000], help="pixels")
    parser.add_argument("--nano-size", type=int, default=2048, help="pixels of nano's scene")
    parser.add_argument("--tile-size", type=int, default=256, help="pixels, of emulated tiles")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each subject")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on the CPU")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    parser.add_argument("--out", type=Path, help="write the whole result to this file")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        print(peak(options.peak_of, options.tile_size))
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    found["command"] = " ".join(["python", *sys.orig_argv[1:]])
    text = json.dumps(found, indent=1)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    print(text if options.json else table(found))


if __name__ == "__main__":
    main()
