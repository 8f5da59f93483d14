"""The demonstration's pruned model adapted to land cover, and a whole scene mapped with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ringmoe.cli._demo_results import read_classes, read_manifest
from ringmoe.cli.predict import model_mark
from ringmoe.datasets import DataConfig
from ringmoe.deployment import forward_threads, predict_scene
from ringmoe.reports import MapView, pictures
from ringmoe.scenes import open_scene
from ringmoe.simulation import LAND_COVER, LAND_COVER_COLOURS
from ringmoe.tasks import FinetuneConfig, finetune, load_task

SENSOR = "simulated-sar-amplitude"
EXAMPLES = 8  # scenes with labels
CROP_SIZE = 96


def adapt(checkpoint: Path, scenes: Path, out: Path, steps: int, seed: int) -> Path:
    """Fine-tune a backbone on a few labelled scenes; the folder of the task's model.

    Args:
        checkpoint: The pruned model.
        scenes: Simulated scenes; the first few are learned from.
        out: Of the run.
        steps: Of training.
        seed: Of the head's first weights and the order of examples.
    """
    split = out.with_suffix(".split.csv")
    names = [scene["name"] for scene in read_manifest(scenes)["scenes"]]
    lines = [f"{name},train" for name in names[:EXAMPLES]]
    split.write_text("\n".join(["name,part", *lines]) + "\n")
    config = FinetuneConfig(
        checkpoint=str(checkpoint),
        out=out,
        options={"channels": 64},
        steps=steps,
        batch_size=8,
        crop_size=CROP_SIZE,
        learning_rate=0.032,  # for 256 images: the peak is 1e-3
        head_rate=2.0,
        warmup_steps=max(1, steps // 10),
        checkpoint_every=max(1, steps // 2),
        log_every=max(1, steps // 20),
        seed=seed,
        tensorboard=False,
    )
    data = DataConfig(path=scenes, sensor=SENSOR, split=split)
    return finetune(
        "segmentation", config, data, resume=(out / "config.yaml").exists(), progress=True
    ).model_dir


def map_scene(model: Path, scenes: Path, out: Path) -> MapView:
    """Map the first scene of a folder, and compare with what the landscape is.

    Args:
        model: Folder of the task's model.
        scenes: Simulated scenes that the model never saw.
        out: The map, a `.tif`.
    """
    task = load_task(model)
    (file,) = (f for f in read_manifest(scenes)["scenes"][0]["files"] if f["sensor"] == SENSOR)
    scene = open_scene(scenes / file["path"], SENSOR)
    result = predict_scene(
        task,
        scene,
        out,
        kind="classes",
        classes=task.task.classes,
        colours=LAND_COVER_COLOURS,
        tile_size=CROP_SIZE,
        threads=forward_threads("cpu"),
        fingerprint=model_mark(model),
    )
    mapped, truth = (read_classes(path) for path in (out, scenes / file["labels"]["mask"]))
    keys = [channel.key for channel in scene.channels]
    colours = np.array(LAND_COVER_COLOURS, np.uint8)
    return MapView(
        image=pictures.measurement(scene.read().values, "sar_amplitude", keys),
        mapped=colours[mapped],
        truth=colours[truth],
        legend=list(zip(LAND_COVER, LAND_COVER_COLOURS, strict=True)),
        miou=mean_iou(mapped, truth),
        accuracy=float((mapped == truth).mean()),
        examples=EXAMPLES,
        tiles_per_second=result.tiles / result.seconds,
    )


def mean_iou(mapped: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes that either has, of intersection over union."""
    shares = [
        np.sum((mapped == index) & (truth == index)) / np.sum((mapped == index) | (truth == index))
        for index in np.union1d(mapped, truth)
    ]
    return float(np.mean(shares))
