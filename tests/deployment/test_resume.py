"""Maps that were interrupted: the same file as if they had not been, and never a damaged one."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tests.deployment.samples import CLASSES, Smoothed, make_scene, read
from tests.processes import PEAK_KIB

from ringmoe.deployment import journal, mapping, predict_scene
from ringmoe.deployment.journal import Journal, Planes, Progress, fingerprint_scene
from ringmoe.errors import ConfigError, WriteError

OPTIONS = {
    "kind": "classes",
    "classes": CLASSES,
    "tile_size": 32,
    "overlap": 8,
    "batch_size": 3,
    "probabilities": True,
    "fingerprint": "model 1",
}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scene(tmp_path):
    """Nine rows of five tiles; 213 pixels are no multiple of the step of 24."""
    return make_scene(tmp_path / "scene.tif", 213, 128)


@pytest.fixture
def small(tmp_path):
    """Four rows of three tiles, each a batch."""
    return make_scene(tmp_path / "scene.tif", 100, 80)


class Interrupted(Smoothed):
    """Stops as by Ctrl-C after so many calls."""

    def __init__(self, calls=10**9):
        super().__init__()
        self.left = calls

    def forward(self, observations):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().forward(observations)


@pytest.fixture
def always_noted(monkeypatch):
    monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [3, 11])
def test_an_interrupted_map_goes_on_to_the_same_file(tmp_path, scene, always_noted, batch_size):
    """Interrupted after 7 of 18 (2 of 5) batches until it is done; then every byte is compared.

    Batches of 3 of a row's 5 tiles, or of two rows together.
    """
    options = OPTIONS | {"batch_size": batch_size}
    whole = predict_scene(Smoothed(), scene, tmp_path / "whole.tif", **options)
    calls, runs, result = (7 if batch_size == 3 else 2), 0, None
    while result is None:
        runs += 1
        try:
            result = predict_scene(Interrupted(calls), scene, tmp_path / "m.tif", **options)
        except KeyboardInterrupt:
            assert not (tmp_path / "m.tif").exists()
    assert runs > 2 and result.resumed_rows > 0
    assert result.path.read_bytes() == whole.path.read_bytes()
    assert result.probabilities.read_bytes() == whole.probabilities.read_bytes()
    assert result.valid_pixels == whole.valid_pixels
    assert not list(tmp_path.glob(".*"))


def interrupt(scene, out, **changes):
    """A run that is interrupted after three batches."""
    with pytest.raises(KeyboardInterrupt):
        predict_scene(Interrupted(3), scene, out, **{**OPTIONS, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "model 2"},
        {"overlap": 4},
        {"tile_size": 64},
        {"classes": ("a", "b", "c", "d")},
        {"nodata": 254},
        {"probability_type": "float32"},
        {"resume": False},
    ],
)
def test_an_unfinished_map_of_other_options_is_not_used(tmp_path, small, always_noted, change):
    out = tmp_path / "m.tif"
    interrupt(small, out)
    result = predict_scene(Smoothed(), small, out, **{**OPTIONS, **change})
    assert result.resumed_rows == 0


def test_an_unfinished_map_of_another_scene_is_not_used(tmp_path, small, always_noted):
    """The file was replaced: same name and size, other pixels."""
    interrupt(small, tmp_path / "m.tif")
    before = fingerprint_scene(small)
    changed = make_scene(tmp_path / "scene.tif", 100, 80, seed=1)
    os.utime(changed.path, (1, 1))  # also on a file system with a coarse clock
    assert fingerprint_scene(changed) != before
    result = predict_scene(Smoothed(), changed, tmp_path / "m.tif", **OPTIONS)
    assert result.resumed_rows == 0


def test_a_model_without_a_fingerprint_is_never_resumed(tmp_path, small, always_noted):
    out = tmp_path / "m.tif"
    interrupt(small, out, fingerprint="")
    assert predict_scene(Smoothed(), small, out, **OPTIONS | {"fingerprint": ""}).resumed_rows == 0


def test_options_that_do_not_change_pixels_may_change(tmp_path, small, always_noted):
    """Run out of memory, then with smaller batches: it goes on, and differs by rounding alone."""
    whole = predict_scene(Smoothed(), small, tmp_path / "whole.tif", **OPTIONS)
    interrupt(small, tmp_path / "m.tif")
    options = OPTIONS | {"batch_size": 1, "colours": [(9, 9, 9)] * 4}
    result = predict_scene(Smoothed(), small, tmp_path / "m.tif", **options)
    assert result.resumed_rows > 0
    assert (read(result.path) != read(whole.path)).mean() < 1e-3


def test_a_run_stopped_while_files_are_made_maps_nothing_again(tmp_path, scene, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mapping, "write_cog", stop)
        predict_scene(Smoothed(), scene, tmp_path / "m.tif", **OPTIONS)
    result = predict_scene(Interrupted(0), scene, tmp_path / "m.tif", **OPTIONS)
    assert (result.resumed_rows, result.tiles) == (213, 0)
    whole = predict_scene(Smoothed(), scene, tmp_path / "whole.tif", **OPTIONS)
    assert result.path.read_bytes() == whole.path.read_bytes()


def test_a_damaged_journal_is_not_used(tmp_path, small, always_noted):
    interrupt(small, tmp_path / "m.tif")
    (tmp_path / ".m.tif.unfinished" / "journal.json").write_text('{"fingerprint": "')
    result = predict_scene(Smoothed(), small, tmp_path / "m.tif", **OPTIONS)
    assert result.resumed_rows == 0


def test_the_journal_speaks_of_what_is_on_disk_only(tmp_path, monkeypatch):
    """Parts are synced before the line is written; and nothing is noted before its time."""
    order = []
    planes = Planes(tmp_path / "map.raw", (1, 4, 4), "u1")
    monkeypatch.setattr(planes, "sync", lambda: order.append("sync"))

    def noted():
        """What a run that begins now finds."""
        again = Journal(tmp_path / "m.tif", "x", resume=True)
        again.close()
        return again.progress

    kept = Journal(tmp_path / "m.tif", "x", resume=True)
    kept.close()  # others may look
    kept.note(Progress(1, 4), planes)
    assert not order and noted().rows == 0
    kept.note(Progress(2, 8), planes, now=True)
    assert order == ["sync"]
    assert noted() == Progress(2, 8)


def test_planes_keep_what_is_written(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 10, 7)).astype("f4")
    planes = Planes(tmp_path / "a.raw", values.shape, "f4")
    for row in (5, 0):
        planes.write(row, values[:, row : row + 5])
    again = Planes(tmp_path / "a.raw", values.shape, "f4")
    assert (again.read(3, 8) == values[:, 3:8]).all()
    assert (np.concatenate([v for _, v in again.strips(4)], axis=1) == values).all()


def limited(code, *arguments):
    """The output of a process whose files may have 160000 bytes: it stands for a full disk."""
    before = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))\n"
    command = [sys.executable, "-W", "ignore", "-c", before + textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_map(tmp_path):
    """The unfinished map does not fit: 500 x 400 pixels are 200000 bytes. Nor does the finished.

    400 x 400 random bytes fit, and do not compress: a GeoTIFF's head does not fit beside them.
    """
    make_scene(tmp_path / "scene.tif", 500, 400)
    planes = Planes(tmp_path / "random.raw", (1, 400, 400), "u1")
    planes.write(0, np.random.default_rng(0).integers(0, 255, (1, 400, 400), dtype=np.uint8))
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("old")
    code = """
        from pathlib import Path
        from tests.deployment.test_resume import OPTIONS, Smoothed
        from ringmoe.deployment import predict_scene
        from ringmoe.deployment.cog import Legend, write_cog
        from ringmoe.deployment.journal import Planes
        from ringmoe.errors import ConfigError, WriteError
        from ringmoe.scenes import open_scene
        folder = Path(sys.argv[1])
        scene = open_scene(folder / "scene.tif", "sentinel2-l2a")
        try:
            predict_scene(Smoothed(), scene, folder / "a.tif", **OPTIONS)
        except WriteError as error:
            print(error)
        planes = Planes(folder / "random.raw", (1, 400, 400), "u1")
        try:
            write_cog(planes, folder / "b.tif", scene, Legend(["class"], 255))
        except WriteError as error:
            print(error)
    """
    first, second = limited(code, tmp_path).splitlines()
    assert "a.tif" in first and "free some space" in first and "b.tif" in second
    assert all((tmp_path / name).read_text() == "old" for name in ("a.tif", "b.tif"))


@pytest.mark.slow
def test_rows_after_a_failed_write_are_not_taken_for_finished(tmp_path, scene, always_noted):
    """The third write fails, and the disk has space again at once: later rows must not count."""
    calls = itertools.count()
    write = Planes.write

    def failing(self, row, values):
        if next(calls) == 2:
            raise WriteError("the disk is full")
        write(self, row, values)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(WriteError, match="is full"):
        patched.setattr(Planes, "write", failing)
        predict_scene(Smoothed(), scene, tmp_path / "m.tif", **OPTIONS)
    result = predict_scene(Smoothed(), scene, tmp_path / "m.tif", **OPTIONS)
    whole = predict_scene(Smoothed(), scene, tmp_path / "whole.tif", **OPTIONS)
    assert 0 < result.resumed_rows < 100
    assert result.path.read_bytes() == whole.path.read_bytes()
    assert result.probabilities.read_bytes() == whole.probabilities.read_bytes()


KILLED = textwrap.dedent("""
    import sys
    from tests.deployment.test_resume import OPTIONS
    from tests.deployment.samples import Smoothed
    from ringmoe.deployment import journal, predict_scene
    from ringmoe.scenes import open_scene
    journal.COMMIT_SECONDS = 0

    class Told(Smoothed):
        def forward(self, observations):
            print("batch", flush=True)
            return super().forward(observations)

    scene = open_scene(sys.argv[1], "sentinel2-l2a")
    predict_scene(Told(), scene, sys.argv[2], **OPTIONS)
