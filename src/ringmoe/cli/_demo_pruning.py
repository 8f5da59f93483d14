"""The demonstration's model made smaller for one modality, and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringmoe.archive import Archive
from ringmoe.models import RingMoE, describe, load_model, plan_load
from ringmoe.pruning import calibrate, method_named, prune, statistics_folder
from ringmoe.pruning.fidelity import Reference, calibration_tiles
from ringmoe.reports import PrunedModel

MODALITY = "sar_amplitude"
MEASURED = (
    192  # tiles to measure on: nine tokens each in the last stage, where 1024 units are fitted
)
HELD_OUT = 64  # tiles to measure fidelity on
SUB_MODEL = "its sub-model"
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    SUB_MODEL: ("submodel", {}),
    "with a quarter of the collaborative experts": ("ep", {"keep": 0.25}),
    "with one FFN a block, fitted": ("function-aware", {}),
}


def prune_for_one_modality(model: Path, archive: Archive, out: Path) -> dict[str, Path]:
    """Each method's checkpoint in a folder of its own, made if it is not there.

    Args:
        model: The checkpoint.
        archive: What it was trained on.
        out: Folder of the folders.
    """
    if not statistics_folder(model).exists():
        calibrate(model, archive, images=MEASURED, modalities=[MODALITY])
    made = {}
    for name, (method, options) in METHODS.items():
        made[name] = out / method
        if not made[name].exists():
            prune(model, made[name], method_named(method, **options), [MODALITY])
    return made


def measure_pruned(
    full: RingMoE,
    checkpoints: dict[str, Path],
    archive: Archive,
    probe: Callable[[RingMoE], dict[str, float]],
) -> list[PrunedModel]:
    """What the report says of the full model and of each smaller one.

    Args:
        full: The unpruned model.
        checkpoints: Name to checkpoint of the smaller ones.
        archive: Whose held-out tiles fidelity is measured on.
        probe: Gives a model's land-cover accuracy by modality.
    """
    tiles = calibration_tiles(archive, [MODALITY], full.config.image_size, HELD_OUT)
    reference = Reference(full, tiles)
    models = {"the full model": full} | {
        name: load_model(path) for name, path in checkpoints.items()
    }
    rows = []
    for name, model in models.items():
        own = model.config.replace(modalities=(MODALITY,))
        count = describe(model.config)["parameters"]["total"]
        stored = plan_load(checkpoints[name]).stored_bytes if name in checkpoints else 4 * count
        rows.append(
            PrunedModel(
                name=name,
                parameters=count,
                bytes=stored,
                flops=describe(own)["flops_per_image"]["total"],
                fidelity=reference.fidelity(model).features,
                accuracy=probe(model)[MODALITY],
            )
        )
    return rows
