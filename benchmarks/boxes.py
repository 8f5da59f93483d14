"""How fast rotated boxes are compared and suppressed: `python -m benchmarks.boxes [--json]`.

On one core, unless --threads says otherwise: NMS of the 2000 boxes of a crowded harbour (goal: 0.2
s) and of ten times as many, and IoU matrices of 1000 x 1000 boxes (goal: 0.5 s), of the harbour and
of boxes that nearly all overlap. Beside each, what torchvision does with the horizontal boxes
around them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torchvision.ops
from torch import Tensor

from benchmarks.timing import Subjects, Turns, finish, make_parser, start
from ringmoe.boxes import cxcywhr_to_xyxy, nms, rotated_iou

THRESHOLD = 0.3
GOALS = {"nms of 2000 boxes": 0.2, "matrix of a harbour": 0.5, "matrix of a heap": 0.5}


def harbour(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A detector's boxes and scores before NMS, over rows of ships at quays.

    After the ships of DOTA's P0706: 531 in 1111 x 1182 pixels, edges of 28 to 59 by 10 to 18
    pixels (5 to 95 %), moored side by side in rows, two thirds of them at 45 degrees. Four
    detections of each ship, which differ by a few pixels and degrees.

    Args:
        count: Detections, a multiple of 4.
        seed: Of all that is drawn.

    Returns:
        `(count, 5)` cxcywhr and `(count,)`, float32.
    """
    draw = np.random.default_rng(seed)
    ships = count // 4
    row = np.arange(ships) // 25
    side = 1150 * math.sqrt(ships / 531)
    quay = draw.uniform(0, side, (row[-1] + 1, 2))
    angle = draw.choice([math.pi / 4, math.pi / 4, -math.pi / 4, 0.1], row[-1] + 1)
    length = 38 * np.exp(draw.normal(0, 0.23, ships))
    width = 13.4 * np.exp(draw.normal(0, 0.17, ships))
    berth = (np.arange(ships) % 25 - 12) * 15.0  # along the quay: a ship's width and a fender
    x = quay[row, 0] + berth * np.sin(angle[row])
    y = quay[row, 1] + berth * np.cos(angle[row])
    found = np.stack([x, y, length, width, angle[row]], axis=-1).repeat(4, axis=0)
    found += draw.normal(0, [1.5, 1.5, 2.0, 0.7, 0.05], found.shape)
    return torch.tensor(found).float(), torch.tensor(draw.random(count)).float()


def heap(count: int, seed: int = 0) -> Tensor:
    """Boxes of a harbour thrown on one heap, so that most pairs overlap: `(count, 5)`."""
    boxes, _ = harbour(count, seed)
    generator = torch.Generator().manual_seed(seed)
    boxes[:, :2] = 20 * torch.rand(count, 2, generator=generator)
    boxes[:, 4] = math.pi * torch.rand(count, generator=generator)
    return boxes


def subjects() -> dict[str, Subjects]:
    """What is timed: of each piece of work, rotated and horizontal boxes."""

    def suppressing(count: int) -> Subjects:
        boxes, scores = harbour(count)
        around = _around(boxes)
        return {
            "rotated": lambda: nms(boxes, scores, THRESHOLD),
            "horizontal": lambda: torchvision.ops.nms(around, scores, THRESHOLD),
        }

    def comparing(boxes: Tensor) -> Subjects:
        around = _around(boxes)
        return {
            "rotated": lambda: rotated_iou(boxes, boxes),
            "horizontal": lambda: torchvision.ops.box_iou(around, around),
        }

    return {
        "nms of 2000 boxes": suppressing(2000),
        "nms of 20000 boxes": suppressing(20000),
        "matrix of a harbour": comparing(harbour(1000)[0]),
        "matrix of a heap": comparing(heap(1000)),
    }


def measure(turns: Turns) -> list[dict[str, Any]]:
    """One row for each piece of work: seconds, and the goal where there is one."""
    rows = []
    for name, pair in subjects().items():
        times = turns.fastest(pair)
        rows.append(
            {
                "work": name,
                "rotated_s": times["rotated"],
                "horizontal_s": times["horizontal"],
                "goal_s": GOALS.get(name),
            }
        )
    return rows


def _around(boxes: Tensor) -> Tensor:
    return torch.tensor(cxcywhr_to_xyxy(boxes.numpy())).float()


def main() -> None:
    """Print the table, or with --json all of it with the environment."""
    parser = make_parser("boxes", "Times of NMS and IoU of rotated boxes.")
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    rows = measure(start(options))
    lines = [f"{'':24} {'rotated':>12} {'goal':>12} {'horizontal':>12}"]
    for row in rows:
        goal = "" if row["goal_s"] is None else f"{1000 * row['goal_s']:.0f} ms"
        times = (f"{1000 * row[kind]:.2f} ms" for kind in ("rotated_s", "horizontal_s"))
        lines.append("{0:24} {1:>12} {3:>12} {2:>12}".format(row["work"], *times, goal))
    finish(options, {"threshold": THRESHOLD, "rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
