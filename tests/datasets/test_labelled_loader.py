"""Batches: image and label stay together, every step can be made alone, ranks share one batch."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from ringmoe.boxes import Objects
from ringmoe.datasets import IGNORED, Example, Image, LabelledLoader, Source
from ringmoe.errors import ConfigError
from ringmoe.sensors import get_sensor, normalise

RGB, GRD, S2, SLC = map(get_sensor, ("rgb-dn8", "sentinel1-grd", "sentinel2-l2a", "airsar"))


class Made:
    """Examples of which every pixel says where it comes from: `1000 example + 40 row + column`.

    The same number stands in the images (in a unit in which it is allowed) and in the label.
    """

    def __init__(self, kind="mask", count=7, size=(24, 20), sources=("image",), sensor=RGB):
        self.kind, self.size, self.sensor = kind, size, sensor
        self.sources = {name: Source(sensor, sensor.channels[:3]) for name in sources}
        self.classes = tuple("abc") if kind != "height" else ()
        self.names = tuple(f"e{i}" for i in range(count))
        self.valid = {name: np.ones(size, bool) for name in sources}

    def __len__(self):
        return len(self.names)

    def code(self, index):
        rows, columns = np.indices(self.size)
        return 1000 * index + 40 * rows + columns

    def __getitem__(self, index):
        values = np.repeat(self.code(index)[None], 3, 0).astype(np.float32)
        images = {name: Image(values, self.valid[name]) for name in self.sources}
        label = {"class": index % 3, "mask": self.code(index)}.get(self.kind)
        if label is None:
            label = self.code(index).astype(np.float32)
        return Example(self.names[index], images, label)


def loader(data, **options) -> LabelledLoader:
    options = {"batch_size": 4, "crop_size": 16, "seed": 5, "prefetch": 0, **options}
    return LabelledLoader(data, options.pop("indices", np.arange(len(data))), **options)


def numbers(observation) -> torch.Tensor:
    """What stood in the first channel before it was normalised."""
    channel = observation.channels[0]
    return (observation.images[:, 0] * channel.std + channel.mean).round().long()


@pytest.mark.parametrize("kind", ["mask", "height"])
@pytest.mark.parametrize("sources", [("image",), ("before", "after")])
def test_images_and_label_are_cut_mirrored_and_turned_alike(kind, sources):
    """Each pixel of each image still carries its label's number, after any augmentation."""
    data = Made(kind, sources=sources)
    turned = Counter()
    for batch in loader(data).iterate(0, 8):
        for name in sources:
            assert (numbers(batch.observations[name]) == batch.labels.long()).all()
        for label in batch.labels:
            right, down = int(label[0, 1] - label[0, 0]), int(label[1, 0] - label[0, 0])
            turned[right, down] += 1
    # The 8 ways to lay a square: steps to the right and down are columns (1) and rows (40).
    assert set(turned) == {
        (x * a, y * b) for a, b in ((1, 40), (40, 1)) for x in (1, -1) for y in (1, -1)
    }


def test_without_turns_crops_stay_upright_and_still_move():
    """One column to the right, one row down, from more than one corner."""
    corners = set()
    for batch in loader(Made(), turn=False).iterate(0, 8):
        for label in batch.labels:
            assert (int(label[0, 1] - label[0, 0]), int(label[1, 0] - label[0, 0])) == (1, 40)
            corners.add(int(label[0, 0]) % 1000)
    assert len(corners) > 5


def test_classes_stay_with_their_images():
    batch = loader(Made("class")).batch(3)
    assert batch.labels.dtype == torch.int64
    for image, label, name in zip(
        numbers(batch.observations["image"]), batch.labels, batch.names, strict=True
    ):
        index = int(name[1:])
        assert int(label) == index % 3
        assert int(image.min()) // 1000 == index


