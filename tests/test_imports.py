"""What loads what: start-up stays light, and the floors of the architecture hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from tests.conftest import ROOT

import ringmoe

HEAVY = {"torch", "numpy", "rasterio", "matplotlib", "jsonargparse", "yaml"}


def loaded_after(code):
    """Top-level packages in sys.modules of a fresh process that ran `code`."""
    report = "; import json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    output = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import ringmoe",
        "import ringmoe; ringmoe.__version__; dir(ringmoe)",
        "import ringmoe.cli; ringmoe.cli.main(['--help'])",
        "import ringmoe.cli; ringmoe.cli.main(['--version'])",
    ],
)
def test_start_up_loads_nothing_heavy(code):
    """The cause of a fast start (`python -m benchmarks.startup` shows the effect in seconds)."""
    assert loaded_after(code) & HEAVY == set()


@pytest.mark.parametrize("name", ringmoe.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ringmoe, name).__name__ == name


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        ringmoe.creat_model  # noqa: B018


def lint_imports(folder):
    """Exit code and the names of the broken contracts, for the package in `folder`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    result = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    rows = result.stdout.splitlines()
    return result.returncode, [row.split()[0] for row in rows if " BROKEN" in row]


def test_the_import_contract_holds():
    assert lint_imports(ROOT / "src") == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "line", "broken"),
    [
        ("sensors/channel.py", "from ringmoe.observation import Observation", "Floors:"),
        ("scenes/extra.py", "from ringmoe.models import create_model", "Floors:"),
        ("models/extra.py", "import ringmoe.archive", "Floors:"),
        ("reports/extra.py", "import ringmoe.cli", "Floors:"),
        ("unknown/__init__.py", "", "Floors:"),
        ("sensors/extra.py", "import rasterio", "Sensors"),
        ("reports/extra.py", "import torch", "Reports"),
    ],
)
def test_the_import_contract_notices_a_broken_floor(tmp_path, where, line, broken):
    """A copy of the source with one forbidden import, or with a folder that no floor lists."""
    shutil.copytree(ROOT / "src" / "ringmoe", tmp_path / "ringmoe")
    path = tmp_path / "ringmoe" / where
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    code, names = lint_imports(tmp_path)
    assert code == 1
    assert broken in names
