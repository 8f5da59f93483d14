"""Measuring a model on tiles, in one pass whose memory does not grow with their number."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from ringmoe.archive import Archive, TileLoader
from ringmoe.errors import ConfigError, StatisticsError
from ringmoe.models import ModelConfig, RingMoE, load_model, read_config
from ringmoe.models.hub import local_folder
from ringmoe.observation import Observation
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.layer import Layer
from ringmoe.pruning.measuring import LayerMeasurement
from ringmoe.pruning.statistics import Statistics, refuse_to_overwrite, statistics_folder

_log = logging.getLogger(__name__)

CALIBRATION_SEED = 20_250_404  # which tiles: the same for every model, so that they compare
SAMPLES = 4096  # input tokens kept of each layer and modality


@torch.no_grad()
def collect(
    model: RingMoE,
    batches: Iterable[Sequence[Observation]],
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Measure a model, full, pruned or dense, in one pass.

    The experts of each layer are computed once more, hidden units and all, on the tokens that
    chose them; sums are kept in float64. Tokens of pixels without data count like any other.

    Args:
        model: On any device; it is run in eval mode.
        batches: Images of any of its modalities, a list for each call of the model.
        samples: Largest number of input tokens kept of each layer and modality.
        seed: Decides which tokens are kept, with their place in the stream of tokens alone.
        progress: Called with the number of batches done.

    Returns:
        The statistics of the modalities that had images.

    Raises:
        StatisticsError: There were no images, or what was measured is not finite.
        ConfigError: `samples` is not positive.
    """
    if samples < 1:
        raise ConfigError(f"samples must be at least 1, got {samples}")
    blocks = [
        LayerMeasurement(Layer.of(model.config, number, block.ffn.state_dict()), samples, seed)
        for number, block in enumerate(model.blocks())
    ]
    images = dict.fromkeys(model.config.modalities, 0)
    device = next(model.parameters()).device
    with _measured(model, blocks):
        for number, observations in enumerate(batches):
            model([observation.to(device) for observation in observations])
            for observation in observations:
                images[observation.modality] += observation.batch_size
            if progress is not None:
                progress(number + 1)
    seen = {modality: count for modality, count in images.items() if count}
    if not seen:
        raise StatisticsError("nothing was measured: there were no images to calibrate with")
    return Statistics(
        config=model.config.replace(modalities=tuple(seen)),
        fingerprint=fingerprint(model),
        layers=tuple(block.statistics(tuple(seen)) for block in blocks),
        images=seen,
    )


def calibrate(
    checkpoint: str | Path,
    archive: Archive | str | Path,
    *,
    images: int = 512,
    modalities: Sequence[str] | None = None,
    out: str | Path | None = None,
    split: str = "train",
    samples: int = SAMPLES,
    batch_size: int = 32,
    crop_size: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Measure a checkpoint on tiles of an archive, and keep the result beside it.

    Which tiles and where they are cut (at the centre) is the same at every call.

    Args:
        checkpoint: As `load_model` takes it.
        archive: Where the tiles are.
        images: Tiles of each modality, rounded up to whole batches; where there are fewer, they
            are seen again.
        modalities: Which to measure; None for those of the checkpoint that the archive has.
        out: The folder to write; None for the one beside the checkpoint.
        split: "train" or "heldout".
        samples: As for `collect`.
        batch_size: Tiles of a batch, over all modalities.
        crop_size: Edge of the crops in pixels; None for the model's native size.
        device: Where the model runs.
        progress: Called with (batches done, batches).

    Raises:
        CheckpointError: It is no checkpoint.
        ConfigError: The archive or the checkpoint lacks a modality that was asked for, or
            `images` or `samples` is not positive.
        StatisticsError: They have no modality in common, or what was measured is not finite.
        WriteError: The folder cannot be written, or holds something else.
    """
    if images < 1:
        raise ConfigError(f"images must be at least 1 of each modality, got {images}")
    folder = statistics_folder(checkpoint) if out is None else Path(out)
    refuse_to_overwrite(folder)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    config = read_config(local_folder(checkpoint))
    wanted = _in_common(config, archive, split) if modalities is None else tuple(modalities)
    model = load_model(checkpoint, wanted, device)
    loader = TileLoader(
        archive,
        batch_size=batch_size,
        crop_size=crop_size or config.image_size,
        seed=CALIBRATION_SEED,
        modalities=wanted,
        split=split,
        crop="centre",
    )
    steps = -(-images * len(wanted) // batch_size)
    found = collect(
        model,
        ([batch.observation for batch in data] for data in loader.iterate(0, steps)),
        samples=samples,
        progress=None if progress is None else lambda done: progress(done, steps),
    )
    # the model may hold a part of the checkpoint: whose statistics these are, the whole tells
    found = dataclasses.replace(found, fingerprint=fingerprint(checkpoint))
    found.save(folder)
    _log.info("statistics of %s written to %s", ", ".join(found.modalities), folder)
    return found


def _in_common(config: ModelConfig, archive: Archive, split: str) -> tuple[str, ...]:
    """The checkpoint's modalities that have tiles."""
    there = {s.modality for s in archive.streams.values() if len(s.indices(split))}
    found = tuple(modality for modality in config.modalities if modality in there)
    if not found:
        raise StatisticsError(
            f"{archive.path} has no {split} tiles of {', '.join(config.modalities)}, which the "
            "checkpoint is for: calibrate with another archive"
        )
    if len(found) < len(config.modalities):
        missing = [modality for modality in config.modalities if modality not in there]
        _log.warning("not measured, the archive has no tiles: %s", ", ".join(missing))
    return found


@contextmanager
def _measured(model: RingMoE, blocks: Sequence[LayerMeasurement]) -> Iterator[None]:
    """Evaluation mode, every call measured."""
    training = model.training
    model.eval()
    with ExitStack() as hooks:
        hooks.callback(model.train, training)
        for block, measured in zip(model.blocks(), blocks, strict=True):
            hooks.enter_context(block.ffn.register_forward_hook(measured.hook))
        yield
