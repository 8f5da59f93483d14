"""Maps against the model on the whole scene at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.control import GroundControlPoint
from tests.deployment.samples import (
    CLASS_MAP,
    CLASSES,
    PLACE,
    TILES,
    Smoothed,
    direct,
    first_band,
    make_scene,
    one_pixel,
    read,
)
from tests.tasks.labelled import make_backbone

from ringmoe.deployment import predict_scene
from ringmoe.deployment.tiling import TiledScene
from ringmoe.errors import (
    GeoreferenceError,
    ValueRangeError,
)
from ringmoe.observation import Observation
from ringmoe.scenes import open_scene, write_raster
from ringmoe.tasks import Segmentation, TaskModel, TaskSource

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize("size", [(97, 130), (20, 30), (32, 32), (33, 90), (150, 12), (1, 1)])
def test_a_model_of_single_pixels_gives_the_direct_result_everywhere(tmp_path, size):
    """Sizes that are no multiple, smaller than a tile, one pixel: edges and corners included."""
    scene = make_scene(tmp_path / "scene.tif", *size)
    values = predict_scene(first_band, scene, tmp_path / "v.tif", kind="values", **TILES)
    expected, valid = direct(first_band, scene)
    np.testing.assert_allclose(read(values.path), expected, atol=1e-6)
    classes = predict_scene(one_pixel, scene, tmp_path / "c.tif", **CLASS_MAP, **TILES)
    scores, _ = direct(one_pixel, scene)
    ordered = np.sort(scores, axis=0)
    sure = ordered[-1] - ordered[-2] > 1e-5
    assert sure.mean() > 0.9 or sure.size == 1
    assert (read(classes.path)[0] == scores.argmax(0))[sure].all()
    assert (classes.height, classes.width) == size and classes.valid_pixels == valid.sum()


@pytest.mark.parametrize("overlap", [0, 1, 8, 16])
@pytest.mark.parametrize("size", [(75, 100), (32, 33), (5, 200)])
def test_a_constant_model_gives_its_constant_everywhere(tmp_path, size, overlap):
    scene = make_scene(tmp_path / "scene.tif", *size)
    constant = torch.full((1, 1, 1, 1), 2.5)

    def model(observations):
        return constant.expand(observations["image"].batch_size, 1, 32, 32)

    options = {"kind": "values", "tile_size": 32, "overlap": overlap}
    result = predict_scene(model, scene, tmp_path / "m.tif", **options)
    np.testing.assert_allclose(read(result.path), 2.5, atol=1e-6)


def test_the_map_does_not_depend_on_the_batch_size(tmp_path):
    """Batches of 1, of parts of a row (4 of 5 tiles), of several rows, of all 20 tiles at once."""
    scene = make_scene(tmp_path / "scene.tif", 97, 128)
    maps = []
    for batch_size in (1, 4, 11, 64):
        out = tmp_path / f"{batch_size}.tif"
        result = predict_scene(
            Smoothed(1), scene, out, kind="values", batch_size=batch_size, **TILES
        )
        assert result.tiles == 20
        maps.append(read(out))
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-5)


def test_nor_does_that_of_a_model_with_experts_or_on_the_order_of_tiles_or_threads(tmp_path):
    """All parameters drawn at random; a batch turned round before and behind the model."""
    scene = make_scene(tmp_path / "scene.tif", 70, 100)
    source = TaskSource(scene.sensor.name, tuple(channel.name for channel in scene.channels))
    task = Segmentation(classes=("a", "b"), channels=8)
    model = TaskModel(make_backbone(modalities=(source.modality,)), task, {"image": source}).eval()

    def first(observations):
        return model(observations)[:, :1]

    def backwards(observations):
        (observation,) = observations.values()
        assert observation.valid is None
        return first({"image": replace(observation, images=observation.images.flip(0))}).flip(0)

    maps = []
    ways = [(first, 1, 1), (first, 3, 1), (first, 64, 1), (backwards, 5, 1), (first, 2, 3)]
    for predictor, batch_size, threads in ways:
        out = tmp_path / "m.tif"
        options = {"batch_size": batch_size, "threads": threads}
        predict_scene(predictor, scene, out, kind="values", **options, **TILES)
        maps.append(read(out))
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-5 * np.abs(maps[0]).max())


@pytest.mark.slow
def test_blending_leaves_no_seams(tmp_path):
    """Of a model that sees the tile's border, on noise: steps across tile lines over elsewhere.

    With no overlap a tile's border pixels lack the context of the next tile, which makes the step
    to it larger than elsewhere; blended, at most 1.05 times as large.
    """
    rng = np.random.default_rng(0)
    scene = make_scene(
        tmp_path / "scene.tif",
        400,
        400,
        change=lambda v: rng.normal(2000, 300, v.shape).astype(v.dtype),
    )
    ratios = []
    for overlap in (0, 16):
        out = tmp_path / f"{overlap}.tif"
        predict_scene(Smoothed(1), scene, out, kind="values", tile_size=32, overlap=overlap)
        steps = np.abs(np.diff(read(out)[0], axis=1)).mean(0)
        lines = np.zeros(len(steps), bool)
        lines[32 - overlap - 1 :: 32 - overlap] = True  # where a tile begins
        ratios.append(steps[lines].mean() / steps[~lines].mean())
    assert ratios[0] > 1.2 and ratios[1] < 1.05


def test_collars_are_filled_before_and_masked_after(tmp_path):
    """A slanted collar: the model sees finite numbers and `valid`, and no tile without data.

    Tile lines at 0, 24, ... of 150 pixels give 36 tiles. Data lie where row + column > 120: tiles
    whose last corner (start + 31) is below the line have none.
    """
    rows, columns = np.mgrid[:150, :150]
    data = rows + columns > 120
    scene = make_scene(tmp_path / "scene.tif", 150, 150, change=lambda v: np.where(data, v, 0))
    seen = []

    def model(observations):
        (observation,) = observations.values()
        assert torch.isfinite(observation.images).all()
        if observation.valid is not None:
            assert observation.valid.flatten(1).any(1).all()
            assert (observation.images * ~observation.valid == 0).all()
        seen.append(observation.batch_size)
        return one_pixel(observations)

    result = predict_scene(
        model, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES, probabilities=True
    )
    starts = [*range(0, 118, 24), 118]
    with_data = sum(a + b + 62 > 120 for a in starts for b in starts)
    assert sum(seen) == result.tiles == with_data < len(starts) ** 2
    found, probabilities = read(result.path)[0], read(result.probabilities)
    assert ((found == 255) == ~data).all() and ((probabilities == 255) == ~data).all()
    scores, _ = direct(one_pixel, scene)
    ordered = np.sort(scores, axis=0)
    sure = data & (ordered[-1] - ordered[-2] > 1e-5)
    assert sure.sum() > 0.99 * data.sum()
    assert (found == scores.argmax(0))[sure].all()
    assert result.valid_pixels == data.sum()


def test_rows_without_any_data_are_skipped_and_masked(tmp_path):
    def change(values):
        values[:, :200] = 0
        return values

    scene = make_scene(tmp_path / "scene.tif", 260, 40, change=change)
    result = predict_scene(one_pixel, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES)
    assert ((read(result.path)[0] == 255) == (np.arange(260) < 200)[:, None]).all()


def test_a_scene_without_data_is_refused(tmp_path):
    scene = make_scene(tmp_path / "scene.tif", 40, 40, change=np.zeros_like)
    with pytest.raises(ValueRangeError, match=r"scene\.tif: no pixel holds data"):
        predict_scene(one_pixel, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif"]


def test_what_the_file_says(tmp_path):
    """CRS, transform, nodata, band, names and colours of classes, tags, tiles, overviews."""
    scene = make_scene(tmp_path / "scene.tif", 600, 700)
    colours = [(1, 2, 3), (10, 200, 30), (4, 5, 6), (250, 250, 0)]
    result = predict_scene(
        one_pixel,
        scene,
        tmp_path / "m.tif",
        **CLASS_MAP,
        tile_size=256,
        colours=colours,
        tags={"model": "a & b <c>"},
    )
    with rasterio.open(result.path) as dataset:
        assert dataset.crs.to_epsg() == 32633 and dataset.transform == PLACE
        assert (dataset.nodata, dataset.dtypes, dataset.descriptions) == (
            255,
            ("uint8",),
            ("class",),
        )
        assert json.loads(dataset.tags()["class_names"]) == list(CLASSES)
        assert dataset.tags()["model"] == "a & b <c>"
        assert [dataset.colormap(1)[i][:3] for i in range(4)] == colours
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2] and dataset.block_shapes == [(512, 512)]
        whole = dataset.read(1)
        small = dataset.read(1, out_shape=(300, 350))
    assert (np.isin(small, np.unique(whole))).all()
    names = (tmp_path / "m.tif.aux.xml").read_text()
    assert all(f"<Category>{name}</Category>" in names for name in CLASSES)


def test_ground_control_points_are_kept(tmp_path):
    """A scene in slant range: no transform, and the map has the scene's points."""
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 100, y=50 - r / 100 + c / 1000, z=30.5)
        for r in (0, 50)
        for c in (0, 60)
    ]
    scene = make_scene(tmp_path / "s.tif", 50, 60, crs="EPSG:4326", transform=None, gcps=points)
    result = predict_scene(one_pixel, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES)
    with rasterio.open(result.path) as dataset:
        found, crs = dataset.gcps
    assert crs.to_epsg() == 4326 and len(found) == 4
    for a, b in zip(found, points, strict=True):
        np.testing.assert_allclose((a.row, a.col, a.x, a.y, a.z), (b.row, b.col, b.x, b.y, b.z))


