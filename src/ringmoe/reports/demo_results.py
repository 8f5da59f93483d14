"""What the demonstration's report shows, as plain numbers and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ReconstructionView:
    """One tile as the model saw it, what it was asked for and what it answered.

    Attributes:
        modality: One of the four.
        image: `(H, W, 3)` uint8, the tile in its usual composite.
        mask: `(H, W)` bool, true where the model saw nothing.
        target: `(C, H, W)` what was to be reconstructed.
        prediction: `(C, H, W)` what the decoder gave.
        keys: Names of the target's channels.
        target_name: E.g. "log-power".
    """

    modality: str
    image: np.ndarray
    mask: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    keys: Sequence[str]
    target_name: str


@dataclass(frozen=True)
class ExpertUse:
    """Routing of held-out tokens.

    Attributes:
        shares: Modality to `(blocks, experts)`, specialized experts first.
        specialized: How many specialized experts there are.
    """

    shares: Mapping[str, np.ndarray]
    specialized: int


@dataclass(frozen=True)
class PrunedModel:
    """What a model made smaller for one modality is, and still knows.

    Attributes:
        name: How it was made.
        parameters: How many.
        bytes: Of its weights on disk.
        flops: Of one image.
        fidelity: Share of what the full model's features say that its own say too, at most 1.
        accuracy: Of a linear land-cover probe, 0 to 1.
    """

    name: str
    parameters: int
    bytes: int
    flops: int
    fidelity: float
    accuracy: float


@dataclass(frozen=True)
class MapView:
    """A whole scene mapped, beside what is there.

    Attributes:
        image: `(H, W, 3)` uint8, what the sensor saw.
        mapped: `(H, W, 3)` uint8, the map in its colours.
        truth: `(H, W, 3)` uint8, the landscape in the same colours.
        legend: (class, colour) pairs.
        miou: Mean intersection over union of the classes, 0 to 1.
        accuracy: Share of pixels that are right.
        examples: Labelled scenes that the model learned from.
        tiles_per_second: While mapping.
    """

    image: np.ndarray
    mapped: np.ndarray
    truth: np.ndarray
    legend: Sequence[tuple[str, tuple[int, int, int]]]
    miou: float
    accuracy: float
    examples: int
    tiles_per_second: float


@dataclass(frozen=True)
class DemoResults:
    """Everything the report shows, as plain numbers and arrays.

    Attributes:
        scenes: For each scene shown, modality to `(H, W, 3)` uint8.
        reconstructions: A few per modality.
        losses: Modality to (steps, masked losses) in training.
        held_out_loss: Modality to (before, after) on tiles never trained on.
        experts: Routing on held-out tiles.
        probe_before: Modality to land-cover accuracy (0..1) of a linear probe on random weights.
        probe_after: The same on pre-trained weights.
        probe_chance: Accuracy of always naming the most frequent class.
        pruned: Modality to models made smaller for it, the full one first.
        map: A scene mapped by the smaller model after it learned a task.
        figures: (value, label) pairs for the top of the page.
        details: (name, value) rows about model, training and machine.
        footer: What made it, where and when.
    """

    scenes: Sequence[Mapping[str, np.ndarray]]
    reconstructions: Sequence[ReconstructionView]
    losses: Mapping[str, tuple[Sequence[int], Sequence[float]]]
    held_out_loss: Mapping[str, tuple[float, float]]
    experts: ExpertUse
    probe_before: Mapping[str, float]
    probe_after: Mapping[str, float]
    probe_chance: float
    pruned: Mapping[str, Sequence[PrunedModel]] = field(default_factory=dict)
    map: MapView | None = None
    figures: Sequence[tuple[str, str]] = ()
    details: Sequence[tuple[str, str]] = ()
    footer: str = ""
