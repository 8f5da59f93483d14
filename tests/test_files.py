"""A reader finds the old file or the new one, never a half of either."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ringmoe.errors import WriteError
from ringmoe.files import replacing


def test_replaces_a_file(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        with replacing(path) as partial:
            partial.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["file.txt"]


def test_replaces_a_folder(tmp_path):
    path = tmp_path / "model"
    for text in ("first", "second"):
        with replacing(path) as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert os.listdir(path) == ["second"]
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_full_disk_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "file.txt"
    full = pytest.raises(WriteError, match=r"cannot write .*file\.txt: the disk is full")
    with full, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_real_size_limit_leaves_the_old_file(tmp_path):
    """The kernel refuses the write (RLIMIT_FSIZE, as a quota would) in a process of its own."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path; from ringmoe.files import replacing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with replacing(Path(sys.argv[1])) as partial: partial.write_bytes(b'x' * 5000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert "WriteError: cannot write" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path; from ringmoe.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    """In a container every run may be process 1."""
    left = tmp_path / f".folder.partial-{os.getpid()}"
    left.mkdir()
    (left / "old").write_text("half")
    with replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "new").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_what_a_link_points_to_is_replaced(tmp_path):
    """Checkpoints are often links to a larger disk."""
    (tmp_path / "disk").mkdir()
    for name, make in (("folder", Path.mkdir), ("file", Path.touch)):
        make(tmp_path / "disk" / name)
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
        with replacing(tmp_path / name) as partial:
            make(partial)
            target = partial / "new" if partial.is_dir() else partial
            target.write_text("new")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "disk" / "folder" / "new").read_text() == "new"
    assert (tmp_path / "disk" / "file").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["disk", "file", "folder"]
    assert sorted(os.listdir(tmp_path / "disk")) == ["file", "folder"]


def test_the_current_folder_is_not_swapped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (Path("."), tmp_path):
        with (
            pytest.raises(WriteError, match="is the current folder: run this from another"),
            replacing(path),
        ):
            pytest.fail("nothing is to be made")
    with replacing(Path("file")) as partial:
        partial.write_text("new")
    assert os.listdir(tmp_path) == ["file"]
