"""The backbone: images of any modalities in one pass to four maps each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ringmoe.models.attention import WindowAttention
from ringmoe.models.blocks import Block, Stage, TokenLayout, over_grids
from ringmoe.models.config import ModelConfig, preset
from ringmoe.models.experts import Experts
from ringmoe.models.hub import HubCheckpoint
from ringmoe.models.initialisation import draw_matrices
from ringmoe.models.router import Router, RouterLoad, Routing
from ringmoe.models.stem import Stem
from ringmoe.models.stems import Stems
from ringmoe.models.view import View
from ringmoe.observation import Observation
from ringmoe.sensors import Channel


@dataclass(frozen=True)
class Encoding:
    """What `RingMoE.encode` returns.

    Attributes:
        pyramids: Per observation, one map `(B, C_i, H / s_i, W / s_i)` per stage.
        loads: Per block, branch and modality, how the tokens were spread over the experts.
    """

    pyramids: list[tuple[Tensor, ...]]
    loads: list[RouterLoad]


class RingMoE(nn.Module, HubCheckpoint):
    """The backbone: stems by modality, Swin V2 stages whose FFNs are RMoE layers.

    Made with random weights from torch's generator, or `generator`; usually through
    `create_model` or `load_model`. An image's features do not depend on its batch.

    Args:
        config: The model's shape.
        generator: Draws the initial weights.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.grad_checkpointing = False
        self.load_listeners: list[Callable[[list[RouterLoad]], None]] = []  # see record_routing
        with torch.device("meta"):  # torch's own initialisation would be drawn and thrown away
            self.stems = Stems(config)
            self.stages = nn.ModuleList(Stage(config, index) for index in range(len(config.depths)))
        device = torch.get_default_device()
        if device.type != "meta":
            self.to_empty(device=device)
            self.init_weights(generator)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: matrices by their widths, routers small, biases zero.

        Args:
            generator: Draws them; None for torch's own.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                draw_matrices(module.weight, generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, Stem | WindowAttention | Router | Experts):
                module.reset_parameters(generator)
        for block in self.blocks():
            nn.init.constant_(block.norm1.weight, self.config.residual_scale)
            nn.init.constant_(block.norm2.weight, self.config.residual_scale)

    def typed_stages(self) -> list[Stage]:
        """`stages`, which a type checker takes for plain modules."""
        return list(self.stages)  # type: ignore[arg-type]

    def blocks(self) -> list[Block]:
        """All blocks in order; the position is `RouterLoad.block`."""
        return [block for stage in self.typed_stages() for block in stage.typed_blocks()]

    def forward(
        self, observations: Sequence[Observation], stages: int | None = None
    ) -> list[tuple[Tensor, ...]]:
        """Maps of images.

        Args:
            observations: Any modalities of the model, in any mix and of any sizes that are
                multiples of `config.stride`.
            stages: How many stages to run, from the first; None for all.

        Returns:
            Per observation, a map of each stage, `(B, C_i, H / s_i, W / s_i)` at strides 4, 8,
            16 and 32.

        Raises:
            ShapeError: An image's side is not a multiple of the stride.
            UnknownChannelError: The stem cannot serve a channel: it is not in the vocabulary (of a
                named stem) or not described (to a spectral one).
            ConfigError: The model has no stem for a modality.
        """
        tokens, layout = self.stems(observations)
        return self._encode(tokens, layout, collect=False, stages=stages).pyramids

    def encode(
        self,
        observations: Sequence[Observation],
        *,
        masks: Sequence[Tensor | None] | None = None,
        mask_token: Tensor | None = None,
    ) -> Encoding:
        """Maps of images, some of whose tokens may be hidden, and the routers' loads.

        Args:
            observations: As in `forward`.
            masks: Per observation `(B, H / 4, W / 4)` bool, or None; where true the stem's token
                is replaced.
            mask_token: `(embed_dim,)`, what replaces it.

        Raises:
            ShapeError: As in `forward`; or a mask is not of its observation's token grid.
            UnknownChannelError: As in `forward`.
            ConfigError: As in `forward`; or masks came without a mask token.
        """
        tokens, layout = self.stems(observations, masks, mask_token)
        return self._encode(tokens, layout, collect=True)

    def _encode(
        self, x: Tensor, layout: TokenLayout, collect: bool, stages: int | None = None
    ) -> Encoding:
        """Stages: tokens to pyramids."""
        collect = collect or bool(self.load_listeners)
        maps: list[list[Tensor]] = [[] for _ in layout.grids]
        routings: list[Routing | None] = []
        for stage in self.typed_stages()[:stages]:
            if stage.downsample is not None:
                x = over_grids(stage.downsample, x, layout)
                layout = layout.halved()
            for block in stage.typed_blocks():
                if self.grad_checkpointing and torch.is_grad_enabled():
                    x, routing = checkpoint(block, x, layout, collect, use_reentrant=False)
                else:
                    x, routing = block(x, layout, collect)
                routings.append(routing)
            parts = x.split(layout.lengths)
            for out, part, grid in zip(maps, parts, layout.grids, strict=True):
                out.append(part.view(*grid, -1).permute(0, 3, 1, 2))
        loads = _loads_by_modality(routings, self.config.modalities) if collect else []
        for listen in self.load_listeners:
            listen(loads)
        return Encoding([tuple(out) for out in maps], loads)

    def stem(self, modality: str) -> Stem:
        """The stem of a modality.

        Raises:
            ConfigError: The model has none for it.
        """
        return self.stems.of(modality)

    def view(
        self,
        modality: str,
        channels: Sequence[str | Channel] | None = None,
        gsd: float | None = None,
    ) -> View:
        """An `nn.Module` for one sensor: tensor `(B, C, H, W)` in, four maps out.

        Args:
            modality: One of the model's.
            channels: What the tensor's channels are; None for the modality's whole vocabulary.
            gsd: Ground sampling distance in metres, if known; a spectral stem reads it.

        Raises:
            ConfigError: The model has no stem for the modality.
            UnknownChannelError: The stem cannot serve a channel.
        """
        stem = self.stem(modality)
        return View(self, modality, stem.vocabulary if channels is None else channels, gsd)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether blocks forget their activations and compute them again going backward."""
        self.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave: position bias and temperature.

        Biases and norms are found by their one dimension.
        """
        return {n for n, _ in self.named_parameters() if "cpb_mlp" in n or "logit_scale" in n}


