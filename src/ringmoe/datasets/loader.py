"""Batches of labelled examples: a function of seed and step, the same for any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.datasets.config import DATES
from ringmoe.datasets.cutting import Cut, How, Prepared, prepare
from ringmoe.datasets.labelled import Example, LabelledData
from ringmoe.datasets.table import windowed_name
from ringmoe.errors import ConfigError
from ringmoe.observation import Observation
from ringmoe.sampling import TileOrder, draw_crops, mix, name_key, prepared, uniform
from ringmoe.scenes import Window

Cover = Literal["squares", "middle", "whole"]
"""What of an image is seen in evaluation."""

_Named = tuple[str, Prepared]  # a square that is cut, and what it is called
_MULTIPLE = 32  # of sides that every backbone takes: the stride of its last maps
LARGEST = 2048  # pixels of a square that objects are looked for in, in evaluation


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """Some examples as a model and a loss take them.

    Attributes:
        observations: By the names of `LabelledData.sources`; one may be absent where the loader
            was told to leave out modalities.
        labels: `(N,)` int64 class indices; `(N, H, W)` int64, `IGNORED` (-1) where there is none;
            `(N, H, W)` float32 metres, NaN where unknown; or the objects of all images.
        names: Of the examples.
    """

    observations: dict[str, Observation]
    labels: Tensor | ObjectBatch
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> LabelledBatch:
        """The same batch on a device, its images in a floating dtype."""
        return replace(
            self,
            observations={name: seen.to(device, dtype) for name, seen in self.observations.items()},
            labels=self.labels.to(device, non_blocking=True),
        )


class LabelledLoader:
    """Batches for training (`iterate`) and for evaluation (`epoch`).

    Which examples make up a step and how they are cut, mirrored and turned follows from `seed` and
    the step alone; ranks take slices of one global batch. Every image of an example and its label
    are cut alike. Nothing else is varied: colours are measurements here. Mirroring and right-angle
    turns resample nothing, and SAR is never resized, which would correlate its speckle.

    Args:
        data: All examples.
        indices: Which of them.
        batch_size: Examples of a step over all ranks.
        crop_size: Height and width of the images in pixels; smaller ones are padded.
        seed: Of order, cuts, mirroring and turns.
        augment: Cut at random; else cut the middle.
        turn: With `augment`, also mirror and turn by right angles.
        shuffle: Visit the examples in a new order every epoch; else in theirs.
        rank: Which slice of a batch to give.
        world_size: Of how many.
        missing: Share of the steps in which one of several modalities, drawn, is left out, so
            that a model learns to do without.
        how: "cut", or "resize": all of an image resampled to `crop_size`, never SAR.
        largest: Height and width of the largest squares in which objects are looked for in
            evaluation: at the edges of squares they are cut.
        prefetch: Batches to prepare ahead, in a thread.
        threads: That prepare those of `iterate`; they do not depend on it.

    Raises:
        ConfigError: A setting that does not fit the data.
    """

    def __init__(
        self,
        data: LabelledData,
        indices: Sequence[int] | np.ndarray,
        *,
        batch_size: int,
        crop_size: int,
        seed: int = 0,
        augment: bool = True,
        turn: bool = True,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        missing: float = 0.0,
        how: How = "cut",
        largest: int = LARGEST,
        prefetch: int = 2,
        threads: int = 1,
    ) -> None:
        self.data, self.indices = data, np.asarray(indices, np.int64)
        self.batch_size, self.crop_size = batch_size, crop_size
        self._augment, self._turn, self._how, self._drop = augment, turn, how, missing
        self._rank, self._world_size = rank, world_size
        self._prefetch, self._threads = prefetch, threads
        self._largest = max(largest, crop_size)
        self._key = int(mix(seed, name_key("labelled")))
        self._check()
        members = np.arange(max(1, len(self.indices)))
        self._order = TileOrder(members, len(members), self._key) if shuffle else None

    def _check(self) -> None:
        if not 0 <= self._rank < self._world_size <= self.batch_size:
            raise ConfigError(
                f"batch_size: expected at least one example a process, got {self.batch_size} for "
                f"{self._world_size} (of which this is number {self._rank})"
            )
        if not 0 <= self._drop < 1:
            raise ConfigError(f"missing: expected 0 or more, under 1, got {self._drop}")
        sources = self.data.sources
        if self._drop and (len(sources) < 2 or set(sources) == set(DATES)):
            raise ConfigError(
                f"missing: expected several modalities, the data have {', '.join(sources)}"
            )
        sar = [name for name, source in sources.items() if source.modality.startswith("sar")]
        if self._how == "resize" and sar:
            raise ConfigError(f"{', '.join(sar)}: SAR is cut or padded, never resized (speckle)")

    def batch(self, step: int) -> LabelledBatch:
        """This rank's examples of a step.

        Raises:
            DatasetError, SceneReadError, ValueRangeError: An example cannot be read.
        """
        if not len(self.indices):
            raise ConfigError("no example to load: the part of the split is empty")
        first = self.batch_size * self._rank // self._world_size
        last = self.batch_size * (self._rank + 1) // self._world_size
        positions = step * self.batch_size + np.arange(first, last)
        members = self._order(positions) if self._order else positions % len(self.indices)
        return self._make(members, positions, self._dropped(step))

    def iterate(self, start_step: int, stop_step: int) -> Iterator[LabelledBatch]:
        """`batch` of `start_step` to `stop_step` - 1, prepared ahead."""
        steps = range(start_step, stop_step)
        return prepared(self.batch, steps, ahead=self._prefetch, threads=self._threads)

    def epoch(self, cover: Cover = "squares") -> Iterator[LabelledBatch]:
        """Every example once, in order, nothing at random, on every rank all.

        Args:
            cover: "squares": images larger than `crop_size`, of objects than `largest`, are cut
                into squares that show all of them, the last of a row or column at the edge; what it
                shares with the one before is not labelled twice; of images with a class the middle
                is taken. "middle": of all. "whole": each image is one square as large as its longer
                side.

        Yields:
            Batches, prepared ahead in one thread. They hold squares of one size, and no more
            pixels than batches of training where that is possible.
        """
        examples = (self.data[int(index)] for index in self.indices)
        squares = chain.from_iterable(self._squares(example, cover) for example in examples)
        batches = (self._together(group, None) for group in self._groups(squares))
        # One thread goes through them all, so that no more is in memory than what waits.
        for batch in prepared(lambda _: next(batches, None), count(), ahead=self._prefetch):
            if batch is None:
                return
            yield batch

    def _squares(self, example: Example, cover: Cover) -> Iterator[_Named]:
        side, parts = self.crop_size, isinstance(example.label, np.ndarray | Objects)
        if self._how == "cut" and (cover == "whole" or isinstance(example.label, Objects)):
            side = max(side, -(-max(example.size) // _MULTIPLE) * _MULTIPLE)
            side = side if cover == "whole" else min(side, self._largest)
        if cover == "squares" and parts and self._how == "cut":
            cuts = Cut.covering(example.size, side)
        else:
            cuts = [Cut.middle(example.size, side, self._how)]
        for cut in cuts:
            yield _name(example, cut, len(cuts)), prepare(example, self.data.sources, cut)

    def _groups(self, squares: Iterator[_Named]) -> Iterator[list[_Named]]:
        """Squares of one size that follow one another, as many as a batch has room for."""
        group: list[_Named] = []
        side = room = 0
        for square in squares:
            here = square[1].side
            if group and (here != side or len(group) == room):
                yield group
                group = []
            side, room = here, max(1, self.batch_size * self.crop_size**2 // here**2)
            group.append(square)
        if group:
            yield group

    def _dropped(self, step: int) -> str | None:
        """The modality that a step does without: the same on every rank."""
        draw, which = uniform(self._key, name_key("drop"), step, np.arange(2))
        names = tuple(self.data.sources)
        return names[int(which * len(names))] if draw < self._drop else None

    def _make(
        self, members: np.ndarray, positions: np.ndarray, dropped: str | None
    ) -> LabelledBatch:
        examples = [self.data[int(self.indices[member])] for member in members]
        sizes = np.array([example.size for example in examples])
        crops = draw_crops(
            sizes[:, 0],
            sizes[:, 1],
            positions,
            key=self._key,
            size=self.crop_size,
            crop="cut" if self._augment else "centre",
            flip=self._turn,
            turns=self._turn,
        )
        cuts = [Cut.of(crops, index, self.crop_size, self._how) for index in range(len(examples))]
        group = [
            (example.name, prepare(example, self.data.sources, cut))
            for example, cut in zip(examples, cuts, strict=True)
        ]
        return self._together(group, dropped, positions.tolist())

    def _together(
        self, group: Sequence[_Named], dropped: str | None, draws: Sequence[int] | None = None
    ) -> LabelledBatch:
        names, parts = zip(*group, strict=True)
        return LabelledBatch(
            observations={
                name: self._observe(name, parts) for name in self.data.sources if name != dropped
            },
            labels=_join([part.label for part in parts], names, draws),
            names=names,
        )

    def _observe(self, name: str, parts: Sequence[Prepared]) -> Observation:
        source = self.data.sources[name]
        valid = np.stack([part.valid[name] for part in parts])[:, None]
        return Observation(
            torch.from_numpy(np.stack([part.images[name] for part in parts])),
            source.modality,
            source.stem_channels,
            None if valid.all() else torch.from_numpy(valid),
            None if self._how == "resize" else source.sensor.gsd,
        )


def _join(
    labels: Sequence[int | np.ndarray | Objects],
    names: tuple[str, ...],
    draws: Sequence[int] | None,
) -> Tensor | ObjectBatch:
    """One tensor, or one batch of objects."""
    objects = [label for label in labels if isinstance(label, Objects)]
    if objects:
        return ObjectBatch.stack(objects, names, draws)
    return torch.from_numpy(np.stack([np.asarray(label) for label in labels]))


def _name(example: Example, cut: Cut, squares: int) -> str:
    """The example's, with the square's place where it is one of several."""
    if squares == 1:
        return example.name
    height, width = (min(cut.size, length) for length in example.size)
    return windowed_name(example.name, Window(cut.row, cut.column, height, width))
