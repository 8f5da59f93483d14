"""The report of a fine-tuned detector or tracker, from its run's folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ringmoe
from ringmoe.boxes import Objects
from ringmoe.datasets import DataConfig, LabelledBatch, LabelledData, Source, open_data, read_split
from ringmoe.reports import pictures
from ringmoe.reports.detection import (
    NAMES,
    DetectorResults,
    FoundView,
    TrackView,
    write_detector_report,
)
from ringmoe.sensors.radiometry import denormalise
from ringmoe.tasks import (
    FinetuneConfig,
    ObjectTask,
    TaskModel,
    best_validation,
    load_task,
    run_settings,
)
from ringmoe.tasks.finetune import SPLIT, make_loader
from ringmoe.tasks.tracking import TrackerOptions, track, tracks_of
from ringmoe.tasks.tracking.task import sequence_and_frame
from ringmoe.tasks.validation import FILE
from ringmoe.training import RunFolder, read_metrics

THRESHOLD = 0.4  # the score from which detections are drawn
IMAGES, SEQUENCES, FRAMES = 12, 3, 30  # that are shown; frames of a sequence that are looked at


def write_object_report(run: Path, device: torch.device | str = "cpu") -> Path:
    """Write `report.html` into the folder of a finished run: figures, curves and pictures.

    The pictures are of images of the validation part, cut as for the metrics; of the training part
    where there is no other, and then the page says so.

    Raises:
        ConfigError: The folder holds no run of a task whose labels are objects.
        WriteError: The file cannot be written.
    """
    name, config, data = run_settings(run)
    folder = RunFolder(run)
    model = load_task(folder.model_path, name, device=device).eval()
    assert isinstance(model.task, ObjectTask)
    examples = open_data(data, model.task.label_kind)
    parts = read_split(run / SPLIT, examples)
    part = "validation" if len(parts["validation"]) else "train"
    look = _Look(model, model.task, examples, config)
    best = best_validation(run) or {}
    results = DetectorResults(
        title=f"{model.task.name.replace('-', ' ').capitalize()}: {', '.join(model.task.classes)}",
        lead=_lead(config, parts, part, best),
        classes=model.task.classes,
        images=look.at(_spread(parts[part], IMAGES)),
        tracks=look.along(parts[part]) if isinstance(model.task, TrackerOptions) else (),
        figures={key: value for key, value in best.items() if isinstance(value, float)},
        by_class={key[5:]: value for key, value in best.items() if key.startswith("ap50_")},
        loss=_curve(folder.metrics_path, "loss"),
        validation=_validation(run / FILE),
        held_out=part == "validation",
        threshold=THRESHOLD,
        details=_details(model.task, config, data, parts),
        footer=f"RingMoE {ringmoe.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
    )
    return write_detector_report(results, run / "report.html")


@dataclass(frozen=True, eq=False)
class _Look:
    """A model's detections on its own data, as pictures need them."""

    model: TaskModel
    task: ObjectTask
    examples: LabelledData
    config: FinetuneConfig

    def at(self, indices: np.ndarray) -> list[FoundView]:
        """Single images."""
        views = []
        for name, picture, found, truth in self._found(indices):
            sure = found.take(_scores(found) >= THRESHOLD)
            views.append(
                FoundView(name, picture, sure.boxes, sure.classes, _scores(sure), truth.boxes)
            )
        return views

    def along(self, indices: np.ndarray) -> list[TrackView]:
        """The beginning of sequences."""
        assert isinstance(self.task, TrackerOptions)
        frames: dict[str, dict[int, int]] = defaultdict(dict)
        for index in indices:
            sequence, number = sequence_and_frame(self.examples.names[index])
            frames[sequence][number] = index
        views = []
        for sequence in sorted(frames)[:SEQUENCES]:
            times = sorted(frames[sequence])[:FRAMES]
            seen = list(self._found(np.array([frames[sequence][time] for time in times])))
            found = [objects for _, _, objects, _ in seen]
            tracks = tracks_of(track(found, self.task, times=times))
            last = len(seen) - 1
            views.append(
                TrackView(
                    sequence,
                    seen[-1][1],
                    {one.id: one.centres for one in tracks},
                    {one.id: one.boxes[-1] for one in tracks if one.frames[-1] == last},
                )
            )
        return views

    @torch.inference_mode()
    def _found(self, indices: np.ndarray) -> Iterator[tuple[str, np.ndarray, Objects, Objects]]:
        """Name, picture, detections and labels of examples."""
        parameter = next(self.model.head.parameters())
        loader = make_loader(self.examples, indices, self.config)
        for batch in loader.epoch("whole" if self.task.cover == "whole" else "middle"):
            here = batch.to(parameter.device, parameter.dtype)
            decoded = self.task.decode(self.model(here.observations))
            for place, found in enumerate(decoded):
                truth = batch.labels.of(place)  # type: ignore[union-attr]
                shown = truth if truth.ignored is None else truth.take(~truth.ignored)
                yield batch.names[place], self._picture(batch, place), found, shown

    def _picture(self, batch: LabelledBatch, place: int) -> np.ndarray:
        name, seen = next(iter(batch.observations.items()))
        valid = None if seen.valid is None else seen.valid[place, 0].numpy()
        return picture_of(seen.images[place].float().numpy(), valid, self.examples.sources[name])


