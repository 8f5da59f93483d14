"""Metrics of a tracking task on what its detector gives; import late, as the metrics themselves."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

from torch import Tensor

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.datasets.frames import frame_times
from ringmoe.errors import DatasetError
from ringmoe.tasks.heads.detections import Detections
from ringmoe.tasks.metrics import DetectionMetrics, TrackingMetrics
from ringmoe.tasks.object_metrics import OutputMetrics
from ringmoe.tasks.tracking.options import TrackerOptions
from ringmoe.tasks.tracking.task import sequence_and_frame
from ringmoe.tasks.tracking.tracker import the_tracker, track
from ringmoe.training import gather

logger = logging.getLogger(__name__)

SCORES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # that `high_score` is chosen from
MORE = (0.0, 0.1, 0.2)  # by which `new_score` is above it

Frames = Mapping[int, tuple[Objects, Objects]]  # found and true, by number
Options = TypeVar("Options", bound=TrackerOptions)


class SequenceMetrics(OutputMetrics):
    """Tracks the detections of whole sequences and compares the tracks with the labels.

    Args:
        classes: Their names.
        rotated: The form of boxes.
        options: How detections are associated.
        zero_distance: Of `TrackingMetrics`.

    Raises:
        MissingDependencyError: The tracker's library is not installed.
    """

    def __init__(
        self,
        classes: Sequence[str],
        rotated: bool,
        options: TrackerOptions,
        zero_distance: float | None = None,
    ) -> None:
        the_tracker()  # found missing now, not after the frames
        super().__init__(classes, rotated)
        self.options, self.zero_distance = options, zero_distance

    def reset(self) -> None:
        """Forget all frames."""
        super().reset()
        self._frames: dict[str, dict[int, tuple[Objects, Objects]]] = defaultdict(dict)

    def update(self, output: Detections, labels: ObjectBatch) -> None:  # type: ignore[override]
        """Add frames, called "SEQUENCE/000001", in whatever order.

        Raises:
            DatasetError: A name is no such one, or comes twice.
        """
        found = output.objects()
        DetectionMetrics.update(self, found, labels)
        for place, (name, objects) in enumerate(zip(labels.names, found, strict=True)):
            sequence, frame = sequence_and_frame(name)
            if frame in self._frames[sequence]:
                raise DatasetError(f"{name}: expected each frame once, got it again")
            self._frames[sequence][frame] = objects, _identified(labels.of(place))

    def compute(self) -> dict[str, Tensor]:
        """What `TrackingMetrics` and, of the detections, `DetectionMetrics` give.

        Frames that are missing between two count as time that passes.
        """
        everywhere: dict[str, dict[int, tuple[Objects, Objects]]] = defaultdict(dict)
        for part in gather(self._frames):
            for sequence, frames in part.items():
                everywhere[sequence] |= frames
        if everywhere and max(map(len, everywhere.values())) < self.options.confirm:
            logger.warning(
                "no sequence here has %d frames, which a track needs: give it more, or set confirm",
                self.options.confirm,
            )
        return {**self._scored(everywhere, self.options).compute(), **super().compute()}

    def best_scores(self, options: Options, figure: str) -> Options:
        """Options with the `high_score` and `new_score` that the frames seen here suggest.

        Args:
            options: All else; of equally good scores these, then the lowest.
            figure: Of `TrackingMetrics`, the higher the better.
        """

        def value(one: Options) -> float:
            return float(self._scored(self._frames, one).compute()[figure])

        pairs = [(high, round(high + more, 1)) for high, more in product(SCORES, MORE)]
        tried = [replace(options, high_score=high, new_score=new) for high, new in pairs]
        return max([options, *tried], key=value)

    def _scored(self, sequences: Mapping[str, Frames], options: TrackerOptions) -> TrackingMetrics:
        """Metrics of the tracks that the options make of what was found."""
        metrics = TrackingMetrics(self.zero_distance)
        for sequence, frames in sorted(sequences.items()):
            numbers = sorted(frames)
            found = [frames[number][0] for number in numbers]
            tracks = track(found, options, times=frame_times(numbers))
            for number, objects in zip(numbers, tracks, strict=True):
                metrics.update(sequence, number, objects, frames[number][1])
        return metrics


def _identified(truth: Objects) -> Objects:
    """Objects of a frame, those without an identity ignored."""
    if truth.ids is None or (truth.ids >= 0).all():
        return truth
    ignored = truth.ids < 0
    return replace(truth, ignored=ignored if truth.ignored is None else truth.ignored | ignored)
