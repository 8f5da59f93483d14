"""What all tests share: one thread a worker, repeatable examples, the folder of real imagery."""

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before anything imports torch, numpy or matplotlib; processes that a test starts inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

# The same examples on every run, and no time limit an example: a loaded machine fails no test.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real imagery: $RINGMOE_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("RINGMOE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real imagery: {folder} is not a folder (set RINGMOE_DATA)")
    return folder
