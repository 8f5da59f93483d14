"""Pictures of routing statistics: who uses which experts, and which modalities prefer the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.files import replacing
from ringmoe.reports.charts import COLOURS, INK, style, title

Shares = Mapping[str, np.ndarray]
"""Modality to `(blocks, experts)`: share of its tokens that chose the expert; NaN where pruned."""

EXPERT_USE, SIMILARITY = "expert-use.png", "similarity.png"
_ABSENT = "#eceff2"
_DPI = 110


def write_routing_pictures(shares: Mapping[str, Shares], folder: Path) -> list[Path]:
    """Draw what the routers do.

    Args:
        shares: By branch, such as `Statistics.shares()` gives it.
        folder: Where `expert-use.png` and, of several modalities that share experts,
            `similarity.png` are written.

    Returns:
        The files; none for a dense model.

    Raises:
        WriteError: One cannot be written.
    """
    files = []
    if shares:
        with expert_use(shares) as figure:
            files.append(_save(figure, folder / EXPERT_USE))
    if len(shares.get("collaborative", ())) > 1:
        with preferences(shares["collaborative"]) as figure:
            files.append(_save(figure, folder / SIMILARITY))
    return files


def similarity(shares: Shares) -> np.ndarray:
    """How alike the modalities' preferences are, block by block.

    One less the Jensen-Shannon divergence in bits (Lin, IEEE Trans. Inf. Theory 37(1), 1991): 1
    where two modalities spread their tokens over the experts in the same way, 0 where they have no
    expert in common.

    Args:
        shares: Of one branch, M modalities.

    Returns:
        `(blocks, M, M)`; NaN in blocks that have no such experts.
    """
    p = np.stack(list(shares.values()), axis=1)  # (blocks, M, experts)
    absent = np.isnan(p).all(axis=(1, 2))
    p = np.nan_to_num(p)
    mean = (p[:, :, None] + p[:, None, :]) / 2
    divergence = _entropy(mean) - (_entropy(p)[:, :, None] + _entropy(p)[:, None, :]) / 2
    divergence[absent] = np.nan
    return np.clip(1 - divergence, 0, 1)


def _entropy(p: np.ndarray) -> np.ndarray:
    """In bits, over the last axis."""
    return -np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=-1)


@contextmanager
def expert_use(shares: Mapping[str, Shares]) -> Iterator[Any]:
    """A heat map for each branch and modality, blocks downwards, experts across.

    Args:
        shares: By branch.

    Yields:
        A matplotlib figure, closed afterwards.
    """
    modalities = list(next(iter(shares.values())))
    blocks = len(next(iter(next(iter(shares.values())).values())))
    height = 0.9 + max(1.6, 0.2 * blocks)
    with style() as plt:
        figure, axes = plt.subplots(
            len(shares),
            len(modalities),
            figsize=(1.2 + 2.0 * len(modalities), 0.3 + height * len(shares)),
            squeeze=False,
            layout="constrained",
        )
        image = None
        for row, (branch, own) in zip(axes, shares.items(), strict=True):
            for axis, modality in zip(row, modalities, strict=True):
                image = _heat(plt, axis, own[modality], "Blues", "auto")
                experts = own[modality].shape[1]
                axis.set_xticks(range(experts), range(1, experts + 1))
                axis.set_yticks(*_block_ticks(blocks))
                if branch == next(iter(shares)):
                    axis.set_title(title(modality), loc="left", color=COLOURS.get(modality, INK))
            row[0].set_ylabel(f"{branch}\nblock")
        for axis in axes[-1]:
            axis.set_xlabel("expert")
        _bar(figure, image, axes, "share of the modality's tokens")
        yield figure


@contextmanager
def preferences(shares: Shares) -> Iterator[Any]:
    """The similarity of every two modalities, over all blocks and block by block.

    Args:
        shares: Of the collaborative branch, two modalities or more.

    Yields:
        A matplotlib figure, closed afterwards.
    """
    names = [title(modality) for modality in shares]
    alike = similarity(shares)
    with_experts = alike[~np.isnan(alike).any(axis=(1, 2))]
    mean = with_experts.mean(axis=0) if len(with_experts) else alike[0]
    pairs = list(combinations(range(len(names)), 2))
    with style() as plt:
        figure, (left, right) = plt.subplots(
            1,
            2,
            figsize=(7.0 + 0.24 * len(alike), 1.2 + 0.42 * max(len(pairs), len(names))),
            width_ratios=(2.6, max(2.6, 0.24 * len(alike) + 1.0)),
            layout="constrained",
        )
        _heat(plt, left, mean, "Greens", "equal")
        for (i, j), value in np.ndenumerate(mean):
            colour = "white" if value > 0.6 else INK
            left.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour)
        left.set_xticks(range(len(names)), names, rotation=30, ha="right")
        left.set_yticks(range(len(names)), names)
        left.set_title("mean over blocks", loc="left")
        image = _heat(plt, right, alike[:, *np.array(pairs).T].T, "Greens", "auto")
        right.set_yticks(range(len(pairs)), [f"{names[i]}, {names[j]}" for i, j in pairs])
        right.set_xticks(*_block_ticks(len(alike)))
        right.set_xlabel("block")
        right.set_title("block by block", loc="left")
        _bar(figure, image, [left, right], "similarity of routing")
        yield figure


def _heat(plt: Any, axis: Any, values: np.ndarray, colours: str, aspect: str) -> Any:
    """A heat map of shares, without frame or grid."""
    colour_map = plt.get_cmap(colours).with_extremes(bad=_ABSENT)
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis.imshow(np.ma.masked_invalid(values), colour_map, vmin=0, vmax=1, aspect=aspect)


def _block_ticks(blocks: int) -> tuple[list[int], list[int]]:
    """Places and numbers from 1, every second or so where there are many."""
    places = list(range(0, blocks, -(-blocks // 12)))
    return places, [place + 1 for place in places]


def _bar(figure: Any, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=_DPI, metadata={"Software": None})
    return path
