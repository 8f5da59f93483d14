"""Stems, window attention, routers, experts and the backbone; presets, saving and loading."""

from ringmoe.models.backbone import Encoding, RingMoE, create_model
from ringmoe.models.checkpoint import load_model, read_config, save_model
from ringmoe.models.config import PRESETS, ModelConfig
from ringmoe.models.describe import describe
from ringmoe.models.router import RouterLoad
from ringmoe.models.view import View

__all__ = [
    "PRESETS",
    "Encoding",
    "ModelConfig",
    "RingMoE",
    "RouterLoad",
    "View",
    "create_model",
    "describe",
    "load_model",
    "read_config",
    "save_model",
]
