"""Scores of tiles to rows of a map: what the thread behind the model does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ringmoe.deployment.blending import TileBlender, highest, softmax
from ringmoe.deployment.cog import Legend
from ringmoe.deployment.colours import Colour, class_colours
from ringmoe.deployment.journal import Journal, Planes, Progress
from ringmoe.deployment.strips import Batch
from ringmoe.deployment.windows import Axis
from ringmoe.errors import ConfigError, ValueRangeError

_SHARES = 254  # steps of probabilities in uint8; 255 is nodata


@dataclass(frozen=True)
class Meaning:
    """What a model's output means, and how it is stored.

    Attributes:
        kind: "classes": scores, of which the highest counts. "values": one value a pixel.
        classes: Names of the classes.
        colours: Of the classes.
        nodata: Stands for "no data" in the map.
        probabilities: The type of the classes' probabilities; None leaves them away.
        name: Of the map's band.
        unit: Of values.
        tags: Metadata of the files.

    Raises:
        ConfigError: These do not go together.
    """

    kind: Literal["classes", "values"]
    classes: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()
    nodata: float = 255
    probabilities: Literal["uint8", "float32"] | None = None
    name: str = ""
    unit: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("classes", "values"):
            raise ConfigError(f"kind must be classes or values, got {self.kind!r}")
        if (self.kind == "classes") != bool(self.classes):
            raise ConfigError(
                f"kind={self.kind!r} with {len(self.classes)} classes: name the classes of a map "
                "of classes, and none of one of values"
            )
        if len(self.colours) != len(self.classes):
            raise ConfigError(
                f"{len(self.classes)} classes but {len(self.colours)} colours: give one a class"
            )
        if self.probabilities not in (None, "uint8", "float32"):
            raise ConfigError(
                f"probabilities are written as uint8 or float32, not {self.probabilities!r}"
            )
        if self.kind == "values" and self.probabilities:
            raise ConfigError("values have no probabilities: ask for these with kind='classes'")
        if self.kind == "classes" and (
            self.nodata not in range(len(self.classes), 65536) or len(self.classes) > 65535
        ):
            raise ConfigError(
                f"nodata={self.nodata:g} must be a whole number from {len(self.classes)} (the "
                "first that is no class) to 65535"
            )

    @classmethod
    def of(
        cls,
        kind: Literal["classes", "values"],
        classes: Sequence[str] = (),
        colours: Sequence[Colour] | None = None,
        nodata: float | None = None,
        **more: Any,
    ) -> Meaning:
        """The usual colours and "no data" where none are given; `more` are other attributes.

        "No data" is 255, or 65535 if there are more classes, and NaN for values.
        """
        if colours is None:
            colours = class_colours(classes)
        if nodata is None:
            nodata = float("nan") if kind == "values" else 255 if len(classes) <= 255 else 65535
        return cls(kind, tuple(classes), tuple(colours), nodata, **more)

    @property
    def channels(self) -> int:
        """How many scores, or values, a pixel has."""
        return len(self.classes) or 1

    @property
    def dtype(self) -> np.dtype:
        """Of the map."""
        if self.kind == "values":
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if self.nodata < 256 else np.uint16)

    def map_legend(self) -> Legend:
        """Of the map."""
        tags = dict(self.tags)
        if self.classes:
            tags["class_names"] = json.dumps(self.classes)
        name = self.name or ("class" if self.classes else "value")
        return Legend([name], self.nodata, self.classes, self.colours, unit=self.unit, tags=tags)

    def probability_legend(self) -> Legend:
        """Of the probabilities, a band a class."""
        if self.probabilities == "float32":
            return Legend(self.classes, np.nan, tags=self.tags)
        return Legend(self.classes, 255, scale=1 / _SHARES, tags=self.tags)


class RowWriter:
    """Blends tiles and writes the rows that are final.

    Args:
        meaning: Of the scores.
        rows: The rows of tiles.
        columns: The columns of tiles.
        journal: Where to write, and how far an earlier run came.
        where: Names the scene in messages.

    Attributes:
        map: Classes or values.
        shares: Probabilities, if they are wanted.
        progress: Rows that are final, those of earlier runs included.
        tiles: That were added.
    """

    def __init__(
        self,
        meaning: Meaning,
        rows: Axis,
        columns: Axis,
        journal: Journal,
        *,
        where: str = "the scene",
    ) -> None:
        self._meaning, self._journal, self._where = meaning, journal, where
        self._rows, self._columns = rows, columns
        self._blender = TileBlender(meaning.channels, rows, columns)
        size = (rows.length, columns.length)
        folder = journal.folder
        self.map = Planes(folder / "map.raw", (1, *size), meaning.dtype)
        row = (rows.tile_size, columns.length)  # what is held until it is final
        self._finite = np.zeros(row, bool)
        self._values = np.zeros((1, *row), meaning.dtype)
        self.shares: Planes | None = None
        if meaning.probabilities:
            shape = (meaning.channels, *size)
            self.shares = Planes(folder / "probabilities.raw", shape, meaning.probabilities)
            self._shares = np.zeros((meaning.channels, *row), meaning.probabilities)
        self.progress = journal.progress
        self.tiles = 0

    def add(self, batch: Batch, scores: np.ndarray) -> None:
        """Take a batch and its scores `(tiles, channels, tile, tile)`; write what is final.

        Raises:
            ValueRangeError: NaN or infinite scores where the scene has data.
            WriteError: The disk is full and the like.
        """
        masks = dict(batch.masks)
        for (row, column), scores_of_tile in zip(batch.tiles, scores, strict=True):
            for ended in [number for number in masks if number < row]:
                self._finish(ended, masks.pop(ended))
            self._keep(column, self._blender.add(row, column, scores_of_tile))
        for row, valid in masks.items():
            self._finish(row, valid)
        self.tiles += len(batch.tiles)
        self._journal.note(self.progress, *self._parts())

    def close(self) -> None:
        """Let go of the files."""
        for part in self._parts():
            part.close()

    def commit(self) -> None:
        """Bring everything on disk, and take it down."""
        self._journal.note(self.progress, *self._parts(), now=True)

    def _parts(self) -> Sequence[Planes]:
        return (self.map,) if self.shares is None else (self.map, self.shares)

    def _keep(self, column: int, scores: np.ndarray) -> None:
        """What the final scores of a tile's pixels mean, until their row is final."""
        here = np.s_[: scores.shape[1], self._columns.final(column)]
        if self._meaning.kind == "values":
            values = best = scores[0]
        else:
            values, best = highest(scores, self._meaning.dtype)
        self._values[0, *here], self._finite[here] = values, np.isfinite(best)
        if self.shares is not None:
            shares = softmax(scores, best)
            if self._meaning.probabilities == "uint8":
                shares = np.rint(shares * _SHARES)
            self._shares[:, *here] = shares

    def _finish(self, row: int, valid: np.ndarray) -> None:
        """Write a row, of which `valid` tells what holds data."""
        final = self._rows.final(row)
        if final.stop <= self.progress.rows:  # an earlier run wrote them
            return
        here = slice(len(valid))
        if not (self._finite[here] | ~valid).all():
            raise ValueRangeError(
                f"{self._where}: rows {final.start} to {final.stop - 1}: the model gives NaN or "
                "infinite numbers where the scene has data; check its weights and precision"
            )
        nodata = self._values.dtype.type(self._meaning.nodata)
        self.map.write(final.start, np.where(valid, self._values[:, here], nodata))
        if self.shares is not None:
            nodata = self._shares.dtype.type(self._meaning.probability_legend().nodata)
            self.shares.write(final.start, np.where(valid, self._shares[:, here], nodata))
        pixels = self.progress.pixels + int(np.count_nonzero(valid))
        self.progress = Progress(final.stop, pixels)
