"""Examples in memory: read once, the same, within their room."""

import numpy as np
import pytest
from tests.datasets.test_labelled_loader import Made, loader

from ringmoe.datasets import LabelledData
from ringmoe.datasets.cached import MEGABYTE, CachedExamples


class Counted(Made):
    """Counts how often an example is read."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.valid = {}
        self.reads = []

    def __getitem__(self, index):
        self.valid = {name: np.ones(self.size, bool) for name in self.sources}
        self.reads.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("kind", ["mask", "height", "class"])
def test_batches_are_the_same_and_examples_are_read_once(kind):
    data = Counted(kind, sources=("before", "after"))
    plain, cached = loader(data), loader(CachedExamples(data, 1))
    assert isinstance(cached.data, LabelledData) and len(cached.data) == len(data)
    expected = [plain.batch(step) for step in range(6)]
    data.reads.clear()
    found = [cached.batch(step) for step in range(6)]
    assert sorted(data.reads) == list(range(7))  # 24 were asked for
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.names == theirs.names and (ours.labels == theirs.labels).all()
        for name, seen in ours.observations.items():
            assert (seen.images == theirs.observations[name].images).all()


def test_what_was_read_first_stays_while_there_is_room():
    """An example is 24 x 20 pixels of 3 float32, a bool and an int64 label: 21 bytes each."""
    data = Counted()
    size = 24 * 20 * (3 * 4 + 1 + 8)
    cached = CachedExamples(data, 2.5 * size / MEGABYTE)
    for _ in range(3):
        for index in (4, 1, 6):
            assert cached[index].name == f"e{index}"
    assert data.reads == [4, 1, 6, 6, 6]
    with pytest.raises(ValueError, match="read-only"):
        cached[4].images["image"].values[0] = 0
    none = CachedExamples(data, 0)
    data.reads.clear()
    assert [none[2].name, none[2].name] == ["e2", "e2"] and data.reads == [2, 2]