def test_a_scene_without_a_place_gives_a_map_without_one(tmp_path):
    scene = make_scene(tmp_path / "scene.tif", 40, 50, crs=None, transform=None)
    result = predict_scene(one_pixel, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES)
    with rasterio.open(result.path) as dataset:
        assert dataset.crs is None and not dataset.gcps[0] and dataset.transform.is_identity


@pytest.mark.parametrize("stored", ["uint8", "float32"])
def test_probabilities_are_the_softmax_of_the_scores(tmp_path, stored):
    """Against scipy's softmax; uint8 within half a step of 1/254 once the scale is applied."""
    special = pytest.importorskip("scipy.special")
    scene = make_scene(tmp_path / "scene.tif", 70, 45)
    result = predict_scene(
        one_pixel,
        scene,
        tmp_path / "m.tif",
        **CLASS_MAP,
        **TILES,
        probabilities=True,
        probability_type=stored,
    )
    assert result.probabilities == tmp_path / "m-probabilities.tif"
    with rasterio.open(result.probabilities) as dataset:
        assert dataset.descriptions == CLASSES and dataset.dtypes == (stored,) * 4
        found = dataset.read() * np.array(dataset.scales)[:, None, None]
    expected = special.softmax(direct(one_pixel, scene)[0], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5 if stored == "float32" else 0.501 / 254)


