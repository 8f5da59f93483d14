"""Sequences whose tracks are known."""

import numpy as np

from ringmoe.boxes import Objects


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
