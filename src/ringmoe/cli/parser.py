"""From words on the command line, and configuration files, to a verb's arguments."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action, ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import docstring_parser
import yaml
from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter, Namespace

from ringmoe.cli.main import nearest
from ringmoe.cli.signature import Argument, Signature
from ringmoe.errors import ConfigError

Config = Mapping[str, Any]


def call(function: Callable[..., object], words: Sequence[str]) -> None:
    """Call a verb's function with the arguments that a command line gives it.

    Args:
        function: The verb; `ringmoe.cli.signature` says what its signature means.
        words: The command line after the verb.

    Raises:
        ConfigError: An argument or a key of a configuration file is unknown, missing or of the
            wrong type; one line that names the file, the key and the nearest that is allowed.
        OSError: A configuration file cannot be read.
    """
    signature = Signature.of(function)
    arguments = signature.arguments
    words = [_with_hyphens(word) for word in words]
    configs = {path: _read_config(path, arguments) for path in _config_files(words)}
    try:
        found = _parser(signature).parse_args(words)
    except ArgumentError as error:
        raise ConfigError(_in_one_line(error, arguments, configs)) from error
    values = {name: found[name] for name in arguments}
    signature.call({n: v.as_dict() if isinstance(v, Namespace) else v for n, v in values.items()})


def _with_hyphens(word: str) -> str:
    """`--tile_size=96` as `--tile-size=96`: a configuration's keys work as flags too."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    flag, dot, key = flag.partition(".")
    return flag.replace("_", "-") + dot + key + equals + value


def _parser(signature: Signature) -> ArgumentParser:
    about = docstring_parser.parse(signature.function.__doc__ or "")
    parser = ArgumentParser(
        prog=f"ringmoe {signature.function.__name__}",
        usage=_usage(signature),
        description="\n\n".join(filter(None, (about.short_description, about.long_description))),
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        print_config="--print-config",
        allow_abbrev=False,
    )
    for argument in signature.arguments.values():
        _add(parser, argument)
    parser.add_argument(
        "--config", action="config", metavar="FILE", help="YAML file that sets the arguments"
    )
    for action in parser._actions:
        if action.dest == "print_config":
            action.help = "print all arguments as such a file, and exit"
    return parser


def _usage(signature: Signature) -> str:
    """Only what must be given: a verb may have thirty options, and --help lists them below."""
    words = []
    for argument in sorted(signature.arguments.values(), key=lambda a: not a.positional):
        name = argument.metavar
        if argument.positional:
            words.append(name if argument.required else f"[{name}]")
            words += [f"[{name} ...]"] if argument.item_type else []
        elif argument.required:
            words.append(f"{argument.flag} {name}")
    return " ".join(["ringmoe", signature.function.__name__, *words, "[OPTION ...]"])


def _add(parser: ArgumentParser, argument: Argument) -> None:
    options: dict[str, Any] = {"help": argument.help}
    several = argument.item_type is not None
    if argument.annotation is bool:
        options["action"] = ActionYesNo(no_prefix="no-")
    else:
        options |= {"type": argument.item_type or argument.annotation, "metavar": argument.metavar}
        options |= {"nargs": "+"} if several else {}
    if not argument.required:  # jsonargparse changes the items of a default in place: a fresh list
        default = argument.default
        options["default"] = list(default) if several and default is not None else default
    if not argument.positional:
        options["required"] = argument.required
    elif not argument.required:
        options["nargs"] = "*" if several else "?"
    parser.add_argument(argument.flag, **options)


def _config_files(words: Sequence[str]) -> list[str]:
    given = [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    return given + [b for a, b in pairwise(words) if a == "--config"]


def _read_config(path: str, arguments: Mapping[str, Argument]) -> Config:
    """A configuration file whose keys are all known; jsonargparse would not name the file."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not valid YAML: {error.problem}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a YAML text file") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found {type(found).__name__}")
    sections = {name.partition(".")[0] for name in arguments if "." in name}
    found = _flat(found, sections)
    for key, value in found.items():
        argument = arguments.get(key.replace("-", "_"))
        if argument is None:
            advice = nearest(key, list(arguments)) or f": choose from {', '.join(arguments)}"
            raise ConfigError(f"{path}: unknown key {key!r}{advice}")
        if argument.item_type and not isinstance(value, list | None):
            raise ConfigError(f"{path}: {key}: {_unlike(argument, value)}")
    return found


def _flat(found: Config, sections: Iterable[str]) -> Config:
    """A file's keys as the arguments are called: those of a section with its name before them."""
    flat: dict[str, Any] = {}
    for key, value in found.items():
        if key in sections and isinstance(value, dict):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            flat[str(key)] = value
    return flat


def _in_one_line(
    error: ArgumentError, arguments: Mapping[str, Argument], configs: Mapping[str, Config]
) -> str:
    """What jsonargparse found wrong, with the file or flag it came from and what is allowed."""
    message = " ".join(str(error).split())
    if found := re.match(r'Parser key "([\w.]+).*alue: (.*)', message):
        name, value = found.groups()
        name = name if name in arguments else name.partition(".")[0]  # of a key in a dict
        if nested := re.match(r"NestedArg\(key='(.*)', val='?(.*?)'?\)$", value):
            value = f"{nested[1]}: {nested[2]}"
        if argument := arguments.get(name):
            source = next((f"{p}: {name}" for p, keys in configs.items() if name in keys), None)
            return f"{source or argument.flag}: {_unlike(argument, value)}"
    if found := re.match(r"unrecognized arguments: (\S+)", message):
        word = found[1]
        advice = nearest(word.split("=")[0], [a.flag for a in arguments.values()])
        return f"unknown argument {word}{advice} (see --help)"
    if found := re.match(r"the following arguments are required: (.*)", message):
        missing = [arguments[name] for name in found[1].split(", ")]
        names = (a.metavar if a.positional else a.flag for a in missing)
        return f"missing {', '.join(names)} (see --help)"
    return message


def _unlike(argument: Argument, value: object) -> str:
    """What was expected and what came; a list without its brackets with them."""
    words = isinstance(value, str) and re.fullmatch(r"[\w .,-]+", value)
    advice = f": write '[{value}]'" if words and "a list" in argument.expected else ""
    return f"expected {argument.expected}, got {value!r}{advice}"


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Help that shows defaults, keeps the docstring's paragraphs, and no Python types."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if action.required and action.option_strings:
            return f"{text} (required)"
        default = action.default
        if action.dest in ("help", "config", "print_config") or default is False or default == {}:
            return text
        if isinstance(default, list):
            default = " ".join(map(str, default))
        return text if default in (None, "", SUPPRESS) else f"{text} (default: {default})"