def test_several_scenes_of_one_place(tmp_path):
    """The model gets both by name; where one has no data, the map has none."""

    def change(values):
        values[:, 30:40, 30:50] = 0
        return values

    scenes = {
        "before": make_scene(tmp_path / "a.tif", 80, 90, seed=1),
        "after": make_scene(tmp_path / "b.tif", 80, 90, seed=2, change=change),
    }

    def difference(observations):
        assert list(observations) == ["before", "after"]
        return observations["after"].images[:, :1] - observations["before"].images[:, :1]

    result = predict_scene(difference, scenes, tmp_path / "m.tif", kind="values", **TILES)
    (a, _), (b, valid) = (direct(first_band, scene) for scene in scenes.values())
    found = read(result.path)[0]
    assert (np.isnan(found) == ~valid).all() and (~valid).sum() == 200
    np.testing.assert_allclose(found[valid], (b - a)[0][valid], atol=1e-6)


def test_one_of_several_scenes_may_be_enough(tmp_path):
    """`any_data`: the map has none where neither has; the model is told which has."""

    def rows(start):
        def change(values):
            values[:, start : start + 20] = 0
            return values

        return change

    scenes = {
        "optical": make_scene(tmp_path / "a.tif", 80, 90, seed=1, change=rows(10)),
        "multispectral": make_scene(tmp_path / "b.tif", 80, 90, seed=2, change=rows(20)),
    }

    def those_with_data(observations):
        masks = [o.valid for o in observations.values()]
        shape = observations["optical"].images[:, :1].shape
        return sum(torch.ones(shape) if mask is None else mask.float() for mask in masks)

    options = {"kind": "values", "any_data": True, **TILES}
    found = read(predict_scene(those_with_data, scenes, tmp_path / "m.tif", **options).path)[0]
    expected = np.full((80, 90), 2.0)
    expected[10:40] = 1
    expected[20:30] = np.nan
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((80, 91), {}),
        ((80, 90), {"crs": "EPSG:32634"}),
        ((80, 90), {"transform": PLACE @ Affine.translation(0, 1)}),
        ((80, 90), {"crs": None, "transform": None}),
    ],
)
def test_scenes_of_different_grids_are_refused(tmp_path, size, options):
    scenes = {
        "a": make_scene(tmp_path / "a.tif", 80, 90),
        "b": make_scene(tmp_path / "b.tif", *size, **options),
    }
    with pytest.raises(GeoreferenceError, match=r"b\.tif: its grid .* is not that of .*a\.tif"):
        predict_scene(one_pixel, scenes, tmp_path / "m.tif", **CLASS_MAP, **TILES)


