"""How an ingest cuts and checks scenes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringmoe.archive.checks import Limits
from ringmoe.archive.shards import SHARD_BYTES
from ringmoe.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """How scenes are cut and checked, unless a source says otherwise.

    Attributes:
        tile_size: Height and width of a tile in pixels.
        stride: From one tile to the next; None for the tile size.
        holdout: Share held out.
        seed: Of what is held out.
        limits: What a tile must hold.
        shard_bytes: About how large a shard is.
    """

    tile_size: int = 192
    stride: int | None = None
    holdout: float = 0.0
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    shard_bytes: int = SHARD_BYTES

    def __post_init__(self) -> None:
        if self.tile_size < 1 or (self.stride is not None and self.stride < 1):
            raise ConfigError(
                f"tile_size and stride must be positive, got {self.tile_size} and {self.stride}"
            )
        if not 0 <= self.holdout <= 1:
            raise ConfigError(f"holdout must be from 0 to 1, got {self.holdout}")