""")


@pytest.mark.slow
def test_a_killed_map_goes_on_to_the_same_file(tmp_path, scene):
    """SIGKILL at the tenth of 18 batches, until it finishes; then every byte is compared."""
    whole = predict_scene(Smoothed(), scene, tmp_path / "whole.tif", **OPTIONS)
    out = tmp_path / "m.tif"
    command = [sys.executable, "-c", KILLED, scene.path, out]
    for kills in itertools.count():
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            for batches, _ in enumerate(process.stdout, 1):
                if batches == 10:
                    process.send_signal(signal.SIGKILL)
                    break
            if process.wait() == 0:
                break
        assert process.returncode == -signal.SIGKILL and kills < 10
        assert not out.exists()
    assert kills >= 2
    assert out.read_bytes() == whole.path.read_bytes()
    shares = tmp_path / "m-probabilities.tif"
    assert shares.read_bytes() == whole.probabilities.read_bytes()


MEASURED = textwrap.dedent("""
    import sys, torch
    from tests.deployment.samples import one_pixel
    from ringmoe.deployment import predict_scene
    from ringmoe.scenes import open_scene
    torch.set_num_threads(1)
    scene = open_scene(sys.argv[1], "rgb-dn8")
    predict_scene(one_pixel, scene, sys.argv[2], kind="classes", classes="abcd", tile_size=256)
    print(PEAK_KIB / 1024)
