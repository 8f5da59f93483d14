"""Memory does not grow with the scene."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as RasterioWindow
from tests.processes import PEAK_KIB

_READ_ALL = textwrap.dedent("""
    import sys
    from ringmoe.scenes import Window, open_scene
    scene = open_scene(sys.argv[1], "rgb-dn8")
    total = 0.0
    for row in range(0, 20000, 1000):
        for column in range(0, 20000, 1000):
            total += scene.read(Window(row, column, 1000, 1000)).values.sum(dtype="f8")
    print(total, PEAK_KIB / 1024)
""").replace("PEAK_KIB", PEAK_KIB)


def _tiled_tiff(path):
    """1.2 GB of pixels, nearly all in tiles that the file leaves out: they read as 0."""
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 20_000, "width": 20_000}
    with rasterio.open(path, "w", tiled=True, sparse_ok=True, **profile) as dataset:
        dataset.write(
            np.ones((3, 100, 100), np.uint8), window=RasterioWindow(15000, 15000, 100, 100)
        )


def _numpy_stack(path):
    """The same as a file with holes."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (3, 20_000, 20_000))
    array[:, 15000:15100, 15000:15100] = 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [("a.tif", _tiled_tiff), ("a.npy", _numpy_stack)])
def test_windows_of_a_large_file_stay_under_300_mb(tmp_path, name, make):
    """Every window of 20000 x 20000 x 3 is read; the process never holds more than 300 MB."""
    make(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _READ_ALL, tmp_path / name],
        capture_output=True,
        text=True,
        check=True,
    )
    total, peak = map(float, done.stdout.split())
    assert total == 3 * 100 * 100
    assert peak < 300
