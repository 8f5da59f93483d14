"""Scenes to an archive: cut, check, write, and go on where a killed run stopped."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ringmoe.archive import index as index_file
from ringmoe.archive.archive import Stream
from ringmoe.archive.builder import StreamBuilder
from ringmoe.archive.changes import digest_of
from ringmoe.archive.checks import Limits, check_tile
from ringmoe.archive.index import Index, StreamKey
from ringmoe.archive.journal import FileRecord, Journal
from ringmoe.archive.reading import (
    check_name,
    ground_sampling_distance,
    in_utf8,
    open_file,
    reader_of,
    state_of_file,
)
from ringmoe.archive.report import IngestReport
from ringmoe.archive.settings import Settings
from ringmoe.archive.shards import SHARD_BYTES
from ringmoe.archive.source import Source
from ringmoe.archive.sources import SourceFile, list_files
from ringmoe.archive.thumbnails import write_thumbnails
from ringmoe.archive.tiling import plan_tiles
from ringmoe.errors import ArchiveError, RingmoeError, WriteError
from ringmoe.locks import alone
from ringmoe.sampling.hashing import mix, name_key
from ringmoe.scenes import Scene, Window

logger = logging.getLogger(__name__)

LOCK = "ingest.lock"
Progress = Callable[[float, int], None]


def ingest(
    sources: Sequence[Source],
    out: str | Path,
    *,
    tile_size: int = 192,
    stride: int | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    root: str | Path = ".",
    limits: Limits | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> IngestReport:
    """Cut scenes to tiles, check each, and write an archive.

    Files that cannot be read and tiles that fail a check are skipped, counted and listed. A run
    that was killed goes on where it stopped when it is called again with the same arguments, and
    the archive is the same as if it had not been; a finished one only returns its report, and logs
    a warning where files were refused or have changed since.

    Args:
        sources: What to ingest.
        out: The archive's folder.
        tile_size: Height and width of a tile in pixels.
        stride: From one tile to the next; None for the tile size.
        holdout: Share of each source to hold out: whole images where it has several, of a single
            image a strip, one tile apart from the rest.
        seed: Of what is held out.
        root: What the sources' paths are relative to; provenance keeps the relative paths.
        limits: What a tile must hold.
        shard_bytes: About how large a shard is.
        progress: Called with the files done (with a fraction for the one at hand) and their number.

    Returns:
        The report, also written to `out/report.json`.

    Raises:
        ArchiveError: `out` holds another archive, or an unfinished one of files that have changed
            since; another ingest is writing there; or no tile at all was let in.
        SceneReadError: A source's path or pattern fits no file.
        ConfigError: A source or setting that cannot be.
        WriteError: The disk is full or the like; run again to go on.
    """
    settings = Settings(tile_size, stride, holdout, seed, limits or Limits(), shard_bytes)
    files = list_files(sources, Path(root), holdout, seed)
    return _Ingest(files, Path(out), settings, progress or (lambda done, total: None)).run()


class _Ingest:
    """One run over a list of files."""

    def __init__(
        self, files: Sequence[SourceFile], out: Path, settings: Settings, progress: Progress
    ) -> None:
        self.files, self.out, self.settings, self.progress = files, out, settings, progress
        given = [(file.name, asdict(file.source), file.holdout) for file in files]
        plan = json.dumps([index_file.FORMAT, asdict(settings), given])
        self.plan = hashlib.blake2b(plan.encode(), digest_size=16).hexdigest()
        self.builders: dict[StreamKey, StreamBuilder] = {}

    def run(self) -> IngestReport:
        if (self.out / index_file.FILE_NAME).exists():
            return self._finished()
        self._make_folder()
        taken = ArchiveError(
            f"{self.out}: another ingest is writing here: let it end, or choose another folder"
        )
        with alone(self.out / LOCK, taken):
            if (self.out / index_file.FILE_NAME).exists():  # another ingest has just ended
                return self._finished()
            return self._go_on()

    def _go_on(self) -> IngestReport:
        """Read what was not read before, and finish."""
        journal = Journal(self.out, self.plan)
        self._take_up(journal.records)
        try:
            for number in range(len(journal.records), len(self.files)):
                record = self._file(number)
                journal.add(record, self._sync)
            return self._finish(journal)
        finally:
            for builder in self.builders.values():
                builder.abandon()

    def _finished(self) -> IngestReport:
        """The report of an archive that is there, and a warning if another ingest would differ."""
        index = Index.read(self.out)
        if index.plan != self.plan:
            raise ArchiveError(
                f"{self.out}: holds an archive of other sources or settings: choose another folder"
            )
        report = IngestReport.read(self.out)
        reasons = []
        if index.files not in (None, digest_of([state_of_file(file) for file in self.files])):
            reasons.append("files have changed since")
        if refused := report.files["refused"]:
            reasons.append(f"{refused} of {len(self.files)} were refused")
        if reasons:
            logger.warning(
                "%s: was finished before, and nothing was read now, although %s: to read them, "
                "ingest into another folder",
                self.out,
                " and ".join(reasons),
            )
        return report

    def _make_folder(self) -> None:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"cannot make the folder {self.out}: {error.strerror}") from error

    def _take_up(self, records: Sequence[FileRecord]) -> None:
        """The streams as a killed run left them."""
        if records:
            logger.info("%s: %d files were finished before", self.out, len(records))
        for file, record in zip(self.files, records, strict=False):
            if state_of_file(file) != record.state:
                raise ArchiveError(
                    f"{self.out}: holds an unfinished ingest, and {file.path} has changed since "
                    "that read it: bring it back as it was, or remove the folder and ingest anew"
                )
        for key in dict.fromkeys(record.key for record in records if record.key):
            self._builder(key, [record for record in records if record.key == key])

    def _builder(self, key: StreamKey, finished: Sequence[FileRecord] = ()) -> StreamBuilder:
        if key not in self.builders:
            folder = self.out / key.name
            self.builders[key] = StreamBuilder(folder, key, self.settings.shard_bytes, finished)
        return self.builders[key]

    def _sync(self) -> None:
        for builder in self.builders.values():
            builder.sync()

    def _file(self, number: int) -> FileRecord:
        """Ingest one file; a damaged one leaves its error and nothing else."""
        file = self.files[number]
        record = FileRecord(file.name, state=state_of_file(file))
        try:
            check_name(file)
            scene = open_file(file)
            self._tiles(scene, file, record, number)
        except WriteError:
            raise
        except RingmoeError as error:
            if record.key is not None:
                self.builders[record.key].reject()
            message = " ".join(str(error).split())
            return FileRecord(in_utf8(file.name), in_utf8(message), state=record.state)
        if record.key is not None:
            self.builders[record.key].accept(record)
        return record

    def _tiles(self, scene: Scene, file: SourceFile, record: FileRecord, number: int) -> None:
        """Cut, check and write the tiles of one scene."""
        source, settings = file.source, self.settings
        size = source.tile_size or settings.tile_size
        stride = source.stride or (settings.stride if source.tile_size is None else None) or size
        seed = int(mix(settings.seed, name_key(file.place)))
        windows = plan_tiles(scene.height, scene.width, size, stride, file.holdout, seed)
        record.not_held_out = 0 < file.holdout < 1 and all(s == "train" for _, s in windows)
        key = StreamKey(
            scene.sensor.name,
            tuple(channel.name for channel in scene.channels),
            scene.calibration,
            scene.dtype.name,
            size,
        )
        crs = scene.crs.to_string() if scene.crs else ""
        gsd = ground_sampling_distance(scene)
        read = reader_of(scene)
        for done, (window, split) in enumerate(windows, 1):
            digital, valid = read(window)
            refusal = check_tile(digital, valid, scene.channels, scene.calibration, settings.limits)
            if refusal is not None:
                record.refuse(refusal.reason, f"{_in_words(window)}: {refusal.detail}")
            else:
                record.key = key
                self._builder(key).append(
                    record,
                    digital,
                    valid,
                    source=file.name,
                    row=window.row,
                    column=window.column,
                    split=split,
                    crs=crs,
                    gsd=gsd,
                )
            self.progress(number + done / len(windows), len(self.files))

    def _finish(self, journal: Journal) -> IngestReport:
        """Write what makes the folder an archive; the index last."""
        # In the order of the files that were let in: that of the builders knows of broken ones too.
        keys = dict.fromkeys(record.key for record in journal.records if record.key)
        entries = {key.name: self.builders[key].finish() for key in keys}
        journal.commit()
        states = [record.state for record in journal.records]
        index = Index(self.plan, entries, digest_of(states))
        for name, entry in entries.items():
            write_thumbnails(Stream(self.out / name, entry))
        report = IngestReport.of(journal.records, index)
        report.write(self.out)
        if not entries:
            journal.remove()
            reasons = [f"{t['file']}: {t['reason']}, {t['first']}" for t in report.refused_tiles]
            reasons += [refused["error"] for refused in report.refused_files]
            raise ArchiveError(
                f"{self.out}: no tile of {len(self.files)} files was let in ("
                f"{'; '.join(reasons[:3])}): see report.json there"
            )
        index.write(self.out)
        journal.remove()
        return report


def _in_words(window: Window) -> str:
    return f"{window.height} x {window.width} pixels at row {window.row}, column {window.column}"