""").replace("PEAK_KIB", PEAK_KIB)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """3000 columns: the peak of 8000 rows is within 50 MB of that of 1500.

    The larger scene has 59 MB more, the scores of its four classes as float32 312 MB more.
    """
    peaks = []
    for rows in (1500, 8000):
        path = tmp_path / f"{rows}.tif"
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": rows, "width": 3000}
        with rasterio.open(path, "w", tiled=True, sparse_ok=True, crs="EPSG:32633", **profile):
            pass  # no block is written: they read as 0
        command = [sys.executable, "-W", "ignore", "-c", MEASURED, path, tmp_path / "m.tif"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 50


def test_two_runs_do_not_write_one_map(small, tmp_path):
    """The second is refused while the first is at it; the first is whole, and leaves no lock."""
    scene, out = small, tmp_path / "map.tif"

    class Asking(Smoothed):
        asked = False

        def forward(self, observations):
            if not self.asked:
                self.asked = True
                with pytest.raises(ConfigError, match=r"map\.tif: another run is writing it"):
                    predict_scene(Smoothed(), scene, out, **OPTIONS)
            return super().forward(observations)

    predict_scene(Asking(), scene, out, **OPTIONS)
    predict_scene(Smoothed(), scene, tmp_path / "alone.tif", **OPTIONS)
    np.testing.assert_array_equal(read(out)[0], read(tmp_path / "alone.tif")[0])
    assert not list(tmp_path.glob(".*"))
