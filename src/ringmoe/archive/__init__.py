"""Scenes to checked tiles to shards; shards to mixed-modality batches.

Example:
    report = ingest([Source(("scenes/*.tif",), sensor="sentinel2-l2a")], "archive", holdout=0.1)
    loader = TileLoader(Archive.open("archive"), batch_size=32, crop_size=96)
    for batches in loader.iterate(start_step=0, stop_step=1000):
        model([batch.observation for batch in batches])
"""

from ringmoe.archive.archive import SPLITS, Archive, Stream
from ringmoe.archive.checks import Limits
from ringmoe.archive.ingest import ingest
from ringmoe.archive.loader import Batch, TileLoader
from ringmoe.archive.report import IngestReport
from ringmoe.archive.sources import Source

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
