"""The sub-model of some modalities: their stems, routers and specialized experts, nothing lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ringmoe.models import ModelConfig
from ringmoe.pruning.method import Selection, register
from ringmoe.pruning.statistics import Statistics


@register
@dataclass(frozen=True)
class SubModel(Selection):
    """Keep the wanted modalities, and for them the very features that they had."""

    name: ClassVar[str] = "submodel"
    needs_statistics: ClassVar[bool] = False

    def config(self, config: ModelConfig, statistics: Statistics | None = None) -> ModelConfig:
        """The shape with the wanted modalities alone."""
        return config
