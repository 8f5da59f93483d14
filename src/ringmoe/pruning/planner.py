"""Which way to a smaller model keeps most of what it says, at a price that may be paid.

Candidates are sized in closed form, on the meta device. Where the model fits in memory each is
then made and held against the full one: the time of an image, and fidelity on the same tiles.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ringmoe.errors import ConfigError, StatisticsError
from ringmoe.models import ModelConfig, RingMoE, load_model, plan_load
from ringmoe.models.hub import local_folder
from ringmoe.observation import Observation
from ringmoe.pruning.budget import Budget
from ringmoe.pruning.candidates import Candidate, size_candidates
from ringmoe.pruning.choice import choose
from ringmoe.pruning.fidelity import Reference
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.prune import outline, part_with, prune_model
from ringmoe.pruning.quantisation import is_quantised, to_int8
from ringmoe.pruning.statistics import Statistics
from ringmoe.pruning.submodel import SubModel

_log = logging.getLogger(__name__)

_REPEATS = 10  # images that are timed; the fastest counts
_ROOM = 4  # memory for so many models: the full one, a candidate, and what making it takes


def plan_pruning(
    source: RingMoE | str | Path,
    budget: Budget,
    modalities: Sequence[str] | None = None,
    statistics: Statistics | None = None,
    observations: Sequence[Observation] | None = None,
    *,
    dtype: torch.dtype | None = None,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Candidate]:
    """Every way to a smaller model that is tried, with what it costs and what it keeps.

    Args:
        source: A model, or a checkpoint as `load_model` takes it.
        budget: What the model may cost; matrices in 8 bits are tried for bytes on disk alone,
            since a loaded model is floating.
        modalities: Which the result serves; None for all.
        statistics: Of the source; without them, methods that need some are left out.
        observations: Images to measure fidelity on; without them neither it nor latency is
            measured, but for a budget of latency.
        dtype: Floating type of the weights; None for the source's.
        memory: Bytes that may be used; None for what is free now. Where the model and a smaller
            one do not fit, nothing is measured.
        progress: Called with (candidates measured, of all).

    Returns:
        The candidates in the order of preference where nothing else is known: `choose` takes one.

    Raises:
        ConfigError: The source lacks a modality; no candidate meets a budget of bytes or
            parameters; or latency cannot be measured.
        StatisticsError: They were measured on other weights.
        CheckpointError: It is no checkpoint.
    """
    part, types = _opened(source, modalities)
    if statistics is not None:
        statistics.check_measured_on(source)
        statistics = _of_part(statistics, part)
    candidates = list(size_candidates(part, types, statistics, dtype, budget))
    if budget.kind != "latency":
        choose(candidates, budget)  # refused before anything is measured
    needed = _ROOM * sum(tensor.nbytes for tensor in outline(part, types, dtype).values())
    if not _can_measure(budget, observations is not None, needed, memory):
        return candidates
    if isinstance(source, RingMoE):
        model = prune_model(source, SubModel(), part.modalities).to(dtype=dtype)
    else:
        model = load_model(source, part.modalities, dtype=dtype)
    if statistics is not None:  # the model may be a part of the source
        statistics = dataclasses.replace(statistics, fingerprint=fingerprint(model))
    reference = None if observations is None else Reference(model, observations)
    return _measured(model, candidates, statistics, reference, progress)


def in_8_bits(model: RingMoE) -> RingMoE:
    """The model with the values that its checkpoint in 8 bits is loaded with."""
    state = model.state_dict()
    for name, tensor in state.items():
        if is_quantised(name):
            values, scale = to_int8(tensor)
            state[name] = values.to(tensor.dtype) * scale
    with torch.device("meta"):
        rounded = RingMoE(model.config)
    rounded.load_state_dict(state, assign=True)
    return rounded.eval()


def fastest(
    models: Sequence[RingMoE], repeats: int = _REPEATS, warmup: int = 2
) -> tuple[float, ...]:
    """Least seconds of each model for one image, over turns that alternate.

    The image is of the first modality, with all its channels, at the native size.
    """
    subjects = []
    for model in models:
        view, like = model.view(model.config.modalities[0]), next(model.parameters())
        side = model.config.image_size
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, len(view.channels), side, side, generator=generator)
        subjects.append((view.eval(), image.to(like)))
    best = [math.inf] * len(subjects)
    with torch.inference_mode():
        for turn in range(warmup + repeats):
            for number, (view, image) in enumerate(subjects):
                _wait_for(image.device)
                before = time.perf_counter()
                view(image)
                _wait_for(image.device)
                taken = time.perf_counter() - before
                if turn >= warmup:
                    best[number] = min(best[number], taken)
    return tuple(best)


def _wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was given: it is asked to do more than it has done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _opened(
    source: RingMoE | str | Path, modalities: Sequence[str] | None
) -> tuple[ModelConfig, dict[str, torch.dtype]]:
    """The shape of the source with these modalities alone, and the types of its tensors."""
    if isinstance(source, RingMoE):
        part = part_with(source.config, modalities, "the model")
        return part, {name: tensor.dtype for name, tensor in source.state_dict().items()}
    plan = plan_load(local_folder(source), modalities)
    return plan.config, {read.name: read.floating for read in plan.reads}


def _of_part(statistics: Statistics, part: ModelConfig) -> Statistics | None:
    """Those of the wanted modalities; None where one was not measured."""
    try:
        return statistics.of(part.modalities)
    except StatisticsError as error:
        _log.warning("methods that need statistics are left out: %s", error)
        return None


def _can_measure(budget: Budget, images: bool, needed: int, memory: int | None) -> bool:
    """Whether to go on after sizes; says why not.

    Raises:
        ConfigError: It cannot be done without.
    """
    free = _free_memory() if memory is None else memory
    why = f"measuring takes about {needed / 1e9:.3g} GB of memory and {free / 1e9:.3g} are free"
    if budget.kind == "latency" and needed > free:
        raise ConfigError(f"a budget of time has to be measured, but {why}: give one of bytes")
    if budget.kind == "latency" and not images:
        _log.info("fidelity is not measured: that takes tiles of an archive")
    elif not images:
        _log.info("sizes alone: fidelity and latency are measured with tiles of an archive")
        return False
    elif needed > free:
        _log.warning("sizes alone: %s", why)
        return False
    return True


def _free_memory() -> int:
    """Bytes that could be taken; where the system does not tell, all that the machine has."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _measured(
    model: RingMoE,
    candidates: Sequence[Candidate],
    statistics: Statistics | None,
    reference: Reference | None,
    progress: Callable[[int, int], None] | None,
) -> list[Candidate]:
    """The candidates with latency and fidelity; without those that turn out impossible.

    One is in memory at a time, and takes turns with the full model; those of one shape are timed
    together.
    """
    times: dict[ModelConfig, float] = {}
    found: list[Candidate] = []
    method, made = None, model
    for number, candidate in enumerate(candidates):
        if candidate.method is not method:
            method = candidate.method
            try:
                made = prune_model(model, method, None, statistics)
            except StatisticsError as error:
                _log.warning("%s is left out: %s", candidate.words, error)
                method = None
                continue
        if candidate.config not in times:
            times[candidate.config], full = fastest([made, model])
            times[model.config] = min(full, times.get(model.config, math.inf))
        kept = None
        if reference is not None:
            kept = reference.fidelity(in_8_bits(made) if candidate.int8 else made)
        found.append(dataclasses.replace(candidate, fidelity=kept))
        if progress is not None:
            progress(number + 1, len(candidates))
    return [dataclasses.replace(c, latency=times[c.config]) for c in found]
