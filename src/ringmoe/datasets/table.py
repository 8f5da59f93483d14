"""A CSV file, or whatever else lists labelled files, as one table of rows."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringmoe.datasets.config import DATES
from ringmoe.datasets.labelled import LabelKind
from ringmoe.errors import DatasetError
from ringmoe.scenes import Window
from ringmoe.sensors import MODALITIES

WINDOW_COLUMNS = ("row", "column", "height", "width")
# What data sets call their parts, and what they are called here; "" for no part.
PART_NAMES = {
    "": "",
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Row:
    """Files that belong together.

    Attributes:
        name: Unique in the table.
        images: Image name to its file.
        label: The class as it is written, or the file of a mask or of heights.
        part: "train", "validation", "test", or "" where the data do not say.
        window: The pixels that are meant; None for all.
        where: For messages: the line or folder that says all this.
        sequence: Of a video's frame, the name of the video; else "".
    """

    name: str
    images: Mapping[str, str]
    label: str
    part: str = ""
    window: Window | None = None
    where: str = ""
    sequence: str = ""

    @property
    def scene(self) -> str:
        """The name of the whole image that this may be a part of."""
        return self.name if self.window is None else self.name.removesuffix(_place(self.window))


def read_csv(file: Path, kind: LabelKind, image_names: Sequence[str] = ()) -> list[Row]:
    """The rows of a CSV file with a header.

    Columns: `image` (or `before` and `after`, or one a modality), `label` (a class, or a path),
    and optionally `split`, and `row`, `column`, `height`, `width` of a window in pixels. Paths are
    relative to the file's folder. Other columns are passed over.

    Args:
        file: The CSV file, UTF-8.
        kind: What `label` holds.
        image_names: Which columns hold images; none: those that the header has.

    Raises:
        DatasetError: A column, a file or a value is missing, or a row stands twice.
    """
    if not file.is_file():
        raise DatasetError(f"{file}: there is no such file; check data.path")
    columns, lines = csv_lines(file)
    images = tuple(image_names) or _image_columns(file, columns)
    windowed = any(name in columns for name in WINDOW_COLUMNS)
    _need(file, columns, (*images, "label", *(WINDOW_COLUMNS if windowed else ())))
    rows = [_row(where, given, file.parent, kind, images, windowed) for where, given in lines]
    if not rows:
        raise DatasetError(f"{file}: lists no example: add a line for each below the header")
    check_unique(rows)
    return rows


def csv_lines(file: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, dict[str, str]]]]:
    """The columns of a CSV file, and of each further line where it is and what it says.

    No value goes on over the end of its line, so that a quote that nobody closed spoils that line
    alone. Empty lines are left out, and values without a column.

    Raises:
        DatasetError: The file is in another encoding.
    """
    handle = io.StringIO(read_text(file), newline=None)
    columns = tuple(_values(next(handle, "")))
    named = (
        (f"{file}, line {number}", dict(itertools.zip_longest(columns, values, fillvalue="")))
        for number, line in enumerate(handle, 2)
        if any(values := _values(line)[: len(columns)])
    )
    return columns, named


def _values(line: str) -> list[str]:
    try:
        words = next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:  # a field of 131,072 characters or more is none that is meant
        words = [line[:80]]
    return [word.strip() for word in words]


def read_text(file: Path) -> str:
    """What a UTF-8 file says.

    Raises:
        DatasetError: It is in another encoding.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: is no UTF-8 ({error}): save it as UTF-8") from None


def check_unique(rows: Sequence[Row]) -> None:
    """Raise `DatasetError` if two rows are the same example."""
    seen: dict[str, Row] = {}
    for row in rows:
        if (other := seen.setdefault(row.name, row)) is not row:
            raise DatasetError(
                f"{row.where}: {row.name} stands there already ({other.where}): list each example "
                "once"
            )


def part_named(name: str, where: str) -> str:
    """The part that a data set calls so.

    Raises:
        DatasetError: It is none.
    """
    try:
        return PART_NAMES[name.strip().lower()]
    except KeyError:
        raise DatasetError(
            f"{where}: expected the split train, val or test, found {name!r}"
        ) from None


def check_there(path: str, where: str) -> None:
    """Raise `DatasetError` unless a file (or a folder, or `FILE.npy#DATE`) is there."""
    if "://" in path or path.startswith("/vsi"):
        return
    file = path.rpartition("#")[0] if ".npy#" in path else path
    if not Path(file).exists():
        raise DatasetError(f"{where}: there is no file {path}: mend the path, or leave it out")


def _image_columns(file: Path, columns: Sequence[str]) -> tuple[str, ...]:
    if "image" in columns:
        return ("image",)
    if any(name in columns for name in DATES):
        return DATES
    found = tuple(name for name in MODALITIES if name in columns)
    if not found:
        raise DatasetError(
            f"{file}: expected a column image (or before and after, or one a modality), found "
            f"{', '.join(columns) or 'no header'}: name the columns in the first line"
        )
    return found


def _need(file: Path, columns: Sequence[str], needed: Sequence[str]) -> None:
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise DatasetError(
            f"{file}: has no column {', '.join(lacking)}, only {', '.join(columns)}: add it to the "
            "first line and to every other"
        )


def _row(
    where: str,
    given: Mapping[str, str],
    folder: Path,
    kind: LabelKind,
    images: Sequence[str],
    windowed: bool,
) -> Row:
    empty = [name for name in (*images, "label") if not given.get(name)]
    if empty:
        raise DatasetError(f"{where}: {', '.join(empty)} is empty: fill it in, or drop the line")
    paths = {name: _path(folder, given[name], where) for name in images}
    label = given["label"] if kind == "class" else _path(folder, given["label"], where)
    window = _window(given, where) if windowed else None
    name = given[images[0]].replace("\\", "/")
    return Row(
        name=name if window is None else windowed_name(name, window),
        images=paths,
        label=label,
        part=part_named(given.get("split", ""), where),
        window=window,
        where=where,
    )


def windowed_name(name: str, window: Window) -> str:
    """The name of a part of an image: `FILE@row,column,heightxwidth`."""
    return name + _place(window)


def _place(window: Window) -> str:
    return f"@{window.row},{window.column},{window.height}x{window.width}"


def _path(folder: Path, text: str, where: str) -> str:
    """A path as `open_scene` takes it; written on Windows, it may have backslashes."""
    path = text if "://" in text else str(folder / text.replace("\\", "/"))
    check_there(path, where)
    return path


def _window(given: Mapping[str, str], where: str) -> Window | None:
    texts = [given[name] for name in WINDOW_COLUMNS]
    if not any(texts):
        return None
    try:
        row, column, height, width = map(int, texts)
    except ValueError:
        raise DatasetError(
            f"{where}: expected whole numbers of pixels in {', '.join(WINDOW_COLUMNS)}, found "
            f"{', '.join(texts)}"
        ) from None
    if row < 0 or column < 0 or height < 1 or width < 1:
        raise DatasetError(
            f"{where}: expected a window with row and column from 0, height and width from 1, "
            f"found {', '.join(texts)}"
        )
    return Window(row, column, height, width)
