"""What is described in data loads as fast as data."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ringmoe", {"torch", "rasterio", "numpy"}),
        ("ringmoe.sensors", {"torch", "rasterio"}),
        ("ringmoe.observation", {"torch", "rasterio"}),
    ],
)
def test_import_leaves_the_heavy_libraries_out(module, absent):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not absent & loaded
