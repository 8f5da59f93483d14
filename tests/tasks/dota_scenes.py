"""Scenes with rotated boxes that the DOTA development kit and RingMoE's metrics both score.

What is drawn comes from `numpy.random.RandomState`, whose streams NumPy has promised never to
change: figures recorded once (`tools/record_dota_reference.py`) hold for what tests draw anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringmoe.boxes import (
    Objects,
    corners_to_cxcywhr,
    cxcywhr_to_corners,
    quadrilateral_to_cxcywhr,
)

CLASSES = ("ship", "harbor", "plane")


@dataclass(frozen=True)
class Scene:
    """One image: true objects as corners `(N, 8)`, and what a detector could have found."""

    name: str
    corners: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    found: Objects

    @property
    def truth(self) -> Objects:
        """The true objects as rotated boxes."""
        boxes = corners_to_cxcywhr(self.corners)
        return Objects(boxes, self.classes, ignored=self.difficult)


def drawn_scenes(quads: bool) -> list[Scene]:
    """Ten images of 1000 x 1000; with `quads`, every corner is moved a little by itself."""
    random = np.random.RandomState(6)
    scenes = []
    for number in range(10):
        count = random.randint(20, 60)
        long = random.uniform(20, 80, count)
        boxes = np.column_stack(
            [
                random.uniform(100, 900, (count, 2)),
                long,
                long * random.uniform(0.2, 1, count),
                random.uniform(-np.pi / 2, np.pi / 2, count),
            ]
        )
        classes = random.choice(len(CLASSES), count, p=[0.6, 0.3, 0.1])
        difficult = random.uniform(size=count) < 0.15
        found = detections(boxes, classes, random)
        corners = cxcywhr_to_corners(boxes)
        moved = random.uniform(-0.15, 0.15, (count, 8)) * boxes[:, 3:4]
        corners = corners + moved if quads else corners
        scenes.append(Scene(f"drawn{number}", corners, classes, difficult, found))
    return scenes


def real_scene(data: Path, quads: bool) -> Scene:
    """DOTA's P0706 as its label file has it, or its rotated boxes; detections are drawn."""
    lines = (data / "dota" / "labelTxt" / "P0706.txt").read_text().splitlines()
    rows = [fields for line in lines if len(fields := line.split()) == 10]
    corners = np.array([row[:8] for row in rows], float)
    classes = np.array([CLASSES.index(row[8]) for row in rows])
    difficult = np.array([row[9] == "1" for row in rows])
    boxes = quadrilateral_to_cxcywhr(corners)
    found = detections(boxes, classes, np.random.RandomState(706))
    corners = corners if quads else cxcywhr_to_corners(boxes)
    return Scene("P0706", corners, classes, difficult, found)


def detections(boxes: np.ndarray, classes: np.ndarray, random: np.random.RandomState) -> Objects:
    """Most objects moved, scaled and turned, some of them twice, a few as another class, and boxes
    where nothing is. Scores favour those moved least, with noise; no two are equal."""
    twice = np.concatenate([np.arange(len(boxes)), random.choice(len(boxes), len(boxes) // 4)])
    of = twice[random.uniform(size=len(twice)) < 0.85]
    false = len(boxes) // 3
    strength = np.abs(random.standard_normal(len(of))) * 0.2
    noise = random.standard_normal((len(of), 5)) * strength[:, None]
    moved = boxes[of].copy()
    moved[:, :2] += noise[:, :2] * moved[:, 3:4]
    moved[:, 2:4] *= np.exp(noise[:, 2:4])
    moved[:, 4] += noise[:, 4]
    anywhere = boxes[random.choice(len(boxes), false)].copy()
    anywhere[:, :2] = random.uniform(boxes[:, :2].min(0), boxes[:, :2].max(0), (false, 2))
    labels = classes[of].copy()
    confused = random.uniform(size=len(of)) < 0.05
    labels[confused] = random.choice(classes, int(confused.sum()))
    scores = np.concatenate([np.exp(-3 * strength), np.full(false, 0.3)])
    scores = np.clip(scores + 0.1 * random.standard_normal(len(scores)), 0.01, 0.99)
    scores += 1e-3 * random.uniform(size=len(scores))
    return Objects(
        np.concatenate([moved, anywhere]),
        np.concatenate([labels, random.choice(classes, false)]),
        scores,
    )
