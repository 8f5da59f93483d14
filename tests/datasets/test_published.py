"""The published benchmarks on the real files: counts as published, parts that do not touch."""

import numpy as np
import pytest

from ringmoe.datasets import aid, land_use, mstar, polsf
from ringmoe.datasets.tiles import IGNORED


def test_aid_trains_on_50_and_tests_on_30_of_each_class(real_data):
    """The first 50 by number are the ones that pre-training may see; 41 to 50 validate."""
    benchmark = aid(real_data / "aid")
    assert len(benchmark.train.classes) == 30
    assert np.bincount(benchmark.train.labels).tolist() == [50] * 30
    assert np.bincount(benchmark.test.labels).tolist() == [30] * 30
    numbers = [int(path.stem.rpartition("_")[2]) for path in benchmark.train.paths]
    assert set(numbers) == set(range(1, 51))
    fit = benchmark.train.subset(~benchmark.validation)
    validation = benchmark.train.subset(benchmark.validation)
    assert np.bincount(fit.labels).tolist() == [40] * 30
    assert {int(p.stem.rpartition("_")[2]) for p in validation.paths} == set(range(41, 51))
    assert not set(benchmark.train.paths) & set(benchmark.test.paths)
    assert {p.parent.name for p in benchmark.test.subset(benchmark.test.labels == 3).paths} == {
        benchmark.test.classes[3]
    }


def test_mstar_has_its_published_split(real_data):
    """Chips per class at 17 and 15 degrees as in the standard operating condition's table."""
    benchmark = mstar(real_data / "mstar")
    train, test = benchmark.train, benchmark.test
    assert np.bincount(train.labels).tolist() == [299, 233, 298, 256, 233, 299, 299, 232, 299, 299]
    assert np.bincount(test.labels).tolist() == [274, 195, 274, 195, 196, 274, 273, 196, 274, 274]
    fit = benchmark.train.subset(~benchmark.validation)
    validation = benchmark.train.subset(benchmark.validation)
    assert len(fit) + len(validation) == 2747
    assert len(validation) == pytest.approx(275, abs=5)  # a tenth
    digital, _ = test.subset(np.array([0, 2424])).read()
    assert digital.shape == (2, 1, 128, 128)


def test_polsf_parts_cover_the_scene_without_overlap(real_data):
    """900 x 1024 px hold 9 x 10 tiles of 96 px: 45 train, 45 test; every class on both sides."""
    benchmark = polsf(real_data / "airsar_sf", seed=5)
    train, test = benchmark.train, benchmark.test
    assert train.values.shape == test.values.shape == (45, 4, 96, 96)
    assert train.values.dtype == np.complex64
    for part in (test, train.subset(~benchmark.validation), train.subset(benchmark.validation)):
        found = np.unique(part.labels)
        assert set(found) == {IGNORED, 0, 1, 2, 3, 4}
    # The names of the classes agree with the scattering: urban returns far more than water.
    power = (np.abs(test.values) ** 2).sum(1)
    water, urban = (
        10 * np.log10(np.median(power[test.labels == test.classes.index(name)]))
        for name in ("water", "urban")
    )
    assert urban - water > 6  # dB


def test_land_use_parts_hold_every_class_and_every_clear_date(real_data):
    """3 x 3 tiles of 32 px and 4 dates: 20 tiles train (4 of them validate), 16 test."""
    benchmark = land_use(real_data / "sentinel2_patch")
    train, test = benchmark.train, benchmark.test
    assert train.values.shape == (20, 13, 32, 32)
    assert test.values.shape == (16, 13, 32, 32)
    assert 0 < test.values.mean() < 0.5  # reflectance
    fit = benchmark.train.subset(~benchmark.validation)
    validation = benchmark.train.subset(benchmark.validation)
    assert (len(fit), len(validation)) == (16, 4)
    for part in (fit, validation, test):
        assert set(np.unique(part.labels[part.labels != IGNORED])) == {0, 1, 2, 3}
    # Each tile stands 4 times in a row with the same labels, once a date.
    assert (train.labels.reshape(5, 4, 32, 32) == train.labels[::4, None]).all()
    assert not np.array_equal(train.values[0], train.values[1])
