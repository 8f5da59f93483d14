"""Run under torchrun by test_processes.py: fine-tune each kind of task for some steps.

python -m torch.distributed.run --nproc-per-node 2 tests/tasks/ranks.py FOLDER OUT
"""

import sys
from pathlib import Path

import torch
from tests.tasks.labelled import settings, write_backbone, write_images
from tests.tasks.objects import Drawn
from tests.tasks.tracking.sequences import write_sequences

from ringmoe.datasets import DataConfig, open_data
from ringmoe.tasks import finetune

OBJECTS = {"options": {"channels": 8}, "crop_size": 64, "learning_rate": 0.05}


def prepare(folder: Path) -> None:
    """What all processes read."""
    write_backbone(folder / "start")
    write_images(folder / "fields")
    write_sequences(folder / "videos")


def run(folder: Path, out: Path) -> None:
    """Four runs; of `few` the second process has nothing to evaluate."""
    fields = DataConfig(path=folder / "fields", sensor="rgb-dn8", classes=["green", "red"])
    videos = DataConfig(
        path=folder / "videos", sensor="rgb-dn8", classes={"square": 1}, validation=0.34
    )
    masks, train = open_data(fields, "mask"), list(range(8))
    images = {"train": [0, 1, 2, 4], "validation": [3, 5, 1]}
    for name, task, data, split, changes in (
        ("many", "segmentation", masks, {"train": train, "validation": [8, 9, 10]}, {}),
        ("few", "segmentation", masks, {"train": train, "validation": [8]}, {}),
        ("boxes", "oriented-detection", Drawn(True), images, OBJECTS),
        ("tracks", "tracking", videos, None, OBJECTS),
    ):
        config = settings(folder / "start", out / name, steps=2, precision="float64", **changes)
        finetune(task, config, data, split=split, progress=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