def test_complex_radar_comes_as_i_and_q(tmp_path):
    """|VV|^2 of the map's value against the scene's own numbers."""
    rng = np.random.default_rng(0)
    looks = (rng.normal(size=(2, 60, 50)) + 1j * rng.normal(size=(2, 60, 50))) * 0.2
    write_raster(tmp_path / "s.tif", looks.astype("c8"), channel_names=["VH", "VV"])
    scene = open_scene(tmp_path / "s.tif", "sentinel1-slc")

    def power(observations):
        images = observations["image"].images
        assert images.shape[1] == 4
        return images[:, 2:].square().sum(1, keepdim=True)

    result = predict_scene(power, scene, tmp_path / "m.tif", kind="values", **TILES)
    scale = scene.channels[1].std * scene.calibration.scale**-1
    expected = np.abs(looks[1] / scale) ** 2
    np.testing.assert_allclose(read(result.path)[0], expected, rtol=1e-4)


def test_observations_are_those_of_training(tmp_path):
    """As `ringmoe.probing.observe` makes them: modality, channels, ground sampling distance."""
    scene = make_scene(tmp_path / "scene.tif", 32, 32)
    seen: list[Observation] = []

    def model(observations):
        seen.extend(observations.values())
        return first_band(observations)

    predict_scene(model, scene, tmp_path / "m.tif", kind="values", **TILES)
    (found,) = seen
    assert found.modality == "multispectral" and found.channels == scene.channels
    assert found.gsd == scene.sensor.gsd and found.valid is None
    np.testing.assert_array_equal(found.images[:, :1].numpy()[0], direct(first_band, scene)[0])


def test_no_more_threads_than_batches(tmp_path):
    """20 tiles: five batches of 4 keep three threads busy, one of 20 but one, with all cores."""
    scene = make_scene(tmp_path / "scene.tif", 97, 128)
    size, overlap = TILES["tile_size"], TILES.get("overlap")
    assert TiledScene.over(scene, size, overlap, 4).busy(3) == 3
    assert TiledScene.over(scene, size, overlap, 8).busy(4) == 3
    assert TiledScene.over(scene, size, overlap, 20).busy(4) == 1
