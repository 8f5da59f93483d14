"""Ranks: who else computes this step, and sums over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ringmoe.errors import ConfigError

T = TypeVar("T")

# Ranks wait for the first while it writes, which may take longer than torch's ten
# minutes; should one die, torchrun ends the others.
_PATIENCE = timedelta(hours=6)
_joined = count()


@dataclass(frozen=True)
class Ranks:
    """This process among all that train together; one process by default.

    Attributes:
        rank: This process, 0 to `world_size` - 1.
        world_size: How many processes share a step's batch.
        device: Where this process computes.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def sum(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums over all ranks, in one message.

        Args:
            terms: Tensors of any shape, the same keys and shapes on every rank.

        Returns:
            The same, summed, float64 and without gradient: float32 counts nothing past 2**24.
        """
        flat = torch.cat([term.detach().double().reshape(-1) for term in terms.values()])
        self.sum_(flat)
        parts = flat.split([term.numel() for term in terms.values()])
        return {
            key: part.view(term.shape)
            for (key, term), part in zip(terms.items(), parts, strict=True)
        }

    def sum_(self, tensor: Tensor) -> None:
        """Sum a tensor over all ranks in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)

    def share_weights(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of the first."""
        if self.world_size > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the other processes that torchrun started, if it did.

    Args:
        device: "auto" (a GPU where there is one), or what `torch.device` takes. Under torchrun
            each process of a machine takes the GPU of its local rank.

    Yields:
        This process's place among them.

    Raises:
        ConfigError: The device does not exist here.
    """
    if dist.is_initialized():  # somebody else's group: use it, leave it standing
        yield Ranks(dist.get_rank(), dist.get_world_size(), choose_device(device))
        return
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    here = choose_device(device)
    if world_size == 1:
        yield Ranks(device=here)
        return
    if here.type == "cuda":
        torch.cuda.set_device(here)
    _join("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), world_size, here)
    finally:
        dist.destroy_process_group()


def _join(backend: str) -> None:
    """Join for one run. A second one in the same processes must not meet what the first left."""
    store, rank, world_size = next(dist.rendezvous("env://", timeout=_PATIENCE))
    own = dist.PrefixStore(f"ringmoe-{next(_joined)}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=world_size, timeout=_PATIENCE)


def gather(own: T) -> list[T]:
    """What every process has, in the order of their ranks; all must call. Alone, its own.

    Args:
        own: Anything that can be pickled.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; under torchrun, of several GPUs the one of the local rank.

    Args:
        name: "auto" (a GPU where there is one), or what `torch.device` takes.

    Raises:
        ConfigError: The device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: expected auto, cpu or cuda, got {name!r}") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("device: cuda was asked for, but torch sees no GPU; use cpu or auto")
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def is_first_process() -> bool:
    """Whether this process speaks for all, also when their ranks are not joined any more."""
    return os.environ.get("RANK", "0") == "0"


class Gradients:
    """The gradients of a module: summed over ranks, measured, clipped.

    A parameter that no image reached has a gradient of zero, on one process as on many, so that
    its moments and its weight decay do not depend on how the batch is spread.

    Args:
        module: Its parameters that learn must have one dtype and one device.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]

    def clear(self) -> None:
        """Before a step's first backward pass."""
        for parameter in self._parameters:
            parameter.grad = None  # autograd then gives its own tensor, and copies nothing

    def sum(self, ranks: Ranks) -> None:
        """Fill in zeros and sum over all ranks, in one message."""
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if ranks.world_size == 1:
            return
        gradients = self._gradients()
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        ranks.sum_(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def norm(self) -> Tensor:
        """Euclidean norm over all parameters, a scalar."""
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self._gradients())))

    def clip(self, norm: float, largest: float) -> None:
        """Scale gradients of norm `norm` down to `largest`; 0 leaves them."""
        if 0 < largest < norm:
            torch._foreach_mul_(self._gradients(), largest / norm)

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self._parameters if p.grad is not None]
