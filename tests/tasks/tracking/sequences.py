"""Sequences whose tracks are known."""

import numpy as np
from PIL import Image

from ringmoe.boxes import Objects
from ringmoe.datasets import DataConfig


def moving(starts, velocities, frames, size=6.0, classes=None):
    """Squares that move at constant velocity, with true ids from 1."""
    starts, velocities = np.asarray(starts, float), np.asarray(velocities, float)
    kinds = np.zeros(len(starts), np.int64) if classes is None else np.asarray(classes)
    truth = []
    for frame in range(frames):
        centre = starts + frame * velocities
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        truth.append(Objects(boxes, kinds, ids=np.arange(1, len(starts) + 1)))
    return truth


def write_sequences(folder, count=3, frames=4, size=64):
    """MOT folders of white squares on noise that move to the right."""
    rng = np.random.default_rng(0)
    for number in range(count):
        images = folder / f"s{number}" / "img1"
        images.mkdir(parents=True)
        lines = []
        for frame in range(frames):
            picture = rng.integers(0, 60, (size, size, 3), np.uint8)
            for identity, y in ((1, 14), (2, 42)):
                x = 8 + 8 * frame + 2 * number
                picture[y - 5 : y + 5, x - 5 : x + 5] = 250
                lines.append(f"{frame + 1},{identity},{x - 4},{y - 4},10,10,1,1,1\n")
            Image.fromarray(picture).save(images / f"{frame + 1:06d}.png")
        (folder / f"s{number}" / "gt").mkdir()
        (folder / f"s{number}" / "gt" / "gt.txt").write_text("".join(lines))
    return DataConfig(path=folder, sensor="rgb-dn8", classes={"square": 1}, validation=0.34)
