"""`ringmoe info`: what a model holds and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def info(model: str, *, modalities: tuple[str, ...] | None = None, json: bool = False) -> None:
    """Show a model's parameters, work per image, memory and channels.

    A preset's are computed without making the model: `giant` is shown as fast as `nano`. Of a
    checkpoint also the bytes of its files, by their type. With `--modalities`, what is left of the
    model with these alone, and which of the bytes they need.

    Args:
        model: A preset (nano, tiny, base, giant) or a checkpoint folder.
        modalities: Only these modalities; none: all of the model's.
        json: Print JSON instead of tables.

    Raises:
        ConfigError: It is neither a preset nor a folder, or does not have a modality.
        CheckpointError: The folder is no checkpoint.
    """
    facts = {"model": model, **_facts(model, modalities)}
    if json:
        from json import dumps

        print(dumps(facts, indent=2))
        return
    from rich.console import Console

    console = Console()
    for table in _tables(facts):
        console.print(table)


def _facts(model: str, modalities: tuple[str, ...] | None) -> dict[str, Any]:
    from pathlib import Path

    from ringmoe.errors import ConfigError
    from ringmoe.models import PRESETS, describe, plan_load

    if model in PRESETS:
        config = PRESETS[model]
        return describe(config if modalities is None else config.replace(modalities=modalities))
    if not Path(model).is_dir():
        raise ConfigError(
            f"{model!r} is neither a preset ({', '.join(PRESETS)}) nor a checkpoint folder"
        )
    plan = plan_load(model, modalities)
    files = {
        file.name: {"bytes": sum(stop - start for start, stop in ranges), "ranges": ranges}
        for file, ranges in plan.files.items()
    }
    load = {
        "bytes": plan.bytes,
        "stored_bytes": plan.stored_bytes,
        "types": plan.types,
        "files": files,
    }
    return {**describe(plan.config), "load": load}


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
        ("stems", f"of {facts['stem']} channels"),
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
    tables = [shape, sizes, costs, channels]
    return [*tables, _reading(facts["load"])] if "load" in facts else tables


def _reading(load: dict[str, Any]) -> Table:
    return _table(
        "read from disk to load it",
        ("of all tensors' bytes", f"{_amount(load['bytes'])}B of {_amount(load['stored_bytes'])}B"),
        *((f"of these {kind}", f"{_amount(count)}B") for kind, count in load["types"].items()),
        *(
            (name, f"{_amount(file['bytes'])}B in {len(file['ranges'])} ranges")
            for name, file in load["files"].items()
        ),
    )


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
