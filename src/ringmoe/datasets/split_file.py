"""A split as a file: a CSV of name and part, kept with the run that used it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ringmoe.datasets.config import PARTS
from ringmoe.datasets.labelled import LabelledData
from ringmoe.datasets.table import part_named, read_text
from ringmoe.errors import DatasetError
from ringmoe.files import write_csv

Split = dict[str, np.ndarray]


def write_split(path: str | Path, data: LabelledData, split: Mapping[str, np.ndarray]) -> None:
    """Write a split as a CSV file of name and part, one line an example.

    Raises:
        WriteError: The disk is full, no permission or the like.
    """
    part_of = {int(index): part for part in PARTS for index in split.get(part, ())}
    rows = ((name, part_of.get(index, "")) for index, name in enumerate(data.names))
    write_csv(Path(path), ("name", "part"), rows)


def read_split(path: str | Path, data: LabelledData) -> Split:
    """Read what `write_split` wrote. Examples that it does not name are in no part.

    Raises:
        DatasetError: There is no such file, it lacks a column, or it names a part or an example
            that there is not, or one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such split; check data.split")
    index_of = {name: index for index, name in enumerate(data.names)}
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    with io.StringIO(read_text(path), newline="") as handle:
        reader = csv.DictReader(handle)
        if not {"name", "part"} <= set(reader.fieldnames or ()):
            raise DatasetError(
                f"{path}: expected the columns name and part, found "
                f"{', '.join(reader.fieldnames or ()) or 'no header'}"
            )
        for values in reader:
            where = f"{path}, line {reader.line_num}"
            name, part = values["name"] or "", part_named(values["part"] or "", where)
            if name not in index_of:
                raise DatasetError(
                    f"{where}: there is no example {name!r} (or it stands there twice) among the "
                    f"{len(data)} of the data: remove the line, or make the split anew"
                )
            index = index_of.pop(name)
            if part:
                found[part].append(index)
    return {part: np.array(sorted(indices), np.int64) for part, indices in found.items()}
