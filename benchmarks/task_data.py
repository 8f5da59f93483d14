"""The real labelled sets as `finetune` takes them: examples in memory, and their split."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_features import benchmark
from ringmoe.datasets import (
    Benchmark,
    DataConfig,
    Example,
    Image,
    LabelKind,
    LabelledData,
    LabelledImages,
    LabelledTiles,
    Source,
    open_data,
    split_data,
)
from ringmoe.sensors import calibrate, get_sensor

Split = dict[str, np.ndarray]
BORDER = 16  # pixels around a chip that show clutter alone


@dataclass(frozen=True, eq=False)
class Held:
    """Examples of one image each that are in memory, as `LabelledData`.

    Attributes:
        kind: What a label is.
        classes: Class names.
        sources: What the image is.
        values: `(N, C, H, W)` in the sensor's unit.
        valid: `(N, H, W)` bool.
        labels: `(N,)` or `(N, H, W)` int64.
        names: One an example.
    """

    kind: LabelKind
    classes: tuple[str, ...]
    sources: Mapping[str, Source]
    values: np.ndarray
    valid: np.ndarray
    labels: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        label = self.labels[index]
        image = Image(self.values[index], self.valid[index])
        return Example(
            self.names[index], {"image": image}, int(label) if label.ndim == 0 else label
        )


def real_data(name: str, root: Path) -> tuple[LabelledData, Split]:
    """Examples and split of "aid", "mstar", "polsf", "floods-SENSORS", "loveda", "levir" or "neon".

    Args:
        name: SENSORS is "1", "2" or "1-2", of Sentinel.
        root: The folder of real imagery.
    """
    if name.startswith("floods"):
        return floods(root / "sen1floods11", name.removeprefix("floods-").split("-"))
    samples = {"loveda": loveda, "levir": levir, "neon": neon}
    if name in samples:
        return samples[name](root)
    found: Benchmark[Any] = benchmark(name, root)
    join = _tiles if isinstance(found.train, LabelledTiles) else _images
    count = len(found.train)
    parts = {
        "train": np.flatnonzero(~found.validation),
        "validation": np.flatnonzero(found.validation),
        "test": np.arange(count, count + len(found.test)),
    }
    return join([found.train, found.test]), parts


def _images(parts: Sequence[LabelledImages]) -> Held:
    first = parts[0]
    sensor = get_sensor(first.sensor)
    channels = sensor.select(first.bands)
    read = [part.read() for part in parts]
    return Held(
        kind="class",
        classes=first.classes,
        sources={"image": Source(sensor, channels)},
        values=np.concatenate([calibrate(values, sensor.encoding()) for values, _ in read]),
        valid=np.concatenate([valid[:, 0] for _, valid in read]),
        labels=np.concatenate([part.labels for part in parts]),
        names=[f"{p.parent.name}/{p.name}" for part in parts for p in part.paths],
    )


def _tiles(parts: Sequence[LabelledTiles]) -> Held:
    first = parts[0]
    sensor = get_sensor(first.sensor)
    values = np.concatenate([part.values for part in parts])
    return Held(
        kind="mask",
        classes=first.classes,
        sources={"image": Source(sensor, sensor.select(first.channels))},
        values=values,
        valid=np.ones((len(values), *values.shape[2:]), bool),
        labels=np.concatenate([part.labels for part in parts]),
        names=[f"tile {number}" for number in range(len(values))],
    )


def floods(root: Path, sentinels: Sequence[str]) -> tuple[LabelledData, Split]:
    """Water in the Sen1Floods11 scene, tiles of 64 px in spatial blocks a tile apart."""
    known = {
        "1": ("sar_amplitude", "sentinel1-grd", "S1Hand"),
        "2": ("multispectral", "sentinel2-l1c", "S2Hand"),
    }
    chosen = [known[number] for number in sentinels]
    files = {modality: next(root.rglob(f"*{ending}.tif")) for modality, _, ending in chosen}
    label = next(root.rglob("*LabelHand.tif"))
    table = _write_table([*files, "label"], [[*files.values(), label]])
    config = DataConfig(
        path=table,
        sensors={modality: sensor for modality, sensor, _ in chosen},
        image_encodings={"sar_amplitude": "decibel"} if "1" in sentinels else {},
        classes=["land", "water"],
        ignore=[-1],
        tile_size=64,
        validation=0.15,
        test=0.35,
    )
    return _opened(config, "mask")


def loveda(root: Path) -> tuple[LabelledData, Split]:
    """Land cover in three LoveDA images, none with barren ground; tiles in spatial blocks."""
    codes = {"background": 1, "building": 2, "road": 3, "water": 4, "forest": 6, "farmland": 7}
    config = DataConfig(
        path=root / "loveda",
        sensor="rgb-dn8",
        classes={**codes},
        ignore=[0, 5],
        tile_size=128,
        validation=0.15,
        test=0.25,
    )
    return _opened(config, "mask")


def levir(root: Path) -> tuple[LabelledData, Split]:
    """Buildings that changed in eleven pairs of LEVIR-CD; its own split, by the names of files."""
    folder = root / "levir_cd"
    names = sorted(path.name for path in (folder / "label").glob("*.png"))
    rows: list[list[Path | str]] = [
        [folder / "A" / name, folder / "B" / name, folder / "label" / name, name.split("_")[0]]
        for name in names
    ]
    config = DataConfig(
        path=_write_table(["before", "after", "label", "split"], rows),
        sensor="rgb-dn8",
        classes={"unchanged": 0, "changed": 255},
        tile_size=128,
    )
    return _opened(config, "mask")


def neon(root: Path) -> tuple[LabelledData, Split]:
    """Canopy height in one camera mosaic of a forest, tiles of 128 px in spatial blocks."""
    (image,) = (root / "neon_height").glob("*_image_crop.tif")
    (height,) = (root / "neon_height").glob("*_CHM_crop.tif")
    config = DataConfig(
        path=_write_table(["image", "label"], [[image, height]]),
        sensor="rgb-dn8",
        tile_size=128,
        validation=0.15,
        test=0.25,
    )
    return _opened(config, "height")


def _opened(config: DataConfig, kind: LabelKind) -> tuple[LabelledData, Split]:
    data = open_data(config, kind)
    return data, split_data(data, config)


def _write_table(columns: Sequence[str], rows: Sequence[Sequence[Path | str]]) -> Path:
    """A CSV of files, which may lie anywhere."""
    table = Path(tempfile.mkdtemp()) / "data.csv"
    lines = [
        ",".join(str(cell.resolve()) if isinstance(cell, Path) else cell for cell in row)
        for row in rows
    ]
    table.write_text("\n".join([",".join(columns), *lines]) + "\n")
    return table


def middle(data: Held, size: int) -> Held:
    """The middle `size` x `size` pixels of every image, for objects that are always there."""
    rows, columns = ((n - size) // 2 for n in data.valid.shape[1:])
    inside = np.s_[..., rows : rows + size, columns : columns + size]
    return replace(data, values=data.values[inside].copy(), valid=data.valid[inside].copy())


def without_clutter(data: Held) -> Held:
    """Chips scaled so that the median of each one's border is that of all.

    MSTAR's classes were imaged over different ground, whose brightness gives many away.
    """
    inner = np.ones(data.valid.shape[1:], bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = False
    medians = np.median(data.values[:, :, inner], axis=(1, 2))
    scale = np.median(medians) / np.maximum(medians, 1e-6)
    values = (data.values * scale[:, None, None, None]).astype(data.values.dtype)
    return replace(data, values=values)
