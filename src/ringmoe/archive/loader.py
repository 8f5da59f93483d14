"""Mixed-modality batches from an archive: exactly resumable, the same for any workers and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ringmoe.archive.archive import SPLITS, Archive, Stream
from ringmoe.archive.collate import collate
from ringmoe.archive.sampler import Draw, Sampler, StreamShares
from ringmoe.errors import ConfigError
from ringmoe.observation import Observation
from ringmoe.sampling.crops import RESIZED_AREA, Crop, draw_crops
from ringmoe.sampling.hashing import mix, name_key
from ringmoe.sampling.order import WINDOW_SHARDS, TileOrder
from ringmoe.sampling.prefetch import prepared


@dataclass(frozen=True)
class Batch:
    """The images of one modality in one step, on one rank.

    Attributes:
        observation: What the model takes.
        scale: `(C,)` float32: the standard deviation that each channel was divided by. It turns
            differences of normalised log-amplitude back to differences of log-amplitude.
        provenance: File and window of each image's tile.
        stream: The stream that the images come from.
        positions: Where each image stands in the stream's endless order.
        tiles: The tile of the stream that each image was cut from.
    """

    observation: Observation
    scale: Tensor
    provenance: tuple[str, ...]
    stream: str
    positions: tuple[int, ...]
    tiles: tuple[int, ...]

    @property
    def modality(self) -> str:
        """One of `ringmoe.sensors.MODALITIES`."""
        return self.observation.modality

    def __len__(self) -> int:
        """Number of images."""
        return self.observation.batch_size

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return replace(self, observation=self.observation.to(device), scale=self.scale.to(device))

    def origin(self) -> dict[str, Any]:
        """Modality, file and window of every image, and whether its pixels are finite, as JSON."""
        return {
            "modality": self.modality,
            "tiles": list(self.provenance),
            "finite": self.observation.images.isfinite().all((1, 2, 3)).tolist(),
        }


class TileLoader:
    """Batches of several modalities for each step.

    Everything is a function of `seed` and the step: which tiles, and how they are cut, flipped and
    turned. To resume, ask for the next step; nothing else has to be kept. Ranks cut one global
    batch into slices, so that another number of ranks sees the same global batches.

    A modality with several streams draws one of them at each step, so that its images make one
    batch. SAR is cut, never resized, whatever `crop` says: resampling correlates speckle.

    Args:
        archive: Where the tiles are.
        batch_size: Images in a step, over all modalities and ranks.
        crop_size: Height and width of the images in pixels.
        seed: Of order, crops, flips and turns.
        shares: Relative share of each modality, kept as exact quotas of every 1000 steps; None
            gives every modality the same.
        modalities: Which to load, in which order; None loads all the archive has.
        split: "train" or "heldout".
        rank: Which slice of the global batch to give.
        world_size: Of how many slices.
        crop: "cut" (no resampling), "resized" (a random part of the tile, resampled; optical and
            multispectral only) or "centre" (nothing at random, for evaluation).
        resized_area: Lowest and highest share of a tile that "resized" takes.
        flip: Flip half of the images left to right.
        turns: Turn by right angles at random.
        stream_shares: How often each stream of a modality is drawn: "sqrt" of its number of tiles
            or "proportional" to it. "sqrt" keeps a small but different sensor from drowning beside
            a large one, at the price of seeing its tiles more often.
        prefetch: Steps to prepare ahead, in a thread; 0 prepares each when it is asked for.
        threads: Threads that prepare steps; the batches do not depend on it.
        window_shards: Shards among which tiles are shuffled (`TileOrder`).

    Raises:
        ConfigError: A modality, share, rank or size that does not fit the archive.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        batch_size: int,
        crop_size: int,
        seed: int = 0,
        shares: Mapping[str, float] | None = None,
        modalities: Sequence[str] | None = None,
        split: str = "train",
        rank: int = 0,
        world_size: int = 1,
        crop: Crop = "cut",
        resized_area: tuple[float, float] = RESIZED_AREA,
        flip: bool = True,
        turns: bool = False,
        stream_shares: StreamShares = "sqrt",
        prefetch: int = 2,
        threads: int = 1,
        window_shards: int = WINDOW_SHARDS,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank must be from 0 to {world_size - 1}, got {rank}")
        if split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        self.archive, self.split, self.crop_size = archive, split, crop_size
        self._rank, self._world_size = rank, world_size
        self._crop, self._area, self._flip, self._turns = crop, resized_area, flip, turns
        self._prefetch, self._threads = prefetch, threads
        groups = _streams(archive, modalities, split)
        self._keys = {
            stream.name: int(mix(seed, name_key(f"{split} {stream.name}")))
            for group in groups.values()
            for stream in group
        }
        orders = {
            modality: {
                stream.name: TileOrder(
                    stream.indices(split),
                    stream.tiles_per_shard,
                    self._keys[stream.name],
                    window_shards,
                )
                for stream in group
            }
            for modality, group in groups.items()
        }
        #: Tiles of each modality in the split.
        self.tiles = {m: sum(map(len, group.values())) for m, group in orders.items()}
        self._sampler = Sampler(orders, batch_size, shares, stream_shares)
        for stream in itertools.chain.from_iterable(groups.values()):
            if self._crop_of(stream) != "resized" and crop_size > stream.tile_size:
                raise ConfigError(
                    f"crop_size {crop_size} is larger than the {stream.tile_size} px tiles of "
                    f"stream {stream.name}: choose a smaller one, or ingest larger tiles"
                )

    def batches(self, step: int) -> list[Batch]:
        """This rank's images of a step, one batch per modality that has images in it.

        A rank may have none of a modality where the modality has fewer images than there are ranks.

        Raises:
            ShardError: A shard is cut short, or a tile is not what was written.
        """
        drawn = []
        for draw in self._sampler.draws(step):
            count = len(draw.tiles)
            first = count * self._rank // self._world_size
            last = count * (self._rank + 1) // self._world_size
            if last > first:
                part = slice(first, last)
                drawn.append(self._batch(Draw(draw.stream, draw.positions[part], draw.tiles[part])))
        return drawn

    def iterate(self, start_step: int = 0, stop_step: int | None = None) -> Iterator[list[Batch]]:
        """`batches` of `start_step`, `start_step + 1`, ... before `stop_step`, prepared ahead.

        Raises:
            ShardError: As `batches`, when the damaged step is reached.
        """
        steps = itertools.count(start_step) if stop_step is None else range(start_step, stop_step)
        return prepared(self.batches, steps, ahead=self._prefetch, threads=self._threads)

    def _crop_of(self, stream: Stream) -> Crop:
        is_sar = stream.modality.startswith("sar")
        return "cut" if is_sar and self._crop == "resized" else self._crop

    def _batch(self, draw: Draw) -> Batch:
        stream = self.archive.streams[draw.stream]
        crop = self._crop_of(stream)
        crops = draw_crops(
            stream.table["height"][draw.tiles].astype(np.int64),
            stream.table["width"][draw.tiles].astype(np.int64),
            draw.positions,
            key=self._keys[draw.stream],
            size=self.crop_size,
            crop=crop,
            flip=self._flip,
            turns=self._turns,
            area=self._area,
        )
        tiles = draw.tiles.tolist()
        images, valid = collate(
            map(stream.tile, tiles), crops, stream.channels, stream.calibration, self.crop_size
        )
        channels = stream.sensor.stem_channels(stream.channels)
        observation = Observation(
            torch.from_numpy(images),
            stream.modality,
            channels,
            None if stream.fully_valid else torch.from_numpy(valid),
            None if crop == "resized" else stream.gsd,
        )
        return Batch(
            observation=observation,
            scale=torch.tensor([channel.std for channel in channels]),
            provenance=tuple(map(stream.provenance, tiles)),
            stream=stream.name,
            positions=tuple(draw.positions.tolist()),
            tiles=tuple(tiles),
        )


def _streams(
    archive: Archive, modalities: Sequence[str] | None, split: str
) -> dict[str, list[Stream]]:
    """The streams of each modality that have tiles of the split.

    Raises:
        ConfigError: A modality has none.
    """
    groups = {
        modality: [
            stream
            for stream in archive.streams.values()
            if stream.modality == modality and len(stream.indices(split))
        ]
        for modality in (archive.modalities if modalities is None else modalities)
    }
    if modalities is None:
        groups = {modality: streams for modality, streams in groups.items() if streams}
    empty = [modality for modality, streams in groups.items() if not streams]
    if empty or not groups:
        raise ConfigError(
            f"{archive.path}: no {split} tiles of {', '.join(empty) or 'any modality'}; the "
            f"archive has {', '.join(archive.modalities)}"
        )
    return groups
