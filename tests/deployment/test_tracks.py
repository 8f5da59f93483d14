"""Videos to tracks on disk: places, times, speeds, and frames that are missing or damaged."""

import json
import shutil

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform as reproject
from scipy import ndimage

from ringmoe.boxes import Objects
from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.mot import read_track_lines
from ringmoe.deployment.degrees import cut_line
from ringmoe.deployment.frames import find_frames
from ringmoe.deployment.journal import check_outputs
from ringmoe.deployment.placed_motion import placed_motion
from ringmoe.deployment.tracks import in_one_frame, speeds_of, write_lines, write_mot
from ringmoe.deployment.video import track_video
from ringmoe.errors import ConfigError, DatasetError, GeoreferenceError, ShapeError, WriteError
from ringmoe.scenes import open_scene, write_raster
from ringmoe.tasks.tracking import Track, TrackerOptions, tracks_of

UTM = {"crs": "EPSG:32632", "transform": Affine(2, 0, 400_000, 0, -2, 5_300_000)}
GEOSTATIONARY = "+proj=geos +h=35786023 +lon_0=0 +sweep=y"
STARTS = np.array([[20, 30], [20, 70]])
STEPS = np.array([[5, 0], [3, -4]])  # pixels a frame: 5 both, hence 10 m
OPTIONS = TrackerOptions()


def picture(frame, size=(96, 128)):
    """Two white squares of 6 pixels on black, the second moving upwards too."""
    image = np.zeros((3, *size), np.uint8)
    for x, y in STARTS + frame * STEPS:
        image[:, y - 3 : y + 3, x - 3 : x + 3] = 255
    return image


def bright(observations):
    """A detector of white areas: connected pixels, normalised values of white are 2.8 and more."""
    found = []
    for image in observations["image"].images.numpy():
        areas, count = ndimage.label(image[0] > 2)
        slices = ndimage.find_objects(areas)
        boxes = [[s[1].start, s[0].start, s[1].stop, s[0].stop] for s in slices]
        zeros = np.zeros(count, np.int64)
        found.append(Objects(np.array(boxes, float).reshape(-1, 4), zeros, np.full(count, 0.9)))
    return found


def write_video(folder, numbers=range(8), **place):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_raster(folder / f"frame_{number:03d}.tif", picture(number), cog=False, **place)
    return folder


def follow(source, *out, **options):
    return track_video(
        bright,
        find_frames([source]),
        lambda path: open_scene(path, "rgb-dn8"),
        out,
        classes=("square",),
        options=OPTIONS,
        tile_size=64,
        overlap=16,
        **options,
    )


def read(path):
    return json.loads(path.read_text())


def test_lines_lie_where_the_objects_went_at_the_speed_they_had(tmp_path):
    """Two frames a second, 5 pixels of 2 m a frame: 20 m/s on the grid.

    UTM stretches by k = 0.9996 (1 + (E - 500 km)^2 / (2 (0.9996 R)^2)) = 0.99972 at E = 400 km, so
    on the ground it is 20 / k. Brought back to UTM, vertices are the squares' centres.
    """
    out = tmp_path / "tracks.geojson"
    result = follow(write_video(tmp_path / "video", **UTM), out, fps=2.0)
    collection = read(out)
    assert "crs" not in collection  # RFC 7946: longitude and latitude
    assert len(result.tracks) == len(collection["features"]) == 2
    k = 0.9996 * (1 + 1e5**2 / (2 * (0.9996 * 6.38e6) ** 2))
    for feature in collection["features"]:
        about = feature["properties"]
        assert (about["class"], about["first_frame"], about["last_frame"]) == ("square", 0, 7)
        assert about["times"] == [0.5 * n for n in range(8)]
        assert about["speed_m_s"] == pytest.approx(20 / k, rel=2e-5)
        assert about["speeds_m_s"] == pytest.approx([20 / k] * 8, rel=2e-5)
        assert about["score"] == 0.9
    for number in range(2):
        line = np.array(collection["features"][number]["geometry"]["coordinates"])
        east, north = reproject("EPSG:4326", UTM["crs"], *line.T)
        pixels = STARTS[number] + np.arange(8)[:, None] * STEPS[number]
        np.testing.assert_allclose(east, 400_000 + 2 * pixels[:, 0], atol=1e-3)
        np.testing.assert_allclose(north, 5_300_000 - 2 * pixels[:, 1], atol=1e-3)


