"""The dispatcher: finds the verb, runs it, turns errors into one line and an exit code.

It imports the standard library alone, so that `ringmoe --help` answers at once; a verb's module,
and with it torch or rasterio, is loaded when that verb is called.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import ringmoe
from ringmoe.errors import ConfigError, RingmoeError

# verb -> what it does; the function is `ringmoe.cli.VERB.VERB`. In the order people need them.
VERBS: dict[str, str] = {
    "demo": "simulate, pre-train and show: the whole chain in one report",
    "info": "show a model's parameters, work per image, memory and channels",
    "simulate": "write simulated scenes with labels for every task",
    "ingest": "bring products into an archive of checked tiles",
    "pretrain": "pre-train a model on an archive",
    "prune": "make a smaller checkpoint, for some modalities or with fewer experts",
    "distil": "train a pruned model towards the unpruned one, without labels",
    "probe": "score a backbone's frozen features on classes of images",
    "finetune": "adapt a model to a task with labelled images",
    "evaluate": "score a task's model on labelled images",
    "predict": "map a scene of any size with a task's model",
    "track": "follow the objects of a video with a detector",
    "export": "write a model as ONNX or torch.export, checked against it",
    "upcycle": "turn a dense Swin V2 checkpoint into a RingMoE one",
}

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `ringmoe` on the command line; None reads `sys.argv`.

    Returns:
        The exit code: 0, 2 for an error that the message explains, 130 if interrupted. An error
        that nobody foresaw passes through with its traceback, for a bug report.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    verb, *rest = [word for word in words if word != "--debug"] or ["--help"]
    try:
        with _terminable():
            _run(verb, rest, debug)
        sys.stdout.flush()
    except (
        BrokenPipeError
    ):  # `ringmoe info giant --json | head`: the reader has left, which is fine
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (RingmoeError, OSError, KeyboardInterrupt) as error:
        if debug:
            raise
        name = f"ringmoe {verb}" if verb in VERBS else "ringmoe"
        if isinstance(error, KeyboardInterrupt):
            print(f"{name}: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        print(f"{name}: error: {explain(error)}", file=sys.stderr)
        return EXIT_ERROR
    return 0


def _run(verb: str, words: Sequence[str], debug: bool) -> None:
    if verb in ("-h", "--help"):
        print(_overview())
    elif verb == "--version":
        print(f"ringmoe {ringmoe.__version__}")
    elif verb not in VERBS:
        advice = nearest(verb, VERBS)
        raise ConfigError(f"there is no command {verb!r}{advice} (see `ringmoe --help`)")
    else:
        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("ringmoe").setLevel(logging.DEBUG if debug else logging.INFO)
        # GDAL grumbles at every odd tag of files that it reads well: a line a file, unasked.
        logging.getLogger("rasterio").setLevel(logging.DEBUG if debug else logging.ERROR)
        function = getattr(importlib.import_module(f"ringmoe.cli.{verb}"), verb)
        from ringmoe.cli.parser import call  # here, because jsonargparse takes 0.15 s to import

        call(function, words)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, of `timeout` or a scheduler, ends a command as Ctrl-C does: it clears up first."""
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def explain(error: Exception) -> str:
    """An error as one line that says what to do."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"no space left on the disk{where}: free some, then run the same command again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` if something known is spelt like `word`, else nothing."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean {found[0]!r}?" if found else ""


def _overview() -> str:
    width = max((len(verb) for verb in VERBS), default=0)
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return f"""usage: ringmoe VERB [ARGUMENT ...]

RingMoE: a multi-modal remote sensing foundation model with a mixture of experts.

{verbs}

`ringmoe VERB --help` explains a verb's arguments.
  --config FILE.yaml  take a verb's arguments from a file; flags after it win
  --debug             show the traceback of an error, and more of what happens
  --version           print the version
"""
