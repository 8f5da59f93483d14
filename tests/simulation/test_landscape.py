"""What a landscape holds: land cover, heights, objects, the later date, the video."""

import math
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ringmoe import boxes
from ringmoe.errors import ConfigError
from ringmoe.simulation import (
    KINDS,
    LAND_COVER,
    OBJECT_CLASSES,
    object_labels,
    observe_optical,
    simulate_landscape,
    track_lines,
)
from ringmoe.simulation.landscape import FRAME_INTERVAL, FRAMES
from ringmoe.simulation.materials import CLASS_OF, LAND_COVER_COLOURS
from ringmoe.simulation.object_models import MODELS
from ringmoe.simulation.objects import seen_share
from ringmoe.simulation.raster import CELLS_PER_PIXEL, GSD, Path, polygon
from ringmoe.simulation.reflectors import of_buildings
from ringmoe.simulation.terrain import fractal

pytestmark = pytest.mark.slow  # some seconds in all

EVERY_KIND = pytest.mark.parametrize("kind", list(KINDS))


def cover(landscape, name):
    return landscape.land_cover == LAND_COVER.index(name)


@EVERY_KIND
def test_shapes_types_and_ranges(kind, landscapes):
    landscape = landscapes[kind]
    assert landscape.kind == kind
    assert landscape.size == (128, 128)
    assert landscape.land_cover.shape == landscape.change.shape == (128, 128)
    assert landscape.land_cover.max() < len(LAND_COVER) == len(LAND_COVER_COLOURS)
    assert landscape.height_above_ground.shape == (128, 128)
    assert landscape.height_above_ground.min() == 0
    assert 5 < landscape.height_above_ground.max() < 60
    assert landscape.mix.min() >= 0
    assert landscape.mix.max() <= 1


@pytest.mark.parametrize(
    ("kind", "name", "least"),
    [
        ("harbour", "water", 0.2), ("harbour", "built-up", 0.1), ("river", "water", 0.08),
        ("forest", "forest", 0.4), ("farmland", "crops", 0.3), ("village", "roads", 0.02),
        ("quarry", "bare", 0.1), ("airfield", "grass", 0.1), ("industrial", "built-up", 0.15),
    ],
)  # fmt: skip
def test_scenes_show_what_they_are_called(kind, name, least, landscapes):
    assert cover(landscapes[kind], name).mean() > least


def test_all_land_covers_and_all_classes_of_objects_occur(landscapes):
    seen = set().union(*(set(np.unique(one.land_cover)) for one in landscapes.values()))
    assert seen == set(range(len(LAND_COVER)))
    kinds = {thing.kind for one in landscapes.values() for thing in one.objects}
    assert kinds == set(OBJECT_CLASSES)


def test_heights_are_where_things_stand(landscapes):
    """Woods are 10 to 30 m high, houses 4 to 12 m, fields and water low but for single trees."""
    height = landscapes["village"].height_above_ground
    forest = height[cover(landscapes["village"], "forest")]
    assert 6 < np.median(forest) < 30
    assert np.median(height[cover(landscapes["village"], "crops")]) == 0
    house = next(b for b in landscapes["village"].buildings if b.ridge > 0)
    _, covered, roof = house.footprint((256, 256))
    assert roof[covered].max() == pytest.approx(house.eaves + house.ridge, abs=1)
    assert roof[covered].min() >= house.eaves


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(list(KINDS)), st.integers(32, 70))
def test_any_seed_kind_and_size_makes_a_landscape(seed, kind, size):
    """Also odd sizes, and so small that little fits."""
    landscape = simulate_landscape(seed, size, kind)
    assert landscape.size == (size, size)
    assert np.isfinite(landscape.elevation).all()
    assert np.isfinite(landscape.later.height).all()
    image = observe_optical(landscape, np.random.default_rng(0))
    assert image.shape == (3, size, size)
    assert np.isfinite(image).all()


def assert_same(first, second):
    for one in fields(first):
        ours, theirs = getattr(first, one.name), getattr(second, one.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=one.name)
        elif one.name == "later" and ours is not None:
            assert_same(ours, theirs)
        else:
            assert ours == theirs, one.name


def test_the_same_seed_gives_the_same_landscape_and_another_another():
    first, second, other = (simulate_landscape(seed, 48, "village") for seed in (5, 5, 6))
    assert_same(first, second)
    assert (first.land_cover != other.land_cover).any()
    assert first.objects != other.objects