def test_speeds_come_from_the_times_in_names(tmp_path):
    """Frames a minute apart over midnight, of which one is missing: 5 pixels of 2 m a minute."""
    video = write_video(tmp_path / "video", (0, 1, 3), **UTM)
    for number, name in enumerate(("20240131_235900", "20240201_000000", "", "20240201_000200")):
        if name:
            (video / f"frame_{number:03d}.tif").rename(video / f"ship_{name}.tif")
    result = follow(video, tmp_path / "tracks.geojson")
    assert result.interval == pytest.approx(60) and result.gaps == ((2, 4, 1),)
    for feature in read(tmp_path / "tracks.geojson")["features"]:
        about = feature["properties"]
        assert about["frames"] == [1, 2, 4]
        assert about["times"] == pytest.approx([0, 60, 180])
        assert about["speed_m_s"] == pytest.approx(10 / 60, rel=1e-3)


@pytest.mark.slow
def test_without_a_place_lines_are_in_pixels_and_metres_come_from_the_pixel(tmp_path):
    out = tmp_path / "tracks.geojson"
    video = write_video(tmp_path / "video")
    follow(video, out, fps=1.0, gsd=0.5)
    collection = read(out)
    assert collection["crs"] is None
    first = collection["features"][0]
    assert first["geometry"]["coordinates"][:2] == [[20, 30], [25, 30]]
    assert first["properties"]["speed_m_s"] == pytest.approx(2.5)  # 5 px of 0.5 m in a second
    follow(video, out, gsd=0.5)
    unknown = read(out)["features"][0]["properties"]
    assert unknown["times"] is None
    assert unknown["speed_m_s"] is None


@pytest.mark.slow
def test_mot_text_reads_back_as_it_was(tmp_path):
    """Frames 0 to 7 are 1 to 8 there; `read_track_lines` takes the 1 off every corner again."""
    out = tmp_path / "tracks.txt"
    result = follow(write_video(tmp_path / "video"), out)
    found = Found()
    lines = read_track_lines(out, found)
    assert not found.problems
    assert len(lines) == 16
    for frame, identity, box, ignored, kind in lines:
        objects = result.frames[frame - 1]
        np.testing.assert_allclose(box, objects.boxes[objects.ids == identity][0], atol=1e-3)
        assert (ignored, kind) == (False, "1")
    assert out.read_text().splitlines()[0] == "1,1,18.000,28.000,6.000,6.000,0.9000,1,1"


def test_rotated_boxes_are_written_by_what_encloses_them(tmp_path):
    """A box of 20 x 10 turned by a quarter is 10 wide and 20 high."""
    box = np.array([[50.0, 40, 20, 10, -np.pi / 2]])
    frame = Objects(box, np.array([2]), np.array([0.5]), ids=np.array([7]))
    write_mot(tmp_path / "t.txt", [frame], [4])
    expected = "4,7,46.000,31.000,10.000,20.000,0.5000,3,1\n"
    assert (tmp_path / "t.txt").read_text() == expected


@pytest.mark.slow
def test_missing_and_damaged_frames_are_listed_and_gone_over(tmp_path, caplog):
    """Frames 3 and 4 are missing and 6 is cut short; both squares keep their ids."""
    video = write_video(tmp_path / "video", [0, 1, 2, 5, 6, 7, 8], **UTM)
    damaged = video / "frame_006.tif"
    damaged.write_bytes(damaged.read_bytes()[:500])
    out = tmp_path / "tracks.geojson"
    result = follow(video, out, fps=1.0)
    assert result.numbers == (0, 1, 2, 5, 7, 8)
    assert result.gaps == ((2, 5, 2), (5, 7, 1))
    assert len(result.skipped) == 1
    assert "frame_006.tif" in result.skipped[0]
    assert "frames missing: 2 between 2 and 5" in caplog.text
    assert "frame_006.tif" in caplog.text
    features = read(out)["features"]
    assert len(features) == 2
    assert features[0]["properties"]["times"] == [0, 1, 2, 5, 7, 8]
    assert features[0]["properties"]["speed_m_s"] == pytest.approx(10, rel=1e-3)


def test_numbers_and_times_are_the_videos_also_where_its_first_frame_is_damaged(tmp_path):
    """Frame 0 cannot be read: frame 1 is still the second of the text, a second after the first."""
    video = write_video(tmp_path / "video", range(4), **UTM)
    (video / "frame_000.tif").write_bytes(b"")
    text, lines = tmp_path / "tracks.txt", tmp_path / "tracks.geojson"
    follow(video, text, lines, fps=1.0)
    assert {line.split(",")[0] for line in text.read_text().splitlines()} == {"2", "3", "4"}
    about = read(lines)["features"][0]["properties"]
    assert (about["frames"], about["times"]) == ([1, 2, 3], [1, 2, 3])