def _loads_by_modality(
    routings: Sequence[Routing | None], modalities: Sequence[str]
) -> list[RouterLoad]:
    """The loads of all blocks, those of observations of one modality added."""
    loads = []
    for number, routing in enumerate(routings):
        sums: dict[tuple, tuple[Tensor, Tensor]] = {}
        for branch, modality, probability, chosen in routing.loads if routing else []:
            before = sums.get((branch, modality), (0, 0))
            sums[branch, modality] = (before[0] + probability, before[1] + chosen)
        for (branch, modality), (probability, chosen) in sums.items():
            loads.append(RouterLoad(number, branch, modalities[modality], probability, chosen))
    return loads


def create_model(
    name: str,
    *,
    modalities: Sequence[str] | None = None,
    seed: int | None = None,
    **overrides: Any,
) -> RingMoE:
    """A model of a preset's shape with random weights.

    Args:
        name: "nano", "tiny", "base" or "giant".
        modalities: Which modalities it serves; None for all four.
        seed: Fixes the weights; None draws from torch's generator.
        **overrides: Any setting of `ModelConfig`.

    Raises:
        ConfigError: The preset, a setting or a value is unknown.
    """
    if modalities is not None:
        overrides["modalities"] = tuple(modalities)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return RingMoE(preset(name).replace(**overrides), generator)