def test_the_seed_decides_the_kind_if_nobody_does():
    kinds = {simulate_landscape(seed, 32).kind for seed in range(6)}
    assert len(kinds) > 1
    assert kinds <= set(KINDS)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match=r"size is 16 pixels: .* at least 32"):
        simulate_landscape(0, 16)
    with pytest.raises(ConfigError, match="no scenes of kind 'moon': choose one of airfield"):
        simulate_landscape(0, 64, "moon")
    with pytest.raises(ConfigError, match="seed is -1: it must be 0 or more"):
        simulate_landscape(-1, 64)
    with pytest.raises(ConfigError, match="it has no change mask"):
        _ = simulate_landscape(0, 32).later.change


@EVERY_KIND
def test_objects_are_of_realistic_size(kind, landscapes):
    models = {model.name: model for model in MODELS}
    for thing in landscapes[kind].objects:
        model = models[thing.model]
        assert model.length[0] <= thing.length <= model.length[1]
        assert model.slimness[0] <= thing.length / thing.width <= model.slimness[1]
        _, _, long, short, _ = thing.rotated_box
        assert long * GSD == pytest.approx(max(thing.length, thing.width))
        assert short * GSD == pytest.approx(min(thing.length, thing.width))


@EVERY_KIND
def test_ships_float_and_nothing_else_does(kind, landscapes):
    """At the first moment (later a ship may be under a bridge); nor do two objects overlap."""
    landscape = landscapes[kind]
    water = CLASS_OF[landscape.base_material] == LAND_COVER.index("water")
    taken = np.zeros(water.shape, bool)
    for thing in landscape.objects:
        covered = np.zeros(water.shape, bool)
        for outline, _, _ in thing.outlines:
            where, inside = polygon(water.shape, outline)
            covered[where] |= inside
        if thing.kind == "ship":
            assert water[covered].all(), thing
        else:
            assert not water[covered].any(), thing
        assert not (taken & covered).any(), thing
        taken |= covered


@EVERY_KIND
def test_boxes_enclose_the_drawn_objects_and_no_more(kind, landscapes):
    """The centres of an object's cells lie inside both boxes, and reach within a cell of them.

    Rotated boxes are tested in the object's own axes: |ahead| <= length / 2, |left| <= width / 2.
    """
    landscape = landscapes[kind]
    labelled = {label["id"]: label for label in object_labels(landscape)}
    drawn = set(np.unique(landscape.cell_ids)) - {0}
    assert drawn == set(labelled)
    for number, label in labelled.items():
        rows, columns = np.nonzero(landscape.cell_ids == number)
        x, y = ((axis + 0.5) / CELLS_PER_PIXEL for axis in (columns, rows))
        left, top, right, bottom = label["horizontal"]
        slack = 1e-3  # labels are rounded
        assert left - slack <= x.min() <= x.max() <= right + slack
        assert top - slack <= y.min() <= y.max() <= bottom + slack
        if label["seen"] > 0.99:
            cell = 1.5 / CELLS_PER_PIXEL  # a pointed bow may miss the centres of its last cells
            assert x.min() - left < 2 * cell
            assert right - x.max() < 2 * cell
        cx, cy, long, short, turn = label["rotated"]
        ahead = (x - cx) * math.cos(turn) - (y - cy) * math.sin(turn)
        aside = -(x - cx) * math.sin(turn) - (y - cy) * math.cos(turn)
        assert np.abs(ahead).max() <= long / 2 + slack
        assert np.abs(aside).max() <= short / 2 + slack


@EVERY_KIND
def test_labels_are_consistent(kind, landscapes):
    landscape = landscapes[kind]
    for label in object_labels(landscape):
        assert label["class"] in OBJECT_CLASSES
        assert 0 < label["seen"] <= 1
        left, top, right, bottom = label["horizontal"]
        assert 0 <= left < right <= 128
        assert 0 <= top < bottom <= 128
        np.testing.assert_allclose(boxes.canonical(label["rotated"]), label["rotated"], atol=1e-6)
        around = boxes.cxcywhr_to_xyxy(label["rotated"])
        assert (np.array([left, top]) >= around[:2] - 1e-3).all()
        assert (np.array([right, bottom]) <= around[2:] + 1e-3).all()


def test_an_object_half_outside_is_half_seen(landscapes):
    thing = next(t for t in landscapes["harbour"].objects if t.model == "cargo ship")
    edge = replace(thing, x=0.0, y=100.0, heading=0.0)
    landscape = replace(landscapes["harbour"], objects=(edge,))
    assert seen_share(edge, landscape.cell_ids) == pytest.approx(0.5, abs=0.05)


