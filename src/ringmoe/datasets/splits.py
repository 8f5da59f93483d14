"""Which examples train, validate and test: as the data say, as a file says, or drawn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.datasets.blocks import split_into_blocks
from ringmoe.datasets.config import PARTS, DataConfig
from ringmoe.datasets.labelled import LabelledData
from ringmoe.datasets.labelled_files import LabelledFiles
from ringmoe.datasets.split_file import Split, read_split
from ringmoe.datasets.tiles import IGNORED
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.sampling import mix, name_key, uniform

logger = logging.getLogger(__name__)

MANY_SCENES = 20  # from so many on, whole scenes are dealt out; of fewer, blocks of each


def split_data(data: LabelledData, config: DataConfig) -> Split:
    """The examples of each part.

    In this order: what `config.split` says, a file; what the data say, a column or folders (where
    these leave validation open, a share of the training part is drawn); what is drawn. Drawn are
    whole images at random, for each class apart; where several examples are cut from one image,
    whole images if there are many (20), else blocks of each image, one tile apart; of videos whole
    sequences, or of few the beginning and the end.

    Args:
        data: All examples.
        config: Shares and seed.

    Returns:
        "train", "validation", "test": indices, ascending int64; the last two may be empty.
        Examples between two blocks are in no part, nor is background that is not to be learned.

    Raises:
        ConfigError: `background` of labels that are no objects.
        DatasetError: No example is left to train on, a class has no training example, or the file
            names an example that there is not.
    """
    if config.split:
        split = read_split(Path(config.split), data)
    else:
        split = _declared_or_drawn(data, config)
    if config.background < 1:
        split = split | {"train": _less_background(data, split["train"], config)}
    check_training(data, split["train"])
    return split


def check_training(data: LabelledData, indices: np.ndarray) -> None:
    """Raise unless there are training examples, of every class.

    Masks are read until every class was seen.

    Raises:
        DatasetError: There is none, or a class has none.
    """
    if len(indices) == 0:
        raise DatasetError(
            f"no training example among {len(data)}: mend the split, or lower data.validation and "
            "data.test"
        )
    missing = set(range(len(data.classes)))
    for index in indices:
        if not missing:
            return
        missing -= set(classes_of(label_of(data, int(index))).tolist())
    if missing and data.kind != "height":
        names = ", ".join(data.classes[index] for index in sorted(missing))
        if data.kind in ("boxes", "rotated-boxes") and len(missing) < len(data.classes):
            logger.warning("none of %d training examples has %s", len(indices), names)
            return
        raise DatasetError(
            f"empty class: none of {len(indices)} training examples has {names}: add some, take "
            "the class out of data.classes, or make another split (data.seed)"
        )


def label_of(data: LabelledData, index: int) -> int | np.ndarray | Objects:
    """The label of an example, without its images where the data can do without reading them."""
    read = getattr(data, "label", None)
    return read(index) if read else data[index].label


def classes_of(label: int | np.ndarray | Objects) -> np.ndarray:
    """The class indices of a label: of the image, its pixels, or its objects not ignored."""
    if not isinstance(label, Objects):
        return np.ravel(label)
    return label.classes if label.ignored is None else label.classes[~label.ignored]


def _less_background(data: LabelledData, members: np.ndarray, config: DataConfig) -> np.ndarray:
    """Those with an object, and a share of the others: a function of seed and names."""
    if data.kind not in ("boxes", "rotated-boxes"):
        raise ConfigError(f"background: of objects alone, the labels are of kind {data.kind}")
    names = np.array([name_key(data.names[index]) for index in members], np.uint64)
    drawn = uniform(config.seed, name_key("background"), names) < config.background
    objects = [len(classes_of(label_of(data, int(index)))) for index in members]
    return members[(np.array(objects) > 0) | drawn]


def _declared_or_drawn(data: LabelledData, config: DataConfig) -> Split:
    part_of = np.array([row.part for row in data.rows]) if isinstance(data, LabelledFiles) else None
    everything = np.arange(len(data))
    if part_of is None or not part_of.any():
        return _draw(data, everything, config.validation, config.test, config.seed)
    split = {part: np.flatnonzero(part_of == part) for part in PARTS}
    if not len(split["validation"]) and config.validation:
        drawn = _draw(data, split["train"], config.validation, 0.0, config.seed)
        split |= {"train": drawn["train"], "validation": drawn["validation"]}
    return split


def _draw(
    data: LabelledData, members: np.ndarray, validation: float, test: float, seed: int
) -> Split:
    """Deal out some of the examples; a part without a share gets none."""
    named = {"train": 1 - validation - test, "validation": validation, "test": test}
    named = {part: share for part, share in named.items() if share}
    shares = list(named.values())
    scenes = np.unique([_scene(data, index) for index in members], return_inverse=True)
    if isinstance(data, LabelledFiles) and any(data.rows[index].sequence for index in members):
        parts = _by_sequence(data, members, shares, seed)
    elif len(scenes[0]) == len(members):
        parts = _by_class(data, members, shares, seed)
    elif len(scenes[0]) >= MANY_SCENES:
        parts = _by_quota(scenes[0].tolist(), shares, seed)[scenes[1]]
    else:
        parts = _by_blocks(data, members, scenes[1], shares, seed)
    split = {part: members[parts == number] for number, part in enumerate(named)}
    empty = [part for part in split if not len(split[part])]
    if empty and len(members) > len(named):
        smaller = "" if data.kind == "class" else "cut smaller tiles (data.tile_size), "
        raise DatasetError(
            f"nothing is left for {', '.join(empty)} among {len(members)} examples: {smaller}give "
            "more images, or name the split yourself (data.split)"
        )
    return {part: split.get(part, members[:0]) for part in PARTS}


def _scene(data: LabelledData, index: int) -> str:
    """What an example was cut from."""
    return data.rows[index].scene if isinstance(data, LabelledFiles) else data.names[index]


def _by_quota(names: Sequence[str], shares: Sequence[float], seed: int) -> np.ndarray:
    """The part of each name: a function of names and seed, whatever their order."""
    order = np.argsort(_drawn(names, seed), kind="stable")
    count, parts = len(names), np.zeros(len(names), np.int64)
    start = 0
    for part, share in enumerate(shares[1:], 1):
        stop = start + _quota(share, count, shares)
        parts[order[start:stop]] = part
        start = stop
    return parts


def _by_class(
    data: LabelledData, members: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """At random, each class in the same shares; of several in an image the rarest is its class."""
    names = np.array(data.names)[members]
    if not isinstance(data, LabelledFiles) or (data.class_of is None and data.objects is None):
        return _by_quota(names.tolist(), shares, seed)
    class_of = _rarest(data, members) if data.class_of is None else data.class_of[members]
    _, place, size = np.unique(class_of, return_inverse=True, return_counts=True)
    few = size[place] * min(shares) < 1  # of a class that has no image for each part
    parts = np.zeros(len(members), np.int64)
    for index in np.unique(class_of[~few]):
        parts[class_of == index] = _by_quota(names[class_of == index].tolist(), shares, seed)
    parts[few] = _one_in_many(names[few].tolist(), class_of[few], shares, seed)
    return parts


def _one_in_many(
    names: Sequence[str], classes: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """The part of each name, those of other parts than the first far apart in order of classes."""
    left = np.lexsort((_drawn(names, seed), classes))
    parts = np.zeros(len(names), np.int64)
    for part, share in enumerate(shares[1:], 1):
        count = _quota(share, len(names), shares)
        taken = ((np.arange(count) + 0.5) * len(left) / max(count, 1)).astype(np.int64)
        parts[left[taken]] = part
        left = np.delete(left, taken)
    return parts


def _drawn(names: Sequence[str], seed: int) -> np.ndarray:
    return mix(seed, np.array([name_key(name) for name in names], np.uint64))


def _quota(share: float, count: int, shares: Sequence[float]) -> int:
    """How many of so many; one at least where there is one for each part."""
    return max(round(share * count), int(count > len(shares)))


def _by_sequence(
    data: LabelledFiles, members: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """Whole sequences; where there are too few, each is cut in time, the first part first."""
    names, sequence_of = np.unique(
        [data.rows[index].sequence for index in members], return_inverse=True
    )
    if len(names) > len(shares):
        return _by_quota(names.tolist(), shares, seed)[sequence_of]
    parts = np.zeros(len(members), np.int64)
    for sequence in range(len(names)):
        frames = np.flatnonzero(sequence_of == sequence)
        ends = np.rint(np.cumsum(shares)[:-1] * len(frames))
        parts[frames] = np.searchsorted(ends, np.arange(len(frames)), side="right")
    return parts


def _rarest(data: LabelledFiles, members: np.ndarray) -> np.ndarray:
    """`(N,)` of each image the class of its objects that fewest images have; -1 without objects."""
    present = np.stack([_histogram(data, int(index)) for index in members]) > 0
    rarity = np.where(present, present.sum(0), len(members) + 1)
    return np.where(present.any(1), rarity.argmin(1), -1)


def _by_blocks(
    data: LabelledData,
    members: np.ndarray,
    scene_of: np.ndarray,
    shares: Sequence[float],
    seed: int,
) -> np.ndarray:
    if len(shares) == 1:
        return np.zeros(len(members), np.int64)
    assert isinstance(data, LabelledFiles)  # others are one example a scene
    windows = [data.window(index) for index in members]
    parts = split_into_blocks(
        windows,
        scene_of,
        np.stack([_histogram(data, index) for index in members]),
        shares,
        apart=max(max(window.height, window.width) for window in windows),
        seed=seed,
    )
    logger.info(
        "%d of %d examples lie between the blocks of two parts and are in none",
        np.count_nonzero(parts < 0),
        len(parts),
    )
    return parts


def _histogram(data: LabelledFiles, index: int) -> np.ndarray:
    """`(K,)` pixels or objects of each class in an example; heights are one class."""
    if data.kind == "height":
        return np.ones(1)
    labels = classes_of(data.label(index))
    return np.bincount(labels[labels != IGNORED], minlength=len(data.classes))
