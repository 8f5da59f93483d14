"""TorchGeo's own classes over tiny files in their real layouts, and anything shaped like them.

The first tests need no TorchGeo: what is asked of a data set is the shape of its samples.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from tests.datasets.small_files import rgb, save_png, save_tif, stripes
from tests.tasks.labelled import settings, write_backbone

from ringmoe.datasets import (
    IGNORED,
    DataConfig,
    LabelledData,
    LabelledLoader,
    fingerprint,
    from_torchgeo,
    split_data,
)
from ringmoe.errors import ConfigError, DatasetError, ShapeError, ValueRangeError
from ringmoe.tasks import finetune, load_task


class Samples:
    """A data set as TorchGeo makes them: tensors in dicts."""

    def __init__(self, *samples, **attributes):
        self.samples_ = [
            {key: torch.as_tensor(value) for key, value in sample.items()} for sample in samples
        ]
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.samples_)

    def __getitem__(self, index):
        return dict(self.samples_[index])


def image(seed=1, **options):
    return rgb(seed, **options).astype(np.float32)


def test_two_dates_come_as_two_images_or_as_one_stack():
    """`image1`, `image2` and a mask up to 0.7; `(2, C, H, W)` and a `(1, H, W)` mask since."""
    old = Samples({"image1": image(1), "image2": image(2), "mask": stripes()})
    new = Samples({"image": np.stack([image(1), image(2)]), "mask": stripes()[None]})
    for samples in (old, new):
        data = from_torchgeo(samples, "rgb-dn8", classes=("same", "changed"))
        assert tuple(data.sources) == ("before", "after")
        np.testing.assert_array_equal(data[0].images["after"].values, rgb(2))
        np.testing.assert_array_equal(data[0].label, stripes())


def test_floating_masks_are_heights():
    heights = np.linspace(0, 9, 1024, dtype=np.float32).reshape(32, 32)
    data = from_torchgeo(Samples({"image": image(), "mask": heights}), "rgb-dn8")
    assert (data.kind, data.classes) == ("height", ())
    np.testing.assert_array_equal(data[0].label, heights)


def test_numbers_become_units_and_channels_may_be_skipped():
    """Sentinel-2 digital numbers of 3000 are a reflectance of 0.3; NaN is no data."""
    values = np.full((3, 8, 8), 3000.0, np.float32)
    values[:, 2, 2] = np.nan
    samples = Samples({"image": values, "label": 1}, classes=["a", "b"])
    data = from_torchgeo(samples, "sentinel2-l1c", bands=["B04", "-", "B08"])
    assert [c.name for c in data.sources["image"].channels] == ["B04", "B08"]
    seen = data[0].images["image"]
    assert seen.values.shape == (2, 8, 8) and not seen.valid[2, 2]
    np.testing.assert_allclose(seen.values[:, seen.valid], 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("sample", "options", "error", "message"),
    [
        ({"image": image()}, {}, DatasetError, "expected a sample with label or mask, found image"),
        ({"mask": stripes()}, {}, DatasetError, "expected a sample with image, or image1"),
        ({"image": image(), "mask": stripes()}, {}, ConfigError, "does not name its classes"),
        ({"image": image()[:2], "label": 0}, {}, ShapeError, r"has 2 channels, but 3 are named"),
        ({"image": image(), "label": [0, 1]}, {}, ShapeError, "expected one class an image"),
        ({"image": image()[0], "label": 0}, {}, ShapeError, r"expected one image \(C, H, W\)"),
    ],
)
def test_samples_of_another_shape(sample, options, error, message):
    with pytest.raises(error, match=message):
        from_torchgeo(Samples(sample), "rgb-dn8", **options)


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        ({"image": image(), "label": 2}, DatasetError, r"Samples\[1\]: label 2, expected 0 to 1"),
        ({"image": image() * 9, "label": 0}, ValueRangeError, r"Samples\[1\]: .*digital numbers"),
        ({"image": image()[:2], "label": 0}, ShapeError, "has 2 channels, the first had more"),
    ],
)
def test_a_bad_sample_is_named(sample, error, message):
    good = {"image": image(), "label": 0}
    data = from_torchgeo(Samples(good, sample), "rgb-dn8", classes=("a", "b"))
    data[0]
    with pytest.raises(error, match=message):
        data[1]


def test_an_empty_data_set():
    with pytest.raises(ConfigError, match="has no example"):
        from_torchgeo(Samples(), "rgb-dn8")


# From here on TorchGeo itself reads the files.


@pytest.fixture(scope="module")
def datasets():
    """Its module, which takes seconds to import."""
    import torchgeo.datasets

    return torchgeo.datasets


def save_jpg(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.transpose(1, 2, 0)).save(path)


def test_resisc45(datasets, tmp_path):
    """`NWPU-RESISC45/CLASS/CLASS_001.jpg`, and lists of names for each part."""
    for seed, name in enumerate(("airplane", "beach", "wetland")):
        save_jpg(tmp_path / "NWPU-RESISC45" / name / f"{name}_001.jpg", rgb(seed))
        save_jpg(tmp_path / "NWPU-RESISC45" / name / f"{name}_002.jpg", rgb(seed + 9))
    (tmp_path / "resisc45-train.txt").write_text(
        "\n".join(f"{name}_001.jpg" for name in ("airplane", "beach", "wetland"))
    )
    data = from_torchgeo(datasets.RESISC45(tmp_path, split="train"), "rgb-dn8")
    assert isinstance(data, LabelledData)
    assert (data.kind, data.classes) == ("class", ("airplane", "beach", "wetland"))
    assert data.names[1] == "beach/beach_001.jpg"
    stored = np.array(Image.open(tmp_path / "NWPU-RESISC45" / "wetland" / "wetland_001.jpg"))
    np.testing.assert_array_equal(data[2].images["image"].values, stored.transpose(2, 0, 1))
    assert [data[i].label for i in range(3)] == [0, 1, 2]
    # As any labelled data: split and in batches.
    split = split_data(data, DataConfig(path=tmp_path, sensor="rgb-dn8", validation=0.0))
    batch = LabelledLoader(data, split["train"], batch_size=3, crop_size=32).batch(0)
    assert sorted(batch.labels.tolist()) == [0, 1, 2]
    assert len(fingerprint(data)) == 16


def test_loveda(datasets, tmp_path):
    """Its masks count from 1 and 0 is no data, though `classes` begins with background."""
    codes = np.tile(np.arange(8, dtype=np.uint8), (32, 4))
    for seed, scene in enumerate(("Urban", "Rural")):
        save_png(tmp_path / "Train" / scene / "images_png" / f"{seed}.png", rgb(seed))
        save_png(tmp_path / "Train" / scene / "masks_png" / f"{seed}.png", codes)
    data = from_torchgeo(datasets.LoveDA(tmp_path, split="train"), "rgb-dn8")
    assert data.classes[0] == "background" and data.classes[-1] == "agriculture"
    assert data.names[0] == "Train/Rural/images_png/1.png"
    np.testing.assert_array_equal(data[0].images["image"].values, rgb(1))
    assert data[0].label[0, :8].tolist() == [IGNORED, 0, 1, 2, 3, 4, 5, 6]
    split_data(data, DataConfig(path=tmp_path, sensor="rgb-dn8", validation=0.0))  # all classes
    config = settings(write_backbone(tmp_path / "start"), tmp_path / "run", steps=2)
    run = finetune("segmentation", config, data, split={"train": [0, 1]}, progress=False)
    assert load_task(run.model_dir).task.classes == data.classes


def test_levir_cd(datasets, tmp_path):
    for folder, values in (("A", rgb(1)), ("B", rgb(2)), ("label", stripes() * 255)):
        save_png(tmp_path / folder / "train_1.png", values)
    data = from_torchgeo(datasets.LEVIRCD(tmp_path, split="train"), "rgb-dn8")
    assert (data.kind, data.classes) == ("mask", ("no change", "change"))
    assert data.names == ("A/train_1.png",)
    np.testing.assert_array_equal(data[0].images["before"].values, rgb(1))
    np.testing.assert_array_equal(data[0].images["after"].values, rgb(2))
    np.testing.assert_array_equal(data[0].label, stripes())


def test_potsdam(datasets, tmp_path):
    """Four channels (the fourth is near infrared), and masks in six colours."""
    colours = np.array(datasets.Potsdam2D.colormap, np.uint8)
    codes = stripes(classes=6)
    four = np.concatenate([rgb(1), rgb(2)[:1]])
    name = "top_potsdam_2_10"
    save_tif(tmp_path / "4_Ortho_RGBIR" / f"{name}_RGBIR.tif", four)
    save_tif(tmp_path / f"{name}_label.tif", colours[codes].transpose(2, 0, 1))
    samples = datasets.Potsdam2D(tmp_path, split="train")
    data = from_torchgeo(samples, "rgb-dn8", bands=["red", "green", "blue", "-"])
    assert data.classes == datasets.Potsdam2D.classes
    np.testing.assert_array_equal(data[0].images["image"].values, rgb(1))
    np.testing.assert_array_equal(data[0].label, codes)
    infrared = from_torchgeo(samples, "multispectral-dn8", bands=["red", "green", "blue", "nir"])
    assert [c.key for c in infrared.sources["image"].channels] == ["B04", "B03", "B02", "B08"]
