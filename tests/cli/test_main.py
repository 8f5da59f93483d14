"""The dispatcher: what people see when all is well, and one line and an exit code when not."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import pkgutil
import signal
import subprocess
import sys
import types

import pytest

import ringmoe
import ringmoe.cli
from ringmoe.cli import main
from ringmoe.errors import SceneReadError
from ringmoe.files import replacing

# The attribute `ringmoe.cli.main` is the function; the module of that name holds the table.
dispatcher = sys.modules["ringmoe.cli.main"]


@pytest.fixture
def verb(monkeypatch):
    """Install a function as the verb `try`."""

    def install(function):
        module = types.ModuleType("ringmoe.cli.attempt")
        function.__name__ = "attempt"
        module.attempt = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(dispatcher.VERBS, "attempt", "try something")

    return install


def raising(error):
    def attempt() -> None:
        raise error

    return attempt


def test_help_lists_every_verb_once(capsys):
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 100
        for name, what in dispatcher.VERBS.items():
            assert [
                line.split(maxsplit=1)[1] for line in lines if line.startswith(f"  {name} ")
            ] == [what]


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ringmoe {ringmoe.__version__}\n"


def test_the_table_and_the_files_agree():
    """A file that defines a function of its own name is a verb; each verb is documented whole."""
    files = {info.name for info in pkgutil.iter_modules(ringmoe.cli.__path__)}
    verbs = {
        name
        for name in files - {"main"}
        if inspect.isfunction(getattr(importlib.import_module(f"ringmoe.cli.{name}"), name, None))
    }
    assert verbs == set(dispatcher.VERBS)


@pytest.mark.parametrize("name", dispatcher.VERBS)
def test_help_of_a_verb_explains_every_argument(name, capsys):
    from ringmoe.cli.signature import Signature

    function = getattr(importlib.import_module(f"ringmoe.cli.{name}"), name)
    unexplained = [a.flag for a in Signature.of(function).arguments.values() if not a.help]
    assert unexplained == []
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ringmoe {name} ")


def test_an_unknown_verb_is_told_with_the_nearest(verb, capsys):
    verb(raising(SystemExit))
    assert main(["atempt"]) == 2
    assert capsys.readouterr().err == (
        "ringmoe: error: there is no command 'atempt': did you mean 'attempt'? "
        "(see `ringmoe --help`)\n"
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SceneReadError("a.tif is empty: fetch it again"), "a.tif is empty: fetch it again"),
        (SceneReadError("one\n  two"), "one two"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.tif"), "a.tif: No such"),
        (OSError(errno.ENOSPC, "No space left"), "no space left on the disk: free some"),
        (
            OSError(errno.ENOSPC, "No space", "b.tif"),
            "no space left on the disk while writing b.tif",
        ),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(verb, capsys, error, message):
    verb(raising(error))
    assert main(["attempt"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"ringmoe attempt: error: {message}")
    assert captured.err.count("\n") == 1


def test_debug_shows_the_traceback(verb):
    verb(raising(SceneReadError("a.tif is empty")))
    with pytest.raises(SceneReadError, match=r"a\.tif"):
        main(["attempt", "--debug"])


def test_a_wrong_argument_is_one_line_and_exit_code_2(verb, capsys):
    def attempt(*, size: int = 1) -> None: ...

    verb(attempt)
    assert main(["attempt", "--sise", "3"]) == 2
    assert capsys.readouterr().err == (
        "ringmoe attempt: error: unknown argument --sise: did you mean '--size'? (see --help)\n"
    )


def test_an_interrupt_is_exit_code_130(verb, capsys):
    verb(raising(KeyboardInterrupt()))
    assert main(["attempt"]) == 130
    assert capsys.readouterr().err == "ringmoe attempt: interrupted\n"


def test_sigterm_is_an_interrupt_that_leaves_nothing_half_written(verb, tmp_path, capsys):
    def attempt() -> None:
        with replacing(tmp_path / "map.tif") as partial:
            partial.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    verb(attempt)
    assert main(["attempt"]) == 130
    assert capsys.readouterr().err == "ringmoe attempt: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_bug_keeps_its_traceback(verb):
    verb(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["attempt"])


def test_a_reader_that_leaves_early_is_no_error():
    """As in `ringmoe --help | head -1`: what nobody reads any more is not worth a message."""
    command = f"{sys.executable} -m ringmoe --help | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stderr == ""