@EVERY_KIND
def test_the_change_mask_is_where_land_cover_or_objects_differ(kind, landscapes):
    """Pixel by pixel, from the labels of the two dates alone."""
    landscape = landscapes[kind]
    now, later = landscape.object_ids, landscape.later.object_ids
    differs = (landscape.land_cover != landscape.later.land_cover) | (now != later)
    np.testing.assert_array_equal(landscape.change, differs)
    stayed = {t.id: t for t in landscape.objects if t.speed == 0}
    for thing in landscape.later.objects:
        if thing.id in stayed:
            assert thing == stayed[thing.id]


def test_people_change_the_land(landscapes):
    """Over the scenes: woods felled, buildings built and pulled down, other objects."""
    what = Counter()
    for one in landscapes.values():
        before, after = one.land_cover[one.change], one.later.land_cover[one.change]
        names = np.array(LAND_COVER)
        what.update(zip(names[before], names[after], strict=True))
        what["built"] += len(set(one.later.buildings) - set(one.buildings))
        what["pulled down"] += len(set(one.buildings) - set(one.later.buildings))
    assert what["forest", "bare"] > 100
    assert what["built"] > 0
    assert what["pulled down"] > 0
    assert all(0.001 < one.change.mean() < 0.4 for one in landscapes.values())


@pytest.mark.parametrize("kind", ["village", "industrial", "harbour"])
def test_buildings_that_stay_look_the_same_at_the_later_date(kind, landscapes):
    """Though others are pulled down and built: roofs cell by cell, and the echoes of the walls."""
    now, later = landscapes[kind], landscapes[kind].later
    stay = [building for building in now.buildings if building in later.buildings]
    assert 0 < len(stay) < len(now.buildings)
    same = (now.base_material == later.base_material) & (now.base_height == later.base_height)
    cells = 0
    for building in stay:
        where, covered, _ = building.footprint(same.shape)
        roof = covered & same[where]
        cells += roof.sum()
        np.testing.assert_array_equal(now.tone[where][roof], later.tone[where][roof])
    assert cells > 1000
    echoes = (of_buildings(one.buildings, now.radar, now.seed) for one in (now, later))
    before, after = (set(zip(one.x, one.y, one.power, strict=True)) for one in echoes)
    assert len(before & after) == len(of_buildings(stay, now.radar, now.seed).x)


def test_the_season_is_no_change(landscapes):
    """Crops grow on: their reflectance changes, which the mask must not show."""
    landscape = landscapes["farmland"]
    same = cover(landscape, "crops") & ~landscape.change
    now, later = (observe_optical(one, np.random.default_rng(1)) for one in
                  (landscape, landscape.later))  # fmt: skip
    assert same.mean() > 0.3
    assert np.abs(now - later)[:, same].mean() > 0.005
    assert (landscape.land_cover == landscape.later.land_cover)[same].all()


def tracks(landscape):
    """id -> {frame: [left, top, width, height, class, visibility]} of the MOT file's lines."""
    found = {}
    for line in track_lines(landscape):
        frame, number, *box, flag, kind, share = line.split(",")
        assert flag == "1"
        entry = [*map(float, box), int(kind), float(share)]
        assert int(frame) not in found.setdefault(int(number), {})
        found[int(number)][int(frame)] = entry
    return found


@EVERY_KIND
def test_tracks_agree_with_the_frames(kind, landscapes):
    """Each frame's boxes, shifted by MOT's count from 1, are the labels of that frame."""
    landscape = landscapes[kind]
    assert len(landscape.frames) == FRAMES
    found = tracks(landscape)
    for number in range(FRAMES):
        labels = object_labels(landscape.at_frame(number))
        here = {n: frames[number + 1] for n, frames in found.items() if number + 1 in frames}
        assert set(here) == {label["id"] for label in labels}
        for label in labels:
            left, top, width, height, kind_number, share = here[label["id"]]
            box = [left - 1, top - 1, left - 1 + width, top - 1 + height]
            np.testing.assert_allclose(box, label["horizontal"], atol=2e-3)
            assert OBJECT_CLASSES[kind_number - 1] == label["class"]
            assert share == pytest.approx(label["seen"], abs=1e-3)
    assert landscape.frames[0] == landscape.objects


