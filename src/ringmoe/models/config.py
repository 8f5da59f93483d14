"""What shape a model has, and the named presets. Data: importing this loads no torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ringmoe.errors import ConfigError
from ringmoe.sensors import MODALITIES, modality_named

Gate = Literal["softmax", "unit"]
StemKind = Literal["named", "spectral"]


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a RingMoE backbone (architecture: arXiv 2504.03166, Swin V2: 2111.09883).

    Attributes:
        image_size: Native height and width in pixels; other multiples of `stride` work too.
        patch_size: Side of a patch in pixels.
        embed_dim: Width of the first stage; it doubles from stage to stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        window_size: Largest attention window in tokens; smaller maps are one window.
        mlp_ratio: Hidden width of each expert over the width of its stage.
        modalities: Which modalities have a stem, routers and specialized experts.
        specialized_experts: Experts per modality and block; 0 for none.
        collaborative_experts: Experts per block that all modalities share; 0 for none.
        shared_expert: Whether each block has the dense FFN that every token passes.
        gate: "softmax": the chosen expert's output is multiplied by its probability, so that the
            router learns from the task. "unit": by 1, as in the authors' release.
        residual_scale: Initial scale of the norms that end each residual branch, 0 to 1. Swin V2
            starts at 0; in short runs starting at 1 learns about twice as fast.
        stem: "named": weights for each channel name of the vocabularies. "spectral": kernels
            computed from wavelength and bandwidth, or polarisation and component, and the ground
            sampling distance, so that channels of other sensors work too.
        kept_experts: Of each block over all stages, the numbers of the collaborative experts that
            expert pruning left, ascending; None for all. Routers keep every row: a token takes
            the most probable of those kept, at its probability among all. A block that keeps none
            has no collaborative branch.

    Raises:
        ConfigError: A value is not allowed, or two do not agree.
    """

    image_size: int = 192
    patch_size: int = 4
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 12
    mlp_ratio: float = 4.0
    modalities: tuple[str, ...] = tuple(MODALITIES)
    specialized_experts: int = 4
    collaborative_experts: int = 4
    shared_expert: bool = True
    gate: Gate = "softmax"
    residual_scale: float = 1.0
    stem: StemKind = "named"
    kept_experts: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name in ("depths", "num_heads", "modalities"):  # JSON and YAML give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.kept_experts is not None:
            kept = tuple(tuple(numbers) for numbers in self.kept_experts)
            everything = tuple(range(self.collaborative_experts))
            pruned = any(numbers != everything for numbers in kept)
            object.__setattr__(self, "kept_experts", kept if pruned else None)
        _check(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.depths)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per token of each stage's map."""
        return tuple(self.patch_size * 2**stage for stage in range(len(self.depths)))

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this: the last map's stride."""
        return self.strides[-1]

    @property
    def router_rows(self) -> int:
        """Rows of a block's router: every modality's specialized experts, then collaborative."""
        return len(self.modalities) * self.specialized_experts + self.collaborative_experts

    def experts_in(self, block: int) -> int:
        """Experts in the stack of a block, counted over all stages: as above, but only the kept."""
        return len(self.modalities) * self.specialized_experts + len(self.kept_in(block))

    def kept_in(self, block: int) -> tuple[int, ...]:
        """Numbers of the collaborative experts of a block, counted over all stages."""
        if self.kept_experts is None:
            return tuple(range(self.collaborative_experts))
        return self.kept_experts[block]

    def hidden(self, width: int) -> int:
        """Hidden width of an expert in a stage of that width."""
        return int(width * self.mlp_ratio)

    def native_window(self, stage: int) -> int:
        """The window of a stage at the native image size, in tokens."""
        return min(self.window_size, self.image_size // self.strides[stage])

    def replace(self, **changes: Any) -> Self:
        """The same shape but for `changes`.

        Raises:
            ConfigError: A key is unknown, or a value is not allowed.
        """
        return type(self).from_dict(dataclasses.asdict(self) | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A config from plain values, such as a JSON file's.

        Raises:
            ConfigError: A key is unknown (the message names the nearest), or a value is not
                allowed.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ConfigError(f"unknown model setting {key!r}: {advice}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"a model setting has a value of the wrong type: {error}") from None


def _check(config: ModelConfig) -> None:
    """Raise ConfigError where values of a config are not allowed or do not agree."""
    if not config.depths or len(config.depths) != len(config.num_heads):
        raise ConfigError(
            f"depths and num_heads must name the same stages, got {config.depths} and "
            f"{config.num_heads}"
        )
    for name in ("patch_size", "embed_dim", "window_size", "mlp_ratio"):
        if getattr(config, name) <= 0:
            raise ConfigError(f"{name} must be positive, got {getattr(config, name)}")
    if not config.hidden(config.embed_dim):
        raise ConfigError(
            f"mlp_ratio {config.mlp_ratio} leaves an expert of the first stage no hidden unit: "
            f"its {config.embed_dim} channels need at least {1 / config.embed_dim:.3g}"
        )
    for width, heads in zip(config.widths, config.num_heads, strict=True):
        if heads <= 0 or width % heads:
            raise ConfigError(f"a stage of width {width} cannot be split into {heads} heads")
    if min(config.depths) < 1:
        raise ConfigError(f"every stage needs a block, got depths {config.depths}")
    if config.image_size <= 0 or config.image_size % config.stride:
        raise ConfigError(
            f"image_size must be a multiple of {config.stride}, got {config.image_size}"
        )
    for modality in config.modalities:
        modality_named(modality)
    if not config.modalities or len(set(config.modalities)) < len(config.modalities):
        raise ConfigError(f"name each modality once, at least one, got {config.modalities}")
    if min(config.specialized_experts, config.collaborative_experts) < 0:
        raise ConfigError("the number of experts cannot be negative")
    if not (config.specialized_experts or config.collaborative_experts or config.shared_expert):
        raise ConfigError("a block needs at least one expert: specialized, collaborative or shared")
    if config.kept_experts is not None:
        _check_kept(config, config.kept_experts)
    if config.gate not in ("softmax", "unit"):
        raise ConfigError(f"gate must be 'softmax' or 'unit', got {config.gate!r}")
    if not 0 <= config.residual_scale <= 1:
        raise ConfigError(f"residual_scale must be in 0 to 1, got {config.residual_scale}")
    if config.stem not in ("named", "spectral"):
        raise ConfigError(f"stem must be 'named' or 'spectral', got {config.stem!r}")


def _check_kept(config: ModelConfig, kept: tuple[tuple[int, ...], ...]) -> None:
    if len(kept) != sum(config.depths):
        raise ConfigError(
            f"kept_experts must name those of {sum(config.depths)} blocks, got {len(kept)}"
        )
    known = range(config.collaborative_experts)
    if not (config.specialized_experts or config.shared_expert or all(kept)):
        raise ConfigError(f"kept_experts leaves block {kept.index(())} without any expert")
    for block, numbers in enumerate(kept):
        if list(numbers) != sorted(set(numbers) & set(known)):
            raise ConfigError(
                f"kept_experts of block {block} must be ascending and under {len(known)}, "
                f"got {list(numbers)}"
            )


PRESETS: dict[str, ModelConfig] = {
    "nano": ModelConfig(
        image_size=96, embed_dim=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8), window_size=6
    ),
    "tiny": ModelConfig(),
    "base": ModelConfig(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    "giant": ModelConfig(embed_dim=448, depths=(2, 2, 18, 2), num_heads=(14, 28, 56, 112)),
}


def preset(name: str) -> ModelConfig:
    """The preset of that name.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(
            f"unknown model preset {name!r}: choose one of {', '.join(PRESETS)}"
        ) from None
