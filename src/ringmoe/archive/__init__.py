"""Scenes to checked tiles to shards; shards to mixed-modality batches.

Example:
    report = ingest([Source(("scenes/*.tif",), sensor="sentinel2-l2a")], "archive", holdout=0.1)
    loader = TileLoader(Archive.open("archive"), batch_size=32, crop_size=96)
    for batches in loader.iterate(start_step=0, stop_step=1000):
        model([batch.observation for batch in batches])

The loader is looked up when first used, so that an ingest does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringmoe.archive.archive import SPLITS, Archive, Stream
from ringmoe.archive.checks import Limits
from ringmoe.archive.ingest import ingest
from ringmoe.archive.report import IngestReport
from ringmoe.archive.source import Source

if TYPE_CHECKING:
    from ringmoe.archive.loader import Batch, TileLoader

__all__ = [
    "SPLITS",
    "Archive",
    "Batch",
    "IngestReport",
    "Limits",
    "Source",
    "Stream",
    "TileLoader",
    "ingest",
]


def __getattr__(name: str) -> Any:
    if name in ("Batch", "TileLoader"):
        from ringmoe.archive import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