@EVERY_KIND
def test_objects_move_as_fast_as_they_should(kind, landscapes):
    """Between frames the centre moves by speed x time, on both sides of a bend; less by the chord.

    The chord of 15 m on a bend of 40 m radius is 0.6 % shorter than the way.
    """
    landscape = landscapes[kind]
    moved = 0
    for first, second in pairwise(landscape.frames):
        before = {thing.id: thing for thing in first}
        for thing in second:
            if thing.id not in before:
                continue
            step = math.hypot(thing.x - before[thing.id].x, thing.y - before[thing.id].y)
            assert step == pytest.approx(thing.speed * FRAME_INTERVAL, rel=0.02, abs=1e-9)
            assert thing.length == before[thing.id].length
            if thing.speed:
                moved += 1
                course = math.atan2(before[thing.id].y - thing.y, thing.x - before[thing.id].x)
                assert abs(math.remainder(course - thing.heading, 2 * math.pi)) < 0.4
    assert moved > 0


def test_the_video_shows_what_moves(landscapes):
    """Frames differ where objects were or are (and their shadows and wakes), not elsewhere."""
    landscape = replace(landscapes["village"], later=None)
    first, last = landscape.at_frame(0), landscape.at_frame(FRAMES - 1)
    images = [observe_optical(one, np.random.default_rng(3)) for one in (first, last)]
    differs = np.abs(images[0] - images[1]).max(axis=0) > 0.02
    near = np.zeros_like(differs)
    for thing in (*first.objects, *last.objects):
        left, top, right, bottom = thing.horizontal_box
        rows = slice(max(int(top) - 8, 0), max(int(bottom) + 9, 0))
        near[rows, max(int(left) - 8, 0) : max(int(right) + 9, 0)] = True
    assert differs.any()
    assert not (differs & ~near).any()


def test_fractal_noise_has_its_scale_and_slope():
    """Unit variance, and 4 times the frequency has 4^-slope of the power (slope 3.4: 1/111)."""
    noise = fractal(np.random.default_rng(1), (512, 512), 1e4, 3.4)
    assert noise.std() == pytest.approx(1, rel=1e-4)
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    low, high = (power[(frequency > f) & (frequency < 1.1 * f)].mean() for f in (0.05, 0.2))
    assert low / high == pytest.approx(4**3.4, rel=0.15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), min_size=3, max_size=8))
def test_polygons_cover_the_cells_whose_centres_they_contain(vertices):
    """Against shapely, for star-shaped outlines; a centre on the line may go either way."""
    points = np.array(vertices)
    around = points - points.mean(0)
    points = points[np.argsort(np.arctan2(around[:, 1], around[:, 0]), kind="stable")]
    outline = shapely.Polygon(points)
    assume(outline.is_valid and outline.area > 1e-3)
    where, inside = polygon((30, 40), points)
    mask = np.zeros((30, 40), bool)
    mask[where] = inside
    y, x = np.mgrid[:30, :40] + 0.5
    clear = shapely.distance(shapely.points(x, y), outline.exterior) > 1e-6
    np.testing.assert_array_equal(mask[clear], shapely.contains_xy(outline, x, y)[clear])


def test_distance_to_a_path():
    """A straight line and a circle, whose distances are known."""
    line = Path(np.array([[5.0, 20.0], [95.0, 20.0]]))
    away, along = line.distance((50, 100), 12.0)
    y, x = np.mgrid[:50, :100] + 0.5
    middle = (np.abs(y - 20) < 11) & (x > 10) & (x < 90)
    np.testing.assert_allclose(away[middle], np.abs(y - 20)[middle], atol=1e-4)
    assert np.isinf(away[np.abs(y - 20) > 13]).all()
    assert np.abs(along - (x - 5))[middle].max() < 6
    turn = np.linspace(0, 2 * np.pi, 400)
    circle = Path(np.stack([60 + 40 * np.cos(turn), 60 - 40 * np.sin(turn)], axis=1))
    away, _ = circle.distance((120, 120), 9.0)
    y, x = np.mgrid[:120, :120] + 0.5
    truth = np.abs(np.hypot(x - 60, y - 60) - 40)
    near = truth < 8
    assert np.abs(away - truth)[near].max() < 0.3
    assert circle.length == pytest.approx(2 * np.pi * 40, abs=2)
    x, y, heading = circle.pose(0.25 * circle.length, 3.0)
    assert (x, y) == pytest.approx((60, 23), abs=1)  # left of a counter-clockwise circle: inside
    assert abs(heading) == pytest.approx(math.pi, abs=0.1)
