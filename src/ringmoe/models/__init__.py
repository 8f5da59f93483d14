"""Stems, window attention, routers, experts and the backbone; presets, saving and loading."""

from ringmoe.models.backbone import Encoding, RingMoE, create_model
from ringmoe.models.config import PRESETS, ModelConfig
from ringmoe.models.router import RouterLoad

__all__ = [
    "PRESETS",
    "Encoding",
    "ModelConfig",
    "RingMoE",
    "RouterLoad",
    "create_model",
]
