"""Sequences whose tracks are known: drawn, simulated and real."""

import numpy as np
from scipy import ndimage

from ringmoe.boxes import Objects
from ringmoe.tasks.metrics import TrackingMetrics


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


def detected(truth, seed=0, jitter=0.0, drop=0.0, score=0.9):
    """What a detector might give: without ids, shuffled, with noise in pixels and omissions."""
    rng = np.random.default_rng(seed)
    frames = []
    for objects in truth:
        order = rng.permutation(len(objects))
        order = order[rng.random(len(objects)) >= drop]
        noise = rng.normal(0, jitter, (len(order), 2)) if jitter else np.zeros((len(order), 2))
        boxes = objects.boxes[order].copy()
        boxes[:, :2] += noise
        if not objects.rotated:
            boxes[:, 2:] += noise
        frames.append(Objects(boxes, objects.classes[order], np.full(len(order), score)))
    return frames


def figures(truth, tracks, zero_distance=None):
    """MOTA, IDF1, HOTA and the counts of errors."""
    metrics = TrackingMetrics(zero_distance)
    for number, (true, found) in enumerate(zip(truth, tracks, strict=True)):
        metrics.update("sequence", number, found, true)
    return {name: float(value) for name, value in metrics.compute().items()}


def with_new_ids(frames):
    """The tracker that knows nothing: every detection is another object."""
    count, named = 0, []
    for objects in frames:
        ids = np.arange(count + 1, count + 1 + len(objects))
        count += len(objects)
        named.append(Objects(objects.boxes, objects.classes, objects.scores, ids=ids))
    return named


def texture(size=700, seed=0):
    """A plain of patches of many sizes, as fields and roofs are: `(size, size)` in [0, 1]."""
    rng = np.random.default_rng(seed)
    layers = [
        scale * ndimage.gaussian_filter(rng.standard_normal((size, size)), scale)
        for scale in (1.0, 3.0, 8.0)
    ]
    image = np.sum(layers, axis=0)
    return (image - image.min()) / np.ptp(image)


def seen_from(ground, linear, shift, size=256):
    """A frame whose pixel `p` shows the ground at `linear^-1 (p - shift)`, plus an offset."""
    offset = (len(ground) - size) / 2
    rows, columns = np.mgrid[:size, :size] + 0.5  # the middles of pixels
    points = np.stack([columns.ravel(), rows.ravel()]) - np.reshape(shift, (2, 1))
    x, y = np.linalg.inv(linear) @ points + offset
    return ndimage.map_coordinates(ground, [y - 0.5, x - 0.5], order=3).reshape(size, size)


def turned(degrees, zoom=1.0):
    """A turn with a zoom, as a matrix."""
    angle = np.radians(degrees)
    return zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
