"""What a pre-trained model does with tiles it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ringmoe.archive import Archive, Batch, TileLoader
from ringmoe.errors import CheckpointError
from ringmoe.models import RoutingTelemetry, load_model, record_routing
from ringmoe.pretraining.masks import enlarge
from ringmoe.pretraining.objective import MaskedModelling
from ringmoe.pretraining.pretrain import HEADS_FILE, PretrainConfig, objective_around
from ringmoe.training import RunFolder, load_weights

EVALUATION_SEED = 20_250_404  # fixes crops and masks, whatever the training's seed was


@dataclass(frozen=True)
class HeldOut:
    """Measurements on held-out tiles.

    Attributes:
        loss: Modality to mean error of hidden pixels that hold data, in the target's scale.
        balance: Mean balance loss over routers.
        routing: Where each modality's tokens went.
        images: How many tiles were looked at.
    """

    loss: dict[str, float]
    balance: float
    routing: RoutingTelemetry
    images: int


@dataclass(frozen=True)
class Reconstruction:
    """Arrays for pictures, of the images of one batch.

    Attributes:
        modality: Of the images.
        input: `(B, C, H, W)` float32, what enters the stem before masking.
        mask: `(B, H, W)` bool, true where hidden.
        prediction: `(B, K, H, W)` float32, the decoder's output.
        target: `(B, K, H, W)` float32.
        valid: `(B, H, W)` bool, true where there are data.
        channels: Names of the C input channels.
        target_name: The target's name.
        target_channels: Names of the K target channels.
    """

    modality: str
    input: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray
    target: np.ndarray
    valid: np.ndarray
    channels: tuple[str, ...]
    target_name: str
    target_channels: tuple[str, ...]


def load_objective(run_dir: Path | str, device: torch.device | str = "cpu") -> MaskedModelling:
    """The trained model with its decoders, from a finished run.

    Raises:
        ConfigError: The folder holds no pre-training run.
        CheckpointError: The run has not finished, or a file is damaged.
    """
    run = RunFolder(run_dir)
    config = PretrainConfig.from_run(run)
    model = load_model(run.model_path)
    weights = next(model.parameters()).dtype
    objective = objective_around(model, config).to(weights)
    path = run.path / HEADS_FILE
    try:
        heads = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); finish the run with --resume"
        ) from error
    own = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    load_weights(objective, own | heads, path)
    return objective.to(device).eval()


@torch.no_grad()
def evaluate(
    objective: MaskedModelling,
    archive: Archive,
    *,
    split: str = "heldout",
    images: int = 256,
    batch_size: int = 32,
    crop_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut:
    """Loss and routing on fixed tiles with fixed crops and masks.

    Args:
        objective: Whose model, targets and mask settings.
        archive: Where the tiles are.
        split: "heldout" or "train".
        images: Tiles per modality to look at, rounded up to whole batches; where a modality has
            fewer, they are seen again under other masks.
        batch_size: Tiles of a batch.
        crop_size: Edge of the centre crop in pixels; None for the model's native size.
        progress: Called with (batches done, batches).
    """
    config = objective.model.config
    loader = TileLoader(
        archive,
        batch_size=batch_size,
        crop_size=crop_size or config.image_size,
        seed=EVALUATION_SEED,
        modalities=config.modalities,
        split=split,
        crop="centre",
    )
    steps = max(1, -(-images * len(config.modalities) // batch_size))
    mask_seed, objective.seed = objective.seed, EVALUATION_SEED
    was_training = objective.training
    objective.eval()
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, torch.Tensor] = {}
    try:
        with record_routing(objective) as routing:
            for step, data in enumerate(loader.iterate(0, steps)):
                inputs, own_counts = objective.prepare(data)
                for total, part in ((sums, objective(inputs)), (counts, own_counts)):
                    for key, value in part.items():
                        total[key] = total.get(key, 0) + value.double()
                if progress is not None:
                    progress(step + 1, steps)
    finally:
        objective.seed = mask_seed
        objective.train(was_training)
    terms = objective.loss(sums, counts)
    return HeldOut(
        {m: float(terms[f"reconstruction/{m}"]) for m in config.modalities},
        float(terms.get("balance", 0.0)),
        routing,
        int(counts["images"]),
    )


def masked_loss(
    model: MaskedModelling | Path | str,
    archive: Archive,
    *,
    split: str = "heldout",
    images: int = 256,
    batch_size: int = 32,
    crop_size: int | None = None,
) -> dict[str, float]:
    """Mean error of hidden pixels by modality, on fixed tiles with fixed crops and masks.

    Args:
        model: An objective, or the folder of a finished run.
        archive: Where the tiles are.
        split: "heldout" or "train".
        images: Tiles per modality.
        batch_size: Tiles of a batch.
        crop_size: Edge of the centre crop; None for the model's native size.
    """
    objective = model if isinstance(model, MaskedModelling) else load_objective(model)
    found = evaluate(
        objective,
        archive,
        split=split,
        images=images,
        batch_size=batch_size,
        crop_size=crop_size,
    )
    return found.loss


@torch.no_grad()
def reconstruct(model: MaskedModelling | Path | str, batch: Batch) -> Reconstruction:
    """What the model makes of the hidden parts of a batch.

    Args:
        model: An objective, or the folder of a finished run.
        batch: Of one modality, as `TileLoader.batches` gives it.
    """
    objective = model if isinstance(model, MaskedModelling) else load_objective(model)
    was_training = objective.training
    objective.eval()
    masked = objective.mask_batch(batch)
    (prediction,), _ = objective.predict([masked])
    objective.train(was_training)
    observation = masked.observation
    target = objective.targets[observation.modality]
    rows = target.rows(observation.channel_names)
    hidden = enlarge(masked.mask, objective.model.config.patch_size)
    return Reconstruction(
        modality=observation.modality,
        input=observation.images.float().cpu().numpy(),
        mask=hidden.cpu().numpy(),
        prediction=prediction.float().cpu().numpy(),
        target=masked.target.float().cpu().numpy(),
        valid=masked.pixels.valid[:, 0].cpu().numpy(),
        channels=observation.channel_names,
        target_name=target.name,
        target_channels=tuple(target.channels[row] for row in rows),
    )
