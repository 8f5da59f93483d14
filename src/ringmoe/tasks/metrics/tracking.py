"""`TrackingMetrics`: CLEAR MOT, identity and HOTA of tracks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from ringmoe.boxes import Objects, centres
from ringmoe.errors import DatasetError, ShapeError
from ringmoe.tasks.metrics.association import MATCH, Frame, Sums, matched, sequence_sums
from ringmoe.tasks.metrics.matching import overlaps

_EPS = np.finfo(float).eps


class TrackingMetrics:
    """How well tracks follow objects, equal to TrackEval's figures.

    `mota`, `motp`, `idf1`, `idp`, `idr`, `hota`, `deta`, `assa`, `loca` (HOTA's are means over
    similarities of 0.05 to 0.95) and the counts `id_switches`, `fragmentations`,
    `mostly_tracked`, `mostly_lost`, `misses` and `false_positives`. `motp` is the mean similarity
    of matches, so more is better.

    Objects match tracks of their own class alone. Several sequences and classes are combined as
    TrackEval combines them, "detection-averaged": an object counts the same in whichever it is.
    A detection that matches an ignored object is taken out beforehand, as MOTChallenge does.

    Args:
        zero_distance: None: similarity is IoU. For objects without an extent: the distance in
            pixels between centres at which similarity is 0, falling from 1 linearly; half of it
            is the greatest distance of a match.
    """

    def __init__(self, zero_distance: float | None = None) -> None:
        self.zero_distance = zero_distance
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._frames: dict[tuple[str, int], dict[int, Frame]] = defaultdict(dict)
        self._seen: set[tuple[str, int]] = set()

    def to(self, device: torch.device | str) -> Self:
        """Itself: boxes are on the host."""
        return self

    def update(self, sequence: str, frame: int, predicted: Objects, truth: Objects) -> None:
        """Add a frame; frames and sequences may come in any order.

        Every labelled frame is due, those without a detection too.

        Args:
            sequence: Its name.
            frame: Its number in the sequence, in order of time.
            predicted: With `ids`: of each detection its track.
            truth: With `ids`, which ignored objects need not have; boxes of the same form.

        Raises:
            DatasetError: The frame came before, or an id is lacking or comes twice.
            ShapeError: The two have boxes of different forms.
        """
        where = f"sequence {sequence}, frame {frame}"
        if (sequence, frame) in self._seen:
            raise DatasetError(f"{where}: expected each frame once, got it again")
        if predicted.rotated != truth.rotated:
            raise ShapeError(
                f"{where}: boxes of one form are due, got {predicted.boxes.shape} found and "
                f"{truth.boxes.shape} true"
            )
        for objects, what in ((predicted, "detection"), (truth, "true object")):
            if not _told_apart(objects):
                raise DatasetError(f"{where}: expected an id of its own for each {what}")
        self._seen.add((sequence, frame))
        for k in np.union1d(predicted.classes, truth.classes):
            found, true = predicted.take(predicted.classes == k), truth.take(truth.classes == k)
            self._frames[sequence, int(k)][frame] = self._frame(found, true)

    def compute(self) -> dict[str, Tensor]:
        """Figures as float64 scalars; shares are NaN where no object was to be found."""
        sums = [
            sequence_sums([frames[number] for number in sorted(frames)])
            for frames in self._frames.values()
        ]
        return {
            name: torch.tensor(value, dtype=torch.float64) for name, value in _figures(sums).items()
        }

    def _frame(self, predicted: Objects, truth: Objects) -> Frame:
        """Of one class, without ignored objects and what matches them."""
        similarity = self._similarity(truth.boxes, predicted.boxes)
        ignored = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored
        kept = np.ones(len(predicted), bool)
        if ignored.any():
            rows, columns = matched(np.where(similarity < MATCH - _EPS, 0.0, similarity))
            kept[columns[ignored[rows]]] = False
        similarity = similarity[~ignored][:, kept]
        return Frame(_ids(truth)[~ignored], _ids(predicted)[kept], csr_array(similarity))

    def _similarity(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        if self.zero_distance is None:
            return overlaps(truth, predicted)
        apart = centres(truth)[:, None] - centres(predicted)[None]
        return np.maximum(0.0, 1 - np.linalg.norm(apart, axis=2) / self.zero_distance)


def _ids(objects: Objects) -> np.ndarray:
    return np.zeros(0, np.int64) if objects.ids is None else objects.ids


def _told_apart(objects: Objects) -> bool:
    """Whether all that counts has an id, each another."""
    if objects.ids is None:
        return not len(objects)
    ids = objects.ids if objects.ignored is None else objects.ids[~objects.ignored]
    return len(np.unique(ids)) == len(ids) and bool((ids >= 0).all())


def _figures(sums: Sequence[Sums]) -> dict[str, float]:
    """The figures of all sequences together."""
    if not any(one["truth"] for one in sums):
        tracks = float(sum(one["tracks"] for one in sums))
        counts = dict.fromkeys(_COUNTS, 0.0) | {"misses": 0.0, "false_positives": tracks}
        return dict.fromkeys(_SHARES, float("nan")) | counts
    total = {name: np.sum([one[name] for one in sums], axis=0) for name in sums[0]}
    truth, tracks, found = total["truth"], total["tracks"], total["found"]
    misses, false = truth - found, tracks - found
    identified, hota_found = total["identified"], total["hota_found"]
    deta = hota_found / (truth + tracks - hota_found)
    assa = total["hota_associated"] / np.maximum(1, hota_found)
    # TrackEval calls the localisation of no match at all perfect.
    loca = np.where(hota_found > 0, total["hota_located"] / np.maximum(1, hota_found), 1.0)
    return {
        "mota": (found - false - total["id_switches"]) / truth,
        "motp": total["similarity"] / max(1, found),
        "idf1": 2 * identified / (truth + tracks),
        "idp": identified / max(1, tracks),
        "idr": identified / truth,
        "hota": np.sqrt(deta * assa).mean(),
        "deta": deta.mean(),
        "assa": assa.mean(),
        "loca": loca.mean(),
        **{name: total[name] for name in _COUNTS},
        "misses": misses,
        "false_positives": false,
    }


_SHARES = ("mota", "motp", "idf1", "idp", "idr", "hota", "deta", "assa", "loca")
_COUNTS = ("id_switches", "fragmentations", "mostly_tracked", "mostly_lost")
