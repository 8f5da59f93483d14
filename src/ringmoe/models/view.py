"""A model seen as one sensor's encoder: what stock heads and export get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ringmoe.observation import Observation
from ringmoe.sensors import Channel

if TYPE_CHECKING:
    from ringmoe.models.backbone import RingMoE


class View(nn.Module):
    """Tensor `(B, C, H, W)` of named channels in, four maps out.

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
        feature_info: Per map `num_chs` and `reduction`, as timm's backbones tell.
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
        self.feature_info = [
            {"num_chs": width, "reduction": stride, "module": f"stages.{number}"}
            for number, (width, stride) in enumerate(
                zip(config.widths, config.strides, strict=True)
            )
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps `(B, C_i, H / s_i, W / s_i)` at strides 4, 8, 16, 32."""
        return self.model([Observation(x, self.modality, self.channels, gsd=self.gsd)])[0]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether blocks forget their activations and compute them again going backward."""
        self.model.set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave."""
        return {f"model.{name}" for name in self.model.no_weight_decay()}