def test_every_epoch_visits_every_example_once():
    """7 examples in batches of 4: 7 steps are 28 examples, each 4 times; epochs differ."""
    seen = [name for batch in loader(Made()).iterate(0, 7) for name in batch.names]
    assert Counter(seen) == dict.fromkeys(Made().names, 4)
    epochs = [seen[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(epoch) == sorted(Made().names) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    plain = loader(Made(), shuffle=False).batch(1).names
    assert plain == ("e4", "e5", "e6", "e0")


def same(a, b) -> bool:
    return (
        a.names == b.names
        and bool((a.labels == b.labels).all())
        and all(
            torch.equal(a.observations[name].images, b.observations[name].images)
            for name in a.observations
        )
    )


@settings(max_examples=4)
@given(step=st.integers(0, 200), seed=st.integers(0, 2**31))
def test_any_step_can_be_made_alone(step, seed):
    """As from the middle of a run, with threads and without."""
    alone = loader(Made(), seed=seed).batch(step)
    *_, last = loader(Made(), seed=seed, prefetch=2, threads=2).iterate(max(0, step - 2), step + 1)
    assert same(alone, last)
    assert not same(alone, loader(Made(), seed=seed + 1).batch(step))


def test_ranks_share_one_batch():
    whole = loader(Made(), batch_size=5).batch(9)
    parts = [loader(Made(), batch_size=5, rank=rank, world_size=2).batch(9) for rank in (0, 1)]
    assert [len(part) for part in parts] == [2, 3]
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
    assert sum((part.names for part in parts), ()) == whole.names


def test_evaluation_sees_the_middle_of_classified_images_in_order():
    """24 x 20 px to 16: from row 4 and column 2. The last batch is short."""
    data = Made("class")
    batches = list(loader(data, indices=[5, 3, 4, 0, 1, 6], prefetch=2).epoch())
    assert [batch.names for batch in batches] == [("e5", "e3", "e4", "e0"), ("e1", "e6")]
    np.testing.assert_array_equal(
        numbers(batches[0].observations["image"])[1], data.code(3)[4:20, 2:18]
    )
    assert batches[0].observations["image"].valid is None
    maps = loader(Made(), batch_size=1).epoch("middle")
    np.testing.assert_array_equal(next(maps).labels[0], data.code(0)[4:20, 2:18])


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("kind", ["mask", "height"])
@pytest.mark.parametrize("size", [(24, 20), (48, 32), (16, 50), (9, 17)])
def test_evaluation_sees_every_pixel_once(kind, size, prefetch):
    """All numbers of all images are labels once, each where its image has that number."""
    data = Made(kind, count=3, size=size)
    batches = list(loader(data, prefetch=prefetch).epoch())
    assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    seen = []
    for batch in batches:
        known = batch.labels >= 0  # neither IGNORED nor NaN
        seen.append(batch.labels[known].long())
        assert (numbers(batch.observations["image"])[known] == seen[-1]).all()
        valid = batch.observations["image"].valid
        assert valid is None or valid[:, 0][known].all()
    expected = np.sort(np.concatenate([data.code(index).ravel() for index in range(3)]))
    np.testing.assert_array_equal(np.sort(torch.cat(seen).numpy()), expected)
    names = [name for batch in batches for name in batch.names]
    assert len(set(names)) == len(names) == 3 * np.prod([-(-side // 16) for side in size])


def test_names_of_squares_say_where_they_are():
    names = [name for batch in loader(Made(count=1)).epoch() for name in batch.names]
    assert names == [f"e0@{row},{column},16x16" for row in (0, 8) for column in (0, 4)]


class Boxed(Made):
    """One image with boxes; their classes number them."""

    def __init__(self, boxes, ids=None):
        super().__init__("boxes", count=1)
        self.boxes, self.ids = np.array(boxes, float), ids

    def __getitem__(self, index):
        image = Image(np.repeat(self.code(0)[None], 3, 0).astype(np.float32), self.valid["image"])
        order = np.arange(len(self.boxes))
        ids = order if self.ids else None
        return Example("e0", {"image": image}, Objects(self.boxes, order, ids=ids))


def test_evaluation_asks_for_every_object():
    """24 x 20 px, squares of 16 at rows 0 and 8, columns 0 and 4.

    Box 0 is in all four squares, box 1 on the left of them in those of the lower row, box 2 in the
    lower right corner, box 3 crosses the first squares' right edge: half of it is in each.
    """
    boxes = [[6, 10, 10, 14], [0, 17, 3, 23], [17, 18, 20, 24], [14, 2, 18, 4]]
    batches = list(loader(Boxed(boxes), largest=16).epoch())
    (labels,) = [batch.labels for batch in batches]
    found = [
        (labels.names[place], int(number))
        for place in range(4)
        for objects in [labels.of(place)]
        for number, ignored in zip(objects.classes, objects.ignored, strict=True)
        if not ignored
    ]
    upper_left, upper_right, lower_left, lower_right = labels.names
    assert found == [
        (upper_left, 0),
        (upper_left, 3),
        (upper_right, 3),
        (lower_left, 1),
        (lower_right, 2),
    ]
    np.testing.assert_array_equal(labels.of(3).boxes[-1], [13, 10, 16, 16])


def test_objects_with_identities_are_all_asked_for_too():
    """What is scored of still images does not depend on whether their labels tell objects apart."""
    boxes = [[0, 1, 3, 4], [17, 18, 20, 24]]
    for ids in (False, True):
        (batch,) = loader(Boxed(boxes, ids), largest=16).epoch()
        kept = [batch.labels.of(place) for place in range(4)]
        assert sum(int((~objects.ignored).sum()) for objects in kept) == 2


def test_objects_are_cut_as_little_as_memory_allows():
    """24 x 20 px are one square of 32, objects across the middle are there once, and whole."""
    boxes = [[14, 2, 18, 4], [6, 10, 10, 14]]
    (batch,) = loader(Boxed(boxes)).epoch()
    assert batch.names == ("e0",) and batch.observations["image"].size == (32, 32)
    np.testing.assert_array_equal(batch.labels.boxes, np.add(boxes, [6, 4, 6, 4]))
    (middle,) = loader(Boxed(boxes)).epoch("middle")
    assert middle.names == ("e0",) and middle.observations["image"].size == (32, 32)


def test_whole_images_are_not_cut():
    """20 x 40 px and its transpose in squares of 64, one at a time: a batch has room for one.

    Small ones lie together, as many as a batch of four squares of 16 has room for: one of 32.
    """
    for size, side in (((20, 40), 64), ((40, 20), 64), ((20, 24), 32)):
        data = Made(count=3, size=size)
        batches = list(loader(data).epoch("whole"))
        assert [batch.names for batch in batches] == [("e0",), ("e1",), ("e2",)]
        top, left = ((side - length) // 2 for length in size)
        for index, batch in enumerate(batches):
            assert batch.labels.shape == (1, side, side)
            inside = batch.labels[0, top : top + size[0], left : left + size[1]]
            np.testing.assert_array_equal(inside, data.code(index))
            assert int((batch.labels >= 0).sum()) == size[0] * size[1]
    together = loader(Made(count=5, size=(20, 24)), crop_size=32, batch_size=2).epoch("whole")
    assert [batch.names for batch in together] == [("e0", "e1"), ("e2", "e3"), ("e4",)]


def test_small_images_lie_in_the_middle_of_nothing():
    """10 x 12 px in 16: three rows above and below, two columns left and right are not valid."""
    data = Made(size=(10, 12))
    batch = next(loader(data).epoch())
    expected = np.zeros((16, 16), bool)
    expected[3:13, 2:14] = True
    seen = batch.observations["image"]
    assert (seen.valid.numpy() == expected).all()
    assert (seen.images.numpy()[:, :, ~expected] == 0).all()
    assert (batch.labels.numpy()[:, ~expected] == IGNORED).all()
    np.testing.assert_array_equal(
        batch.labels[0].numpy()[expected].reshape(10, 12), Made(size=(10, 12)).code(0)
    )
    heights = next(loader(Made("height", size=(10, 12))).epoch()).labels.numpy()
    assert (np.isnan(heights) == ~expected).all()


@pytest.mark.parametrize(
    ("sources", "combine"),
    [(("before", "after"), np.logical_and), (("optical", "multispectral"), np.logical_or)],
)
def test_pixels_without_data_have_no_label(sources, combine):
    """Change needs both dates; of two sensors one is enough."""
    data = Made(size=(16, 16), sources=sources)
    data.valid[sources[0]][:4], data.valid[sources[1]][2:8] = False, False
    batch = next(loader(data).epoch())
    known = combine(*(data.valid[name] for name in sources))
    assert (batch.labels[0].numpy()[~known] == IGNORED).all()
    assert (batch.labels[0].numpy()[known] == data.code(0)[known]).all()
    for name in sources:
        seen = batch.observations[name]
        assert (seen.valid[0, 0].numpy() == data.valid[name]).all()
        assert (seen.images[0, :, ~torch.from_numpy(data.valid[name])] == 0).all()


def test_resizing_is_that_of_torchvision():
    """48 x 40 px to 16: images bilinear with antialiasing, classes the middle pixel of 3 rows."""
    data = Made(size=(48, 40))
    batch = next(loader(data, how="resize").epoch())
    image = torch.from_numpy(normalise(data[0].images["image"].values, RGB.channels))
    torch.testing.assert_close(
        batch.observations["image"].images[0], tv.resize(image, [16, 16]), atol=1e-4, rtol=1e-4
    )
    rows, columns = np.arange(16) * 3 + 1, ((np.arange(16) + 0.5) * 2.5).astype(int)
    np.testing.assert_array_equal(batch.labels[0], data.code(0)[np.ix_(rows, columns)])
    heights = next(loader(Made("height", size=(48, 40)), how="resize").epoch()).labels[0]
    expected = tv.resize(torch.from_numpy(data.code(0)).float()[None], [16, 16])[0]
    torch.testing.assert_close(heights, expected, atol=0.05, rtol=0)


def test_complex_images_become_in_phase_and_quadrature():
    values = np.random.default_rng(0).normal(0, 0.1, (2, 4, 16, 16)).astype(np.float32)
    looks = (values[0] + 1j * values[1]).astype(np.complex64)

    class Looks(Made):
        sources = {"image": Source(SLC, SLC.channels)}  # noqa: RUF012

        def __init__(self):
            self.kind, self.classes, self.names = "class", ("a",), ("x",)

        def __getitem__(self, index):
            return Example("x", {"image": Image(looks, np.ones((16, 16), bool))}, 0)

    seen = loader(Looks(), batch_size=1).epoch()
    observation = next(seen).observations["image"]
    assert observation.channel_names == tuple(
        f"{p}_{part}" for p in ("HH", "HV", "VH", "VV") for part in "IQ"
    )
    scale = SLC.channels[1].std
    np.testing.assert_allclose(observation.images[0, 3], values[1, 1] / scale, rtol=1e-5)


@pytest.mark.slow
def test_modalities_are_left_out_as_often_as_asked():
    """Of 400 steps 0.3 lack one, either as often; all ranks lack the same. 4 standard errors."""
    data = Made(sources=("optical", "multispectral"), size=(4, 4))
    options = {"missing": 0.3, "crop_size": 4, "batch_size": 2, "world_size": 2}
    first, second = (loader(data, rank=rank, **options).iterate(0, 400) for rank in (0, 1))
    lacking = Counter()
    for batch, other in zip(first, second, strict=True):
        assert set(batch.observations) == set(other.observations)
        lacking[frozenset(batch.observations)] += 1
    assert lacking[frozenset(data.sources)] == pytest.approx(280, abs=4 * np.sqrt(400 * 0.3 * 0.7))
    assert all(lacking[frozenset([name])] > 30 for name in data.sources)
    whole = loader(data, **options).epoch()
    assert all(len(batch.observations) == 2 for batch in whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1, "world_size": 2}, "at least one example a process"),
        ({"missing": 0.5}, "expected several modalities, the data have image"),
        ({"missing": 1.0}, "under 1"),
    ],
)
def test_settings_that_cannot_be_meant(options, message):
    with pytest.raises(ConfigError, match=message):
        loader(Made(), **options)


def test_radar_is_never_resized():
    data = Made(sensor=S2)
    data.sources = {"image": Source(GRD, GRD.channels[:3])}
    with pytest.raises(ConfigError, match=r"SAR is cut or padded, never resized"):
        loader(data, how="resize")


def test_an_empty_part_gives_nothing():
    empty = loader(Made(), indices=[])
    assert list(empty.epoch()) == []
    with pytest.raises(ConfigError, match="part of the split is empty"):
        empty.batch(0)


def test_a_batch_moves_as_a_whole():
    batch = loader(Made()).batch(0).to("meta")
    assert batch.labels.is_meta and batch.observations["image"].images.is_meta
    assert len(batch) == 4
