"""Write the tables of docs/performance.md anew from the results beside this file.

    python -m benchmarks.performance_page

Only what lies between `<!-- NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PASSES = {"forward": "forward", "forward_backward": "forward + backward"}


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; floats with two digits after the point, None as nothing."""

    def cell(value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def measured(result: dict[str, Any]) -> str:
    """The line under a table: where, when and by which command."""
    where = result["environment"]
    clock = " of CPU time" if result["clock"] == "cpu" else ""
    return (
        f"`{result['command']}`: minima{clock} over {result['repeats']} turns, "
        f"{where['torch_threads']} thread(s) of {where['processor']}"
        f"{', ' + where['gpu'] if where['gpu'] else ''}, torch {where['packages']['torch']}, "
        f"load {where['load']:.1f}, {where['date'][:10]}."
    )


def moe_layer(result: dict[str, Any]) -> str:
    """Ratios of the RMoE layer, a line per shape, type and pass."""
    rows = [
        [
            *(row["dim"], row["tokens"], row["dtype"], PASSES[row["pass"]]),
            *(row["ratio_to_dense"], row["ratio_to_loop"], _times(row["ratio_to_one_hot"])),
        ]
        for row in result["rows"]
    ]
    header = ["C", "tokens", "type", "pass", "over dense", "over the loop", "one-hot is slower by"]
    numbers = ", ".join(f"{n['ratio']:.2f} at C = {n['dim']}" for n in result["experts_21_to_6"])
    return f"{markdown(header, rows)}\n\n21 experts over 6 at equal tokens: {numbers}.\n\n" + (
        measured(result)
    )


def _times(ratio: float | None) -> str | None:
    return None if ratio is None else f"{1 / ratio:.1f}"


def backbone(result: dict[str, Any]) -> str:
    """What was measured of the whole model and its attention."""
    rows: list[list[Any]] = []
    for row in result.get("dense_to_timm", []):
        name = f"dense, {row['size']} px, window {row['window']}, over timm"
        rows.append([name, PASSES[row["pass"]], row["ratio_to_timm"], row["images_per_s_ours"]])
    for row in result.get("rmoe_to_dense", []):
        name = f"RMoE over dense, over the ratio {row['flop_ratio']:.2f} of their FLOPs"
        rows.append([name, PASSES[row["pass"]], row["over_flops"], row["images_per_s_rmoe"]])
    if telemetry := result.get("telemetry"):
        rows.append(["telemetry on over off", "forward", telemetry["on_over_off"], None])
    for row in result.get("compile", []):
        rows.append([f"{row['model']}, compiled over eager", "forward", row["ratio"], None])
    if memory := result.get("memory"):
        rows.append(["memory of activations over dense 12C", "both", memory["rmoe_to_dense"], None])
        rows.append(
            ["the same, checkpointing over not", "both", memory["checkpointing_to_rmoe"], None]
        )
    return markdown(["tiny", "pass", "ratio", "images/s"], rows) + "\n\n" + measured(result)


def attention(result: dict[str, Any]) -> str:
    """Window attention by stage."""
    rows = [
        [
            *(row["dim"], row["window"], row["dtype"], PASSES[row["pass"]]),
            *(row["ratio_to_timm"], row["milliseconds"], f"{row['error']:.0e}"),
        ]
        for row in result.get("attention", [])
    ]
    return markdown(["C", "window", "type", "pass", "over timm", "ms", "error"], rows)


def fill(page: str, results: Path = RESULTS) -> str:
    """The page with its tables as the results have them."""
    layer, whole = (
        json.loads((results / f"{name}.json").read_text()) for name in ("moe_layer", "backbone")
    )
    tables = {
        "moe_layer": moe_layer(layer),
        "backbone": backbone(whole),
        "attention": attention(whole),
    }
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{table}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text()))