@pytest.mark.parametrize("frame", [0, 2])
def test_trails_are_in_the_pixels_of_one_frame(frame):
    """Something that stands still at (50, 40) of frame 0, seen by a camera that moves and turns."""
    turned = np.array([[0.0, -1, 90], [1, 0, -5]])  # (x, y) to (90 - y, x - 5)
    motion = [np.eye(2, 3), np.array([[1.0, 0, -4], [0, 1, 3]]), turned]
    places = np.array([[50, 40], [46, 43], [90 - 43, 46 - 5]])
    boxes = np.concatenate([places - 2, places + 2], axis=1).astype(float)
    one = Track(1, np.arange(3), boxes, np.zeros(3, int), np.ones(3))
    (trail,) = in_one_frame([one], 3, motion, frame)
    np.testing.assert_allclose(trail, places[[frame] * 3], atol=1e-9)


@pytest.mark.slow
def test_what_is_no_video_is_told_in_one_line(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="found none"):
        find_frames([empty])
    with pytest.raises(DatasetError, match="no such file"):
        find_frames([tmp_path / "absent"])
    with pytest.raises(DatasetError, match="one folder, or files"):
        find_frames([empty, empty])
    video = write_video(tmp_path / "video", range(3))
    with pytest.raises(ConfigError, match=r"\.geojson"):
        follow(video, tmp_path / "tracks.csv")
    with pytest.raises(ConfigError, match="fps"):
        follow(video, tmp_path / "tracks.txt", fps=0)
    write_raster(video / "frame_003.tif", picture(3, (96, 130)), cog=False)
    with pytest.raises(ShapeError, match="96 x 130") as caught:
        follow(video, tmp_path / "tracks.txt")
    assert "\n" not in str(caught.value)
    for path in video.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="none of 4 frames") as caught:
        follow(video, tmp_path / "tracks.txt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tracks.txt").exists()


