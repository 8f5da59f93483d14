"""The command line: `ringmoe VERB`, one file a verb.

A verb is a plain function with the verb's name in `ringmoe/cli/VERB.py`; its signature and its
docstring are its command line (`ringmoe.cli.signature` says how). `ringmoe.cli.main` lists the
verbs and is the only place where errors become messages and exit codes.
"""

from ringmoe.cli.main import main

__all__ = ["main"]
