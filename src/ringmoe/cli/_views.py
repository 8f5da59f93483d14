"""What a model says of labelled images, as the sections of a report show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.datasets import LabelledBatch, Source
from ringmoe.datasets.config import DATES
from ringmoe.datasets.frames import frame_times
from ringmoe.datasets.loader import Cover
from ringmoe.deployment.colours import class_colours
from ringmoe.reports import FoundView, MappedView, NamedView, Section, TrackView, pictures
from ringmoe.reports.charts import title
from ringmoe.reports.detection import found_section, precision_section, tracks_section
from ringmoe.reports.labels import classes_section, heights_section, named_section
from ringmoe.sensors.radiometry import denormalise
from ringmoe.tasks import ObjectTask, OpenRun
from ringmoe.tasks.building import make_loader
from ringmoe.tasks.evaluate import Figures
from ringmoe.tasks.tracking import TrackerOptions, track, tracks_of
from ringmoe.tasks.tracking.task import sequence_and_frame

THRESHOLD = 0.4  # the score from which detections are drawn
IMAGES, MAPS = 12, 8  # that are shown
SEQUENCES, FRAMES = 3, 30  # that are shown; that are looked at of each

Pictures = dict[str, np.ndarray]  # what stands over it to `(H, W, 3)` uint8


class Seen(NamedTuple):
    """An example, and what a model says of it.

    Attributes:
        name: Of the example.
        shown: Its pictures.
        said: What the model says.
        label: What is there.
        valid: `(H, W)` bool: where an image has data; padding has none.
    """

    name: str
    shown: Pictures
    said: Any
    label: Any
    valid: np.ndarray

    @property
    def picture(self) -> np.ndarray:
        """The first."""
        return next(iter(self.shown.values()))


def views_of(run: OpenRun, indices: np.ndarray, figures: Figures, held_out: bool) -> list[Section]:
    """Pictures of some of these examples, cut as for the metrics, with what the model says."""
    task = run.model.task
    if isinstance(task, ObjectTask):
        return _objects(run, task, indices, figures, held_out)
    if task.label_kind == "class":
        return [named_section(_named(run, spread(indices, IMAGES)), held_out)]
    views = _mapped(run, spread(indices, MAPS))
    if task.label_kind == "height":
        return [heights_section(views, held_out)]
    colours = class_colours(task.classes)
    return [classes_section(views, list(zip(task.classes, colours, strict=True)), held_out)]


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Some of many, evenly."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return indices[places.round().astype(np.int64)]


def _named(run: OpenRun, indices: np.ndarray) -> list[NamedView]:
    classes, views = run.model.task.classes, []
    for seen in _seen(run, indices, lambda output: output.softmax(1).cpu()):
        best = int(seen.said.argmax())
        said, truth = classes[best], classes[int(seen.label)]
        views.append(NamedView(seen.picture, said, float(seen.said[best]), truth))
    return views


def _mapped(run: OpenRun, indices: np.ndarray) -> list[MappedView]:
    task = run.model.task
    unknown = np.nan if task.label_kind == "height" else -1
    return [
        MappedView(
            seen.name,
            seen.shown,
            np.where(seen.valid, seen.said.float().numpy(), unknown),
            seen.label.numpy(),
        )
        for seen in _seen(run, indices, lambda output: task.decode(output).cpu())
    ]


def _objects(
    run: OpenRun, task: ObjectTask, indices: np.ndarray, figures: Figures, held_out: bool
) -> list[Section]:
    views = []
    for seen in _seen(run, spread(indices, IMAGES), task.decode):
        sure = seen.said.take(_scores(seen.said) >= THRESHOLD)
        found = sure.boxes, sure.classes, _scores(sure)
        ignored = 0 if seen.label.ignored is None else int(seen.label.ignored.sum())
        views.append(FoundView(seen.name, seen.picture, *found, seen.label.boxes, ignored))
    sections = [found_section(views, task.classes, THRESHOLD, held_out)]
    if isinstance(task, TrackerOptions):
        sections.append(tracks_section(_tracks(run, task, task, indices)))
    by_class = {key[5:]: value for key, value in figures.items() if key.startswith("ap50_")}
    return [*sections, precision_section(by_class)] if by_class else sections


def _tracks(
    run: OpenRun, task: ObjectTask, options: TrackerOptions, indices: np.ndarray
) -> list[TrackView]:
    """The beginning of some sequences."""
    frames: dict[str, dict[int, int]] = defaultdict(dict)
    for index in indices:
        sequence, number = sequence_and_frame(run.examples.names[index])
        frames[sequence][number] = index
    views = []
    for sequence in sorted(frames)[:SEQUENCES]:
        numbers = sorted(frames[sequence])[:FRAMES]
        members = np.array([frames[sequence][number] for number in numbers])
        seen = list(_seen(run, members, task.decode))
        tracks = tracks_of(
            track([frame.said for frame in seen], options, times=frame_times(numbers))
        )
        last = len(seen) - 1
        views.append(
            TrackView(
                sequence,
                seen[-1].picture,
                {one.id: one.centres for one in tracks},
                {one.id: one.boxes[-1] for one in tracks if one.frames[-1] == last},
            )
        )
    return views


@torch.inference_mode()
def _seen(run: OpenRun, indices: np.ndarray, decode: Callable[[Any], Any]) -> Iterator[Seen]:
    model = run.model
    parameter = next(model.head.parameters())
    cover: Cover = "whole" if model.task.cover == "whole" else "middle"
    for batch in make_loader(run.examples, indices, run.config).epoch(cover):
        here = batch.to(parameter.device, parameter.dtype)
        said = decode(model(here.observations))
        for place, name in enumerate(batch.names):
            labels: Any = batch.labels
            label = labels.of(place) if isinstance(labels, ObjectBatch) else labels[place]
            shown, valid = _pictures(run, batch, place)
            yield Seen(name, shown, said[place], label, valid)


def _pictures(run: OpenRun, batch: LabelledBatch, place: int) -> tuple[Pictures, np.ndarray]:
    """What the model saw of an example, and where any of it has data."""
    shown: Pictures = {}
    known = np.zeros(next(iter(batch.observations.values())).size, bool)
    for name, seen in batch.observations.items():
        valid = np.ones(seen.size, bool)
        if seen.valid is not None:
            valid = seen.valid[place, 0].numpy()
        known |= valid
        source = run.examples.sources[name]
        over = name if name in DATES else title(source.modality)
        image = seen.images[place].float().numpy()
        shown[name if over in shown else over] = picture_of(image, valid, source)
    return shown, known


def picture_of(image: np.ndarray, valid: np.ndarray, source: Source) -> np.ndarray:
    """What entered a stem, `(C, H, W)`, in the composite usual for it; grey where not valid."""
    values: Any = denormalise(image, source.stem_channels)
    if source.channels[0].is_complex:
        values = values[0::2] + 1j * values[1::2]
    values = np.where(valid, values, np.nan)
    keys = [channel.key for channel in source.channels]
    return pictures.measurement(values, source.modality, keys)


def _scores(objects: Objects) -> np.ndarray:
    assert objects.scores is not None
    return objects.scores