def picture_of(image: np.ndarray, valid: np.ndarray | None, source: Source) -> np.ndarray:
    """What entered a stem, `(C, H, W)`, in the composite usual for it; grey where not valid."""
    values: Any = denormalise(image, source.stem_channels)
    if source.channels[0].is_complex:
        values = values[0::2] + 1j * values[1::2]
    if valid is not None:
        values = np.where(valid, values, np.nan)
    keys = [channel.key for channel in source.channels]
    return pictures.measurement(values, source.modality, keys)


def _scores(objects: Objects) -> np.ndarray:
    assert objects.scores is not None
    return objects.scores


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Some of many, evenly."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return indices[places.round().astype(np.int64)]


def _curve(path: Path, name: str) -> tuple[list[int], list[float]]:
    lines = [line for line in read_metrics(path) if name in line] if path.exists() else []
    known = [(int(line["step"]), line[name]) for line in lines if line[name] is not None]
    return [step for step, _ in known], [value for _, value in known]


def _validation(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    curves = {name: _curve(path, name) for name in ("map50", "map", "hota", "mota", "idf1")}
    return {name: curve for name, curve in curves.items() if curve[0]}


def _lead(config: FinetuneConfig, parts: Any, part: str, best: dict[str, Any]) -> str:
    learned = f"Learned from {len(parts['train'])} images in {config.steps} steps."
    if part == "train":
        return f"{learned} No image was kept aside: all that is shown here it learned from."
    shown = f"{len(parts['validation'])} others that it did not learn from"
    metric = next((name for name in NAMES if best.get(name) is not None), None)
    if metric is None:
        return f"{learned} The pictures are of {shown}."
    return f"{learned} Figures are of {shown}; the weights of step {best['step']} did best there."


def _details(
    task: ObjectTask, config: FinetuneConfig, data: DataConfig, parts: Any
) -> Sequence[tuple[str, str]]:
    options = ", ".join(f"{key}: {value}" for key, value in config.options.items())
    return [
        ("task", task.name + (f" ({options})" if options else "")),
        ("backbone", f"{config.checkpoint}, {config.adapt}"),
        ("images", ", ".join(f"{part}: {len(members)}" for part, members in parts.items())),
        ("labels", str(data.path)),
        ("training", f"{config.steps} steps of {config.batch_size} images"),
        ("image", f"{config.crop_size} x {config.crop_size} px"),
        ("learning rate", f"{config.learning_rate:g}"),
        ("seed", str(config.seed)),
    ]