def test_what_cannot_be_written_is_said_before_any_frame_is_looked_at(tmp_path):
    """Frames of which some have a place; a file where a folder is due; a single frame."""

    def never(observations):
        raise AssertionError("the detector was asked")

    def tried(source, out):
        frames = find_frames([source])
        return track_video(
            never,
            frames,
            lambda path: open_scene(path, "rgb-dn8"),
            [out],
            classes=["square"],
            options=OPTIONS,
            tile_size=64,
        )

    video = write_video(tmp_path / "video", range(2), **UTM)
    write_video(video, [2])
    with pytest.raises(GeoreferenceError, match="has no place on Earth, but other frames have"):
        tried(video, tmp_path / "a.geojson")
    one = write_video(tmp_path / "one", [0])
    with pytest.raises(DatasetError, match="expected two frames or more"):
        tried(one, tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file/a\.txt"):
        check_outputs([tmp_path / "file" / "a.txt"], [])
    (tmp_path / "old.txt").write_text("as it was")
    check_outputs([tmp_path / "old.txt", tmp_path / "new.txt"], [])
    assert (tmp_path / "old.txt").read_text() == "as it was"
    assert not (tmp_path / "new.txt").exists() and not list(tmp_path.glob(".*"))


def test_a_line_across_the_antimeridian_is_cut_there(tmp_path):
    """From 179.99 E to 179.99 W in three steps of 0.02/3 degrees, northward by 0.001 each.

    It crosses in the middle of the second step, at latitude 0.0015.
    """
    step = 0.02 / 3
    place = {"crs": "EPSG:4326", "transform": Affine(step, 0, 179.99, 0, -0.001, 0)}
    write_raster(tmp_path / "f.tif", np.zeros((3, 4, 4), np.uint8), cog=False, **place)
    scene = open_scene(tmp_path / "f.tif", "rgb-dn8")
    centres = np.array([[0, 0], [1, -1], [2, -2], [3, -3]], float)
    boxes = np.concatenate([centres, centres], axis=1)
    zeros = np.zeros(4, np.int64)
    track = Track(1, np.arange(4), boxes, zeros, np.ones(4))
    out = tmp_path / "t.geojson"
    write_lines(out, [track], [scene] * 4, range(4), ("ship",), seconds=range(4))
    (feature,) = read(out)["features"]
    assert feature["geometry"]["type"] == "MultiLineString"
    east, west = (np.array(part) for part in feature["geometry"]["coordinates"])
    np.testing.assert_allclose(east[:, 0], [179.99, 179.99 + step, 180], atol=1e-8)
    np.testing.assert_allclose(west[:, 0], [-180, -179.99 - step, -179.99], atol=1e-8)
    assert east[-1, 1] == west[0, 1] == pytest.approx(0.0015)
    # A degree of longitude at the equator is 111.32 km, one of latitude 110.57 km.
    speed = np.hypot(111_320 * step, 110.57)
    assert feature["properties"]["speed_m_s"] == pytest.approx(speed, rel=1e-4)


@pytest.mark.slow
def test_frames_with_and_without_a_place_do_not_go_together(tmp_path):
    video = write_video(tmp_path / "video", range(3), **UTM)
    write_video(video, [3])
    with pytest.raises(GeoreferenceError, match="frame_003"):
        follow(video, tmp_path / "tracks.geojson")


@pytest.mark.parametrize("systems", [("EPSG:32632",), ("EPSG:32632", "EPSG:32633", "EPSG:4326")])
def test_frames_of_a_moving_platform_are_followed_by_their_places(tmp_path, systems):
    """The platform jumps by 26 pixels: what stands comes to lie where its neighbour was.

    Systems take turns. In the next zone's, frames are turned by 4.5 degrees; in degrees, pixels are
    made 2 m wide and high again.
    """
    metres = np.array([[-60.0, 20], [-8, 20], [20, -40]])
    velocity = np.array([[0.0, 0], [0, 0], [10, 0]])
    video, height, width = tmp_path / "video", 96, 192
    for number, jumps in enumerate((0, 1, 0, 1, 2, 1)):
        system = systems[number % len(systems)]
        points = np.vstack([[52.0 * jumps, 0], metres + number * velocity])
        points += np.array([500_000, 5_300_000])
        (x, *xs), (y, *ys) = reproject("EPSG:32632", system, *points.T)
        across, down = (2, 2) if system != "EPSG:4326" else (2 / 74_600, 2 / 111_200)
        place = Affine(across, 0, x - across * width / 2, 0, -down, y + down * height / 2)
        image = np.zeros((3, height, width), np.uint8)
        for point in zip(xs, ys, strict=True):
            column, row = np.round(~place @ point).astype(int)
            image[:, row - 3 : row + 3, column - 3 : column + 3] = 255
        write_raster(video / f"{number}.tif", image, cog=False, crs=system, transform=place)
    out = tmp_path / "tracks.geojson"
    result = follow(video, out, fps=1.0)
    assert [len(one.frames) for one in result.tracks] == [6, 6, 6]
    speeds = sorted(feature["properties"]["speed_m_s"] for feature in read(out)["features"])
    np.testing.assert_allclose(speeds, [0, 0, 10], atol=0.7)  # places are rounded to 2 m


def test_a_line_that_begins_or_ends_on_the_antimeridian_has_no_part_of_no_length():
    line = np.array([[179.9, 0], [-180, 1]])
    (part,) = cut_line(line, 9)
    assert part.tolist() == [[179.9, 0], [180, 1]]
    (part,) = cut_line(line[::-1], 9)
    assert part.tolist() == [[180, 1], [179.9, 0]]


def test_what_stands_still_keeps_a_vertex_for_each_detection(tmp_path):
    """Also beside a cut, and on the antimeridian itself."""
    still = np.array([[10.0, 50], [10, 50], [10, 50]])
    np.testing.assert_array_equal(cut_line(still, 9), [still])
    east, west = cut_line(np.array([[179.0, 0], [179, 0], [-179, 2], [-179, 2]]), 9)
    assert east.tolist() == [[179, 0], [179, 0], [180, 1]]
    assert west.tolist() == [[-180, 1], [-179, 2], [-179, 2]]
    moored = np.array([[180.0, 5], [-180, 5], [180, 5]])
    np.testing.assert_array_equal(cut_line(moored, 9), [moored])
    video = write_video(tmp_path / "video", [0], **UTM)
    for number in (1, 2, 3):
        shutil.copy(video / "frame_000.tif", video / f"frame_{number:03d}.tif")
    follow(video, tmp_path / "t.geojson", fps=1.0)
    for feature in read(tmp_path / "t.geojson")["features"]:
        assert len(feature["geometry"]["coordinates"]) == feature["properties"]["last_frame"] + 1
        assert feature["properties"]["speed_m_s"] == pytest.approx(0, abs=1e-6)


def test_what_lies_past_the_edge_of_the_earth_is_left_out_of_the_lines(tmp_path, caplog):
    """Of the full disk of a geostationary satellite, whose corners show space."""
    place = {"crs": GEOSTATIONARY, "transform": Affine(87e3, 0, -64 * 87e3, 0, -87e3, 64 * 87e3)}
    write_raster(tmp_path / "f.tif", np.zeros((3, 128, 128), np.uint8), cog=False, **place)
    scene = open_scene(tmp_path / "f.tif", "rgb-dn8")
    centres = np.array([[64, 64], [50, 50], [20, 20], [2, 2.0]])
    zeros = np.zeros(4, np.int64)
    seen = Track(1, np.arange(4), np.concatenate([centres, centres], 1), zeros, np.ones(4))
    never = Track(2, np.array([3]), np.array([[2, 2, 4, 4.0]]), zeros[:1], np.ones(1))
    write_lines(tmp_path / "t.geojson", [seen, never], [scene] * 4, range(4), ("ship",))
    (feature,) = read(tmp_path / "t.geojson")["features"]
    assert feature["geometry"]["coordinates"][0] == [0, 0] and feature["properties"]["id"] == 1
    assert feature["properties"]["frames"] == [0, 1, 2]
    assert "2 detections lie past the edge of the Earth" in caplog.text
    assert placed_motion([scene, scene]) is None


def test_one_detection_is_a_point(tmp_path):
    write_raster(tmp_path / "f.tif", picture(0), cog=False)
    objects = Objects(np.array([[1.0, 1, 3, 3]]), np.array([0]), ids=np.array([1]))
    scene = open_scene(tmp_path / "f.tif", "rgb-dn8")
    write_lines(tmp_path / "t.geojson", tracks_of([objects]), [scene], [0], ("ship",))
    assert read(tmp_path / "t.geojson")["features"][0]["geometry"] == {
        "type": "Point",
        "coordinates": [2.0, 2.0],
    }


def test_speed_is_that_of_the_fitted_line():
    """Exact for constant velocity at uneven times; what stands still with noise moves little.

    The slope of a line through five points at unit steps has a standard deviation of
    sigma / sqrt(10) along each axis: 0.32 for 1, where the mean step from point to point is
    sigma sqrt(pi) = 1.8.
    """
    times = np.array([0.0, 1, 3, 4, 9, 10, 10.5])
    points = np.array([7.0, 1]) + times[:, None] * np.array([3.0, -4])
    np.testing.assert_allclose(speeds_of(times, points), 5)
    np.testing.assert_allclose(speeds_of(times[:2], points[:2]), 5)
    still = np.random.default_rng(0).normal(0, 1, (400, 2))
    speeds = speeds_of(np.arange(400.0), still)
    assert speeds.mean() == pytest.approx(np.sqrt(np.pi / 2) / np.sqrt(10), rel=0.15)


@pytest.mark.slow
def test_a_shaking_camera_is_allowed_for(tmp_path):
    """Squares stand still on textured ground under a camera that jumps by 30 pixels."""
    rng = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(rng.standard_normal((320, 320)), 1.5)
    ground = 100 * (ground - ground.min()) / np.ptp(ground)
    for x, y in ((140, 150), (166, 150), (192, 150), (218, 150)):
        ground[y - 3 : y + 3, x - 3 : x + 3] = 255
    video = tmp_path / "video"
    for number, (x, y) in enumerate([(40, 40), (66, 40), (40, 44), (66, 60), (40, 40), (14, 50)]):
        frame = np.repeat(ground[None, y : y + 224, x : x + 224], 3, axis=0).astype(np.uint8)
        write_raster(video / f"{number}.tif", frame, cog=False)
    out = tmp_path / "tracks.geojson"
    result = follow(video, out, moving_camera=True, fps=1.0, gsd=1.0)
    assert [len(one.frames) for one in result.tracks] == [6, 6, 6, 6]
    assert result.motion_failed == 0
    for feature in read(out)["features"]:
        line = np.array(feature["geometry"]["coordinates"])
        assert np.ptp(line, axis=0).max() < 1  # in pixels of the first frame nothing moves
        assert feature["properties"]["speed_m_s"] < 0.3
    jumping = follow(video, tmp_path / "t.txt")
    assert max(len(one.frames) for one in jumping.tracks) < 6  # nothing is followed to the end
