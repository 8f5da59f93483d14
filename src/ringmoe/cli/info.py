"""`ringmoe info`: what a model holds and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def info(model: str, *, json: bool = False) -> None:
    """Show a model's parameters, work per image, memory and channels.

    A preset's are computed without making the model: `giant` is shown as fast as `nano`.

    Args:
        model: A preset (nano, tiny, base, giant) or a checkpoint folder.
        json: Print JSON instead of tables.

    Raises:
        ConfigError: It is neither a preset nor a folder.
        CheckpointError: The folder is no checkpoint.
    """
    facts = {"model": model, **_facts(model)}
    if json:
        from json import dumps

        print(dumps(facts, indent=2))
        return
    from rich.console import Console

    console = Console()
    for table in _tables(facts):
        console.print(table)


def _facts(model: str) -> dict[str, Any]:
    from pathlib import Path

    from ringmoe.errors import ConfigError
    from ringmoe.models import PRESETS, describe, read_config

    if model in PRESETS:
        return describe(PRESETS[model])
    if not Path(model).is_dir():
        raise ConfigError(
            f"{model!r} is neither a preset ({', '.join(PRESETS)}) nor a checkpoint folder"
        )
    return describe(read_config(model))


def _tables(facts: dict[str, Any]) -> list[Table]:
    parameters, flops, memory = (
        facts["parameters"],
        facts["flops_per_image"],
        facts["memory_bytes"],
    )
    experts, size = facts["experts_per_block"], facts["image_size"]
    shape = _table(
        f"{facts['model']}: shape",
        ("native size", f"{size} x {size} px"),
        ("blocks per stage", ", ".join(map(str, facts["depths"]))),
        ("widths", ", ".join(map(str, facts["widths"]))),
        ("strides", ", ".join(map(str, facts["strides"]))),
        ("experts per block", ", ".join(f"{count} {kind}" for kind, count in experts.items())),
    )
    sizes = _table(
        "parameters",
        ("total", _amount(parameters["total"])),
        ("active per token", _amount(parameters["active"])),
        *((f"with {m} alone", _amount(n)) for m, n in parameters["sub_models"].items()),
        ("with one modality, 1 collaborative expert", _amount(parameters["expert_pruned"])),
        ("with one FFN per block", _amount(parameters["dense"])),
        *((f"of these {_words(part)}", _amount(n)) for part, n in parameters["parts"].items()),
    )
    costs = _table(
        "costs",
        ("forward, per image", f"{_amount(flops['total'])}FLOP"),
        ("with one FFN per block", f"{_amount(flops['dense'])}FLOP"),
        *((f"of these {_words(part)}", f"{_amount(n)}FLOP") for part, n in flops["parts"].items()),
        ("weights, float32", f"{_amount(memory['float32'])}B"),
        ("weights, bfloat16", f"{_amount(memory['bfloat16'])}B"),
        ("AdamW training state", f"{_amount(memory['adamw'])}B"),
    )
    channels = _table(
        "channels of the stems", *((m, ", ".join(names)) for m, names in facts["channels"].items())
    )
    return [shape, sizes, costs, channels]


def _table(title: str, *rows: tuple[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE)
    for row in rows:
        table.add_row(*row)
    return table


def _amount(number: int) -> str:
    """With an SI prefix and four digits: 14746198308 is "14.75 G"."""
    value, prefix = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if value < 1000:
            break
        value, prefix = value / 1000, larger
    return f"{value:.4g} {prefix}"


def _words(name: str) -> str:
    return name.replace("_", " ")
