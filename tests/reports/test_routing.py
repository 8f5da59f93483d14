"""Pictures of routing: the similarity against SciPy, and that every share is drawn in its place."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from scipy.spatial.distance import jensenshannon

from ringmoe.reports.routing import expert_use, preferences, similarity, write_routing_pictures

MODALITIES = ("optical", "multispectral", "sar_complex", "sar_amplitude")


def shares(blocks=3, experts=4, modalities=MODALITIES):
    rng = np.random.default_rng(0)
    return {m: rng.dirichlet(np.ones(experts), blocks) for m in modalities}


def test_similarity_is_one_less_the_jensen_shannon_divergence():
    """SciPy gives its square root; here also where an expert has no tokens at all."""
    use = shares()
    use["optical"][0] = [1, 0, 0, 0]
    found = similarity(use)
    for block in range(3):
        for i, a in enumerate(use.values()):
            for j, b in enumerate(use.values()):
                due = 1 - jensenshannon(a[block], b[block], base=2) ** 2
                assert found[block, i, j] == pytest.approx(due, abs=1e-12)


def test_equal_use_is_1_and_disjoint_use_is_0():
    use = {"optical": np.array([[0.5, 0.5, 0, 0]]), "sar_complex": np.array([[0, 0, 0.25, 0.75]])}
    assert similarity(use)[0] == pytest.approx(np.eye(2))


def test_pruned_experts_and_blocks_without_experts():
    """A pruned expert counts as unused; a block that has none has no similarity."""
    use = {
        "optical": np.array([[0.5, np.nan, 0.5], [np.nan] * 3]),
        "sar_complex": np.array([[0.5, np.nan, 0.5], [np.nan] * 3]),
    }
    found = similarity(use)
    assert found[0] == pytest.approx(np.ones((2, 2)))
    assert np.isnan(found[1]).all()
    with preferences(use) as figure:
        labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["1.00"] * 4


def test_every_share_is_a_cell_of_its_colour():
    """The heat maps hold the shares; a pruned expert's cell is masked."""
    use = {"specialized": shares(experts=2), "collaborative": shares()}
    use["collaborative"]["optical"][1, 2] = np.nan
    with expert_use(use) as figure:
        heats = [axis for axis in figure.axes if axis.images]
        tables = [table for own in use.values() for table in own.values()]
        for axis, table in zip(heats, tables, strict=True):
            drawn = axis.images[0].get_array()
            assert np.array_equal(np.ma.getmaskarray(drawn), np.isnan(table))
            assert np.array_equal(drawn.compressed(), table[~np.isnan(table)])
            assert axis.images[0].get_clim() == (0, 1)
        titles = [axis.get_title(loc="left") for axis in heats]
    assert titles == ["Optical", "Multispectral", "SAR complex", "SAR amplitude"] + [""] * 4


@pytest.mark.slow
def test_pictures_are_written(tmp_path):
    """Both, in colours of the map that is drawn; one modality has nothing to be compared with."""
    files = write_routing_pictures({"collaborative": shares(blocks=24)}, tmp_path)
    assert [file.name for file in files] == ["expert-use.png", "similarity.png"]
    for file, colours in zip(files, ("Blues", "Greens"), strict=True):
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert len(pixels) > 200_000
        darkest = np.round(255 * np.array(colormaps[colours](0.99)[:3]))
        assert (np.abs(pixels - darkest).max(1) < 12).any()
    alone = {"collaborative": shares(modalities=("optical",))}
    (file,) = write_routing_pictures(alone, tmp_path / "alone")
    assert file.name == "expert-use.png"
    assert write_routing_pictures({}, tmp_path) == []
