"""Figures one by one: each is a cell, one JSON file, and what is there is not measured again."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import describe_environment
from ringmoe.errors import ConfigError
from ringmoe.files import replacing

logger = logging.getLogger(__name__)


def fill_cell(
    path: Path,
    names: Mapping[str, Any],
    settings: Mapping[str, Any],
    measure: Callable[[], Mapping[str, Any]],
) -> None:
    """Measure a cell that is not there yet, and write it with all that one needs to compare it.

    Args:
        path: Of its file.
        names: What the cell is, e.g. variant and seed.
        settings: What its figures depend on.
        measure: Gives its figures.

    Raises:
        ConfigError: The cell is there, but of other settings.
    """
    settings = json.loads(json.dumps(settings))
    if path.exists():
        if json.loads(path.read_text())["settings"] != settings:
            raise ConfigError(f"{path}: of other settings; choose another --results")
        return
    logger.info(", ".join(f"{name} {value}" for name, value in names.items()))
    begin = time.perf_counter()
    cell = {
        **names,
        "result": measure(),
        "seconds": round(time.perf_counter() - begin, 1),
        "settings": settings,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "environment": describe_environment(),
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(cell) + "\n")
