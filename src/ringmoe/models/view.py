"""A model seen as one sensor's encoder: what stock heads and export get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ringmoe.errors import ConfigError
from ringmoe.observation import Observation
from ringmoe.sensors import Channel

if TYPE_CHECKING:
    from ringmoe.models.backbone import RingMoE


class FeatureInfo(list[dict[str, Any]]):
    """What each map is: one dict per map, with the accessors of timm's `FeatureInfo`.

    Keys: `num_chs` (channels), `reduction` (stride in pixels), `module` (name of the stage in the
    view's `named_modules`) and `index`.
    """

    @property
    def out_indices(self) -> tuple[int, ...]:
        """Numbers of the maps that `forward` returns: all."""
        return tuple(range(len(self)))

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """One fact: of all maps (None), of some (a list), or of one (a number)."""
        if isinstance(idx, int):
            return self[idx][key]
        return [self[i][key] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(
        self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None
    ) -> Any:
        """Several facts (None for all of them), of maps as in `get`."""
        if isinstance(idx, int):
            return {key: self[idx][key] for key in keys or self[idx]}
        return [self.get_dicts(keys, i) for i in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Channels of maps."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Strides of maps in pixels."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Names of the stages that maps come from."""
        return self.get("module", idx)


class View(nn.Module):
    """Tensor `(B, C, H, W)` of named channels in, four maps out; timm's surface.

    Shares the model's parameters.

    Args:
        model: The backbone.
        modality: Which of its modalities.
        channels: What the tensor's channels are, in order.
        gsd: Ground sampling distance in metres, if known; a spectral stem reads it.

    Raises:
        UnknownChannelError: The stem cannot serve a channel.

    Attributes:
        out_channels: Channels of each map.
        feature_info: Channels, stride and stage of each map, as timm's backbones tell.
    """

    def __init__(
        self,
        model: RingMoE,
        modality: str,
        channels: Sequence[str | Channel],
        gsd: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.modality = modality
        self.gsd = gsd
        self.channels = model.stem(modality).resolve(channels)
        config = model.config
        self.out_channels = list(config.widths)
        self.feature_info = FeatureInfo(
            {"num_chs": width, "reduction": stride, "module": f"model.stages.{i}", "index": i}
            for i, (width, stride) in enumerate(zip(config.widths, config.strides, strict=True))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps `(B, C_i, H / s_i, W / s_i)` at strides 4, 8, 16, 32."""
        return self._maps(x)

    def _maps(self, x: Tensor, stages: int | None = None) -> tuple[Tensor, ...]:
        observation = Observation(x, self.modality, self.channels, gsd=self.gsd)
        return self.model([observation], stages)[0]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Chosen maps, as timm's models give them.

        Args:
            x: `(B, C, H, W)`.
            indices: Numbers of maps (negative from the last), how many of the last, or None for
                all. The maps come in the order of the stages.
            norm: Without effect: the backbone has no norm after its last stage.
            stop_early: Whether to leave out the stages after the last chosen map.
            output_fmt: "NCHW" or "NHWC", of all that is returned.
            intermediates_only: Whether to return the chosen maps alone.

        Returns:
            The last stage's map and the chosen ones; the last that was run, if stopping early.

        Raises:
            ConfigError: There is no such map or format.
        """
        if output_fmt not in ("NCHW", "NHWC"):
            raise ConfigError(f"output_fmt must be NCHW or NHWC, got {output_fmt!r}")
        chosen = self._chosen(indices)
        maps = self._maps(x, max(chosen) + 1 if stop_early else None)
        if output_fmt == "NHWC":
            maps = tuple(m.permute(0, 2, 3, 1) for m in maps)
        intermediates = [m for number, m in enumerate(maps) if number in chosen]
        return intermediates if intermediates_only else (maps[-1], intermediates)

    def _chosen(self, indices: int | Sequence[int] | None) -> set[int]:
        """Numbers of maps from the first."""
        count = len(self.out_channels)
        if indices is None:
            indices = count
        numbers = range(-indices, 0) if isinstance(indices, int) else indices
        wrong = [number for number in numbers if not -count <= number < count]
        if wrong or not numbers:
            raise ConfigError(f"indices must name some of {count} maps, got {indices}")
        return {number % count for number in numbers}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether blocks forget their activations and compute them again going backward."""
        self.model.set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave."""
        return {f"model.{name}" for name in self.model.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that group parameters by depth, for timm's layer-wise learning rates.

        Args:
            coarse: Whether a group is a stage; else it is a block.
        """
        blocks = [
            (r"^model\.stages\.(\d+)\.downsample", (0,)),  # with the block that follows it
            (r"^model\.stages\.(\d+)\.blocks\.(\d+)", None),
        ]
        return {
            "stem": r"^model\.stems",
            "blocks": r"^model\.stages\.(\d+)" if coarse else blocks,
        }
