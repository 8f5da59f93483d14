"""`ringmoe ingest`: products to an archive."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringmoe.archive import IngestReport, Source

LISTED = 10


def ingest(
    sources: list[str | dict[str, Any]],
    *,
    out: Path,
    sensor: str = "",
    bands: tuple[str, ...] | None = None,
    channels: tuple[str, ...] | None = None,
    encoding: str | None = None,
    nodata: float | None = None,
    derive: Literal["total-power", "single-look"] | None = None,
    tile_size: int = 192,
    stride: int | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    root: str = ".",
    min_valid: float = 0.5,
) -> None:
    """Cut products to checked tiles and write them to an archive.

    What cannot be read or fails a check is skipped, counted and listed in OUT/report.json. A run
    that was interrupted goes on where it stopped when the same command is run again.

    Args:
        sources: Files, folders, patterns, or folders made by `ringmoe simulate`. In a
            configuration also mappings with the keys of `ringmoe.archive.Source`.
        out: The archive's folder.
        sensor: What the files hold: a name of the sensor catalogue. Simulations know theirs.
        bands: What each band of a file is, in file order; default: as the file names them.
        channels: Which channels to keep; default: all.
        encoding: How digital values become the sensor's unit; default: the sensor's first.
        nodata: The digital value that means "no data", where the files do not say.
        derive: What to compute from PolSARpro T3 or C3 folders.
        tile_size: Height and width of a tile in pixels.
        stride: Pixels from one tile to the next; default: the tile size.
        holdout: Share of each source to hold out, 0 to 1: whole images where there are several,
            of a single image a strip, one tile apart from the rest.
        seed: Of what is held out.
        root: What the sources' paths are relative to; may hold variables: ${RINGMOE_DATA}.
        min_valid: Lowest share of a tile's pixels that must hold data.
    """
    from ringmoe.archive import Limits
    from ringmoe.archive import ingest as write_archive

    options = {
        "sensor": sensor,
        "bands": bands,
        "channels": channels,
        "encoding": encoding,
        "nodata": nodata,
        "derive": derive,
    }
    given = _sources(sources, {k: v for k, v in options.items() if v not in (None, "")})
    with _progress_bar() as advance:
        report = write_archive(
            given,
            out,
            tile_size=tile_size,
            stride=stride,
            holdout=holdout,
            seed=seed,
            root=_expanded(root),
            limits=Limits(min_valid=min_valid),
            progress=advance,
        )
    _show(report, out)


def _sources(sources: list[str | dict[str, Any]], options: dict[str, Any]) -> list[Source]:
    """Mappings as they are, and what is given as text as one source with the options."""
    from ringmoe.archive import Source
    from ringmoe.errors import ConfigError

    plain = tuple(source for source in sources if isinstance(source, str))
    given = [Source.from_dict(source) for source in sources if not isinstance(source, str)]
    if options and not plain:
        flags = ", ".join(f"--{name}" for name in options)
        raise ConfigError(f"{flags}: the sources of the configuration are mappings: put it there")
    return [*given, Source(plain, **options)] if plain else given


def _expanded(root: str) -> str:
    """The root with variables of the environment filled in."""
    from ringmoe.errors import ConfigError

    expanded = os.path.expanduser(os.path.expandvars(root))
    if missing := re.search(r"\$\{?(\w+)", expanded):
        raise ConfigError(f"root: {root}: set the environment variable {missing[1]} first")
    return expanded


@contextmanager
def _progress_bar() -> Iterator[Callable[[float, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "files", TimeRemainingColumn(), "left")
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress("[bold]ingest", *columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(report: IngestReport, out: Path) -> None:
    """What was let in, what was refused, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table("stream", "modality", "train", "held out", box=None, header_style="bold")
    for stream in report.streams:
        counts = (str(stream[split]) for split in ("train", "heldout"))
        table.add_row(stream["name"], stream["modality"], *counts)
    Console().print(table)
    files, tiles = report.files, report.tiles
    print(
        f"{files['read']} files read, {files['refused']} refused; "
        f"{tiles['train'] + tiles['heldout']} tiles ({tiles['padded']} padded), "
        f"{sum(report.refused.values())} refused"
    )
    lines = [f"{found['file']}: {found['error']}" for found in report.refused_files]
    lines += [
        f"{found['file']}: {found['tiles']} x {found['reason']}, first {found['first']}"
        for found in report.refused_tiles
    ]
    for line in lines[:LISTED]:
        print(f"refused: {line}")
    if len(lines) > LISTED:
        print(f"... and {len(lines) - LISTED} more")
    if report.not_held_out:
        print(f"too small to hold out a part of: {', '.join(report.not_held_out[:LISTED])}")
    print(f"{out}: fingerprint {report.fingerprint}; all of this in {out / 'report.json'}")
