"""Pruning a model in memory, or a checkpoint of any size layer by layer from disk to disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.models import ModelConfig, RingMoE, default_card, read_config
from ringmoe.models.card import stated
from ringmoe.models.folder import CARD, keep_task, refuse_to_overwrite, write_config
from ringmoe.models.hub import local_folder
from ringmoe.models.plan import block_of, plan_part, rows_of, shapes
from ringmoe.models.reading import new_buffer, read_chunks, read_tensor
from ringmoe.models.shard_writer import ShardWriter
from ringmoe.models.shards import MAX_SHARD_BYTES
from ringmoe.pruning.layer import Layer
from ringmoe.pruning.method import Method, Selection
from ringmoe.pruning.statistics import Statistics, load_statistics

Progress = Callable[[int, int], None]

_FFN = re.compile(r"stages\.\d+\.blocks\.\d+\.ffn\.")


@torch.no_grad()
def prune_model(
    model: RingMoE,
    method: Method,
    modalities: Sequence[str] | None = None,
    statistics: Statistics | None = None,
) -> RingMoE:
    """A smaller model from one that is in memory.

    Args:
        model: What to prune, on any device; it is not changed.
        method: What to do, such as `ExpertPruning(keep=0.25)`.
        modalities: Which the result serves, in this order; None for all of the model's.
        statistics: Measured on this model (`collect`), for methods that need them.

    Returns:
        A model in eval mode, of the same type and on the same device; it shares no memory.

    Raises:
        ConfigError: The model lacks a modality, the method cannot make such a model, or it needs
            statistics and there are none.
        StatisticsError: They were measured on other weights, or without a modality.
    """
    part = part_with(model.config, modalities, "the model")
    if method.needs_statistics:
        if statistics is None:
            raise ConfigError(f"method {method.name!r} needs statistics of the model: collect them")
        statistics.check_measured_on(model)
        statistics = statistics.of(part.modalities)
    result = method.config(part, statistics)
    state = model.state_dict()
    taken = result if isinstance(method, Selection) else part

    def read(name: str) -> Tensor:
        rows = rows_of(name, model.config, taken)
        tensor = state[name]
        return tensor if rows is None else torch.cat([tensor[r.start : r.stop] for r in rows])

    like = next(iter(state.values()))
    with torch.device("meta"):
        pruned = RingMoE(result)
    made = {
        name: read(name).clone() if tensor is None else tensor.to(like).contiguous()
        for name, tensor in _tensors(method, taken, result, statistics, shapes(taken), read)
    }
    pruned.load_state_dict(made, assign=True)
    return pruned.eval()


@torch.no_grad()
def prune(
    checkpoint: str | Path,
    out: str | Path,
    method: Method,
    modalities: Sequence[str] | None = None,
    statistics: Statistics | str | Path | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
    max_shard_bytes: int | str = MAX_SHARD_BYTES,
) -> Path:
    """A smaller checkpoint from a checkpoint, which may be larger than memory.

    It is read, pruned and written block by block: memory is needed for one layer. What a method
    leaves as it is goes from file to file as bytes. A task's head is kept where its modalities are.

    Args:
        checkpoint: What to prune: a folder, or the id of a repository on the Hugging Face hub.
        out: Folder of the result, which is written whole or not at all.
        method: What to do.
        modalities: Which the result serves, in this order; None for all of the checkpoint's.
        statistics: Of this checkpoint, or the folder they are in; None for the ones beside it,
            where the method needs any.
        dtype: Floating type of the result; None for the checkpoint's.
        progress: Called with the number of blocks done, and of all, after each.
        max_shard_bytes: As for `save_model`.

    Returns:
        The folder. The weights are those of `prune_model`, to the bit where types are equal.

    Raises:
        ConfigError: The checkpoint lacks a modality, or the method cannot make such a model.
        StatisticsError: They are missing, of other weights, or without a modality.
        CheckpointError: The checkpoint cannot be read.
        WriteError: The result cannot be written, or `out` holds something else.
    """
    source, folder = local_folder(checkpoint), Path(out)
    refuse_to_overwrite(folder)
    shape = read_config(source)
    part = part_with(shape, modalities, str(checkpoint))
    found = _statistics(method, checkpoint, statistics, part.modalities)
    result = method.config(part, found)
    taken = result if isinstance(method, Selection) else part
    reads = {read.name: read for read in plan_part(source, shape, taken).reads}
    buffer = new_buffer()

    def read(name: str) -> Tensor:
        return read_tensor(reads[name], buffer)

    with replacing(folder) as unfinished:
        unfinished.mkdir()
        types = {name: read.floating for name, read in reads.items()}
        with ShardWriter(outline(result, types, dtype), unfinished, max_shard_bytes) as writer:
            done, total = 0, sum(result.depths)
            for name, tensor in _tensors(method, taken, result, found, reads, read):
                block = block_of(name, result) if ".blocks." in name else done
                if progress is not None and block > done:
                    progress(block, total)
                done = block
                if tensor is not None:
                    writer.append(name, tensor)
                elif reads[name].scale is not None:
                    writer.append(name, read(name))
                else:
                    for chunk in read_chunks(reads[name], buffer):
                        writer.append(name, chunk)
            if progress is not None:
                progress(total, total)
        write_config(unfinished, result)
        (unfinished / CARD).write_text(_card(result, checkpoint, source, method))
        keep_task(source, unfinished, result.modalities)
    return folder


def part_with(config: ModelConfig, modalities: Sequence[str] | None, owner: str) -> ModelConfig:
    """The shape with some of its modalities, in this order; None for all.

    Raises:
        ConfigError: It lacks one; the message names `owner` and those it has.
    """
    if modalities is None:
        return config
    for modality in modalities:
        if modality not in config.modalities:
            raise ConfigError(
                f"{owner} has no modality {modality!r}: it has {', '.join(config.modalities)}"
            )
    return config.replace(modalities=tuple(modalities))


def _statistics(
    method: Method,
    checkpoint: str | Path,
    given: Statistics | str | Path | None,
    modalities: tuple[str, ...],
) -> Statistics | None:
    """What the method is to see."""
    if not method.needs_statistics:
        return None
    if not isinstance(given, Statistics):
        return load_statistics(checkpoint, given, modalities)
    given.check_measured_on(checkpoint)
    return given.of(modalities)


def _tensors(
    method: Method,
    taken: ModelConfig,
    result: ModelConfig,
    statistics: Statistics | None,
    names: Iterable[str],
    read: Callable[[str], Tensor],
) -> Iterator[tuple[str, Tensor | None]]:
    """The result's tensors in its order; None for one that is the original's.

    Args:
        method: What to do.
        taken: The shape that `read` gives tensors of.
        result: The shape of the result.
        statistics: For the method.
        names: Of all tensors of `taken`.
        read: Gives one of them.
    """
    original = [(_layer_of(name), name) for name in names]
    for layer, group in groupby(shapes(result), _layer_of):
        if layer is None or isinstance(method, Selection):
            yield from ((name, None) for name in group)
            continue
        block = block_of(layer, taken)
        made = method.layer(
            Layer.of(
                taken,
                block,
                {name.removeprefix(layer): read(name) for own, name in original if own == layer},
            ),
            None if statistics is None else statistics.layers[block],
        ).tensors()
        yield from ((name, made.pop(name.removeprefix(layer))) for name in group)


def _layer_of(name: str) -> str | None:
    """The beginning of a tensor's name that the tensors of one block's FFN share."""
    found = _FFN.match(name)
    return found[0] if found else None


def outline(
    result: ModelConfig, types: Mapping[str, torch.dtype], dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """A result's tensors without values, each of the type that its like had.

    Args:
        result: Its shape.
        types: Of the tensors that it is made from, as they are loaded.
        dtype: Of all tensors instead.
    """
    of_layers = {_layer_of(name): kind for name, kind in types.items()}
    outline = {}
    for name, shape in shapes(result).items():
        own = types[name] if name in types else of_layers[_layer_of(name)]
        outline[name] = torch.empty(shape, dtype=dtype or own, device="meta")
    return outline


def _card(config: ModelConfig, checkpoint: str | Path, source: Path, method: Method) -> str:
    """The card of the result, with where it comes from and what was said of that."""
    card = default_card(config, **stated(source))
    return f"{card}\nPruned from {Path(checkpoint).name} by {method}.\n"
