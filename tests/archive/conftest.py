"""An archive of small scenes, made through the real ingest."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.archive.small_scenes import write_scenes

from ringmoe.archive import Archive, Source, ingest


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> tuple[Path, list[Source]]:
    """The root folder and the sources in it."""
    root = tmp_path_factory.mktemp("scenes")
    return root, write_scenes(root)


@pytest.fixture(scope="session")
def archive(scenes, tmp_path_factory) -> Archive:
    """Tiles of 32 px, several shards a stream, a fifth held out."""
    root, sources = scenes
    out = tmp_path_factory.mktemp("archive") / "archive"
    ingest(sources, out, tile_size=32, holdout=0.2, root=root, shard_bytes=60_000)
    return Archive.open(out)
