"""Charts as inline SVG: loss curves, expert use, probe accuracy."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ringmoe.sensors import MODALITIES

COLOURS = {
    "optical": "#d1603d",
    "multispectral": "#3d8b54",
    "sar_complex": "#3f5fa8",
    "sar_amplitude": "#8a6fa8",
}
"""One colour a modality, the same in every chart."""

INK, FAINT = "#1d2733", "#d9dee4"

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: sharp, small, and in the page's own typeface
    "svg.hashsalt": "ringmoe",  # the same results give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.color": "#edf0f3",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def loss_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> str:
    """Masked loss over steps, a panel a modality.

    Args:
        curves: Modality to (steps, losses).

    Returns:
        An `<svg>` element.
    """
    with style() as plt:
        figure, axes = plt.subplots(1, len(curves), figsize=(2.7 * len(curves), 2.4), squeeze=False)
        for axis, (modality, (steps, losses)) in zip(axes[0], curves.items(), strict=True):
            colour = COLOURS.get(modality, INK)
            axis.plot(steps, losses, color=colour, alpha=0.25, linewidth=1)
            axis.plot(steps, smooth(losses), color=colour, linewidth=2)
            axis.set_title(title(modality), loc="left")
            axis.set_xlabel("step")
        axes[0][0].set_ylabel("masked loss")
        return svg(figure)


def smooth(values: Sequence[float]) -> np.ndarray:
    """A centred running mean over a twentieth of the curve, shorter at its ends."""
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def expert_use(shares: Mapping[str, np.ndarray], specialized: int) -> str:
    """Which experts each modality's tokens choose, block by block.

    Args:
        shares: Modality to `(blocks, experts)`: share of the modality's tokens that chose the
            expert, the specialized ones first; each branch sums to 1.
        specialized: Number of specialized experts.

    Returns:
        An `<svg>` element.
    """
    with style() as plt:
        figure, axes = plt.subplots(
            1, len(shares), figsize=(2.7 * len(shares), 3.1), squeeze=False, sharey=True
        )
        image = None
        for axis, (modality, share) in zip(axes[0], shares.items(), strict=True):
            blocks, experts = share.shape
            image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axis.set_title(title(modality), loc="left", color=COLOURS.get(modality, INK))
            labels = [f"S{i + 1}" for i in range(specialized)]
            labels += [f"C{i + 1}" for i in range(experts - specialized)]
            axis.set_xticks(range(experts), labels)
            axis.set_yticks(range(blocks), range(1, blocks + 1))
            axis.axvline(specialized - 0.5, color="white", linewidth=4)
            axis.grid(False)
            for spine in axis.spines.values():
                spine.set_visible(False)
        axes[0][0].set_ylabel("block")
        bar = figure.colorbar(image, ax=list(axes[0]), fraction=0.015, pad=0.02)
        bar.set_label("share of the modality's tokens")
        bar.outline.set_visible(False)
        return svg(figure, tight=False)


def before_after(
    before: Mapping[str, float], after: Mapping[str, float], unit: str, chance: float | None = None
) -> str:
    """A bar before and after pre-training for each modality.

    Args:
        before: Modality to a share in 0..1 with random weights.
        after: The same with pre-trained weights.
        unit: Label of the axis.
        chance: What guessing the most frequent class gives, drawn as a line.

    Returns:
        An `<svg>` element.
    """
    with style() as plt:
        figure, axis = plt.subplots(figsize=(8.2, 2.9))
        for place, modality in enumerate(before):
            colour = COLOURS.get(modality, INK)
            pairs = ((before[modality], -0.2, 0.35), (after[modality], 0.2, 1.0))
            for value, shift, alpha in pairs:
                axis.bar(place + shift, 100 * value, 0.38, color=colour, alpha=alpha)
                axis.text(place + shift, 100 * value + 1, f"{100 * value:.1f}", ha="center")
        if chance is not None:
            axis.axhline(100 * chance, color=INK, linewidth=1, linestyle=(0, (4, 4)))
            beside = axis.get_yaxis_transform()
            axis.text(1.01, 100 * chance, "commonest\nclass", va="center", transform=beside)
        axis.set_xticks(range(len(before)), [title(m) for m in before])
        axis.set_ylabel(unit)
        axis.set_ylim(0, 105)
        axis.grid(False, axis="x")
        return svg(figure)


def viridis(shares: np.ndarray) -> np.ndarray:
    """Values of 0 to 1, `(H, W)`, in matplotlib's colours from dark blue to yellow, uint8."""
    with style():
        from matplotlib import colormaps

        return np.asarray(colormaps["viridis"](shares, bytes=True))[..., :3].copy()


def title(modality: str) -> str:
    """A modality's name for people."""
    return MODALITIES[modality].title if modality in MODALITIES else modality


@contextmanager
def style() -> Iterator[Any]:
    """Matplotlib without a display, in the reports' style, its figures closed at the end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(_STYLE):
        try:
            yield plt
        finally:
            plt.close("all")


def svg(figure: Any, tight: bool = True) -> str:
    """A figure as an `<svg>` element; `tight` fits its parts to it first."""
    if tight:
        figure.tight_layout()
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
