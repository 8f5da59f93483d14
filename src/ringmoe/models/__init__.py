"""Stems, window attention, routers, experts and the backbone; presets, saving and loading."""

from ringmoe.models.backbone import Encoding, RingMoE, create_model
from ringmoe.models.card import default_card
from ringmoe.models.checkpoint import load_model, save_model
from ringmoe.models.config import PRESETS, ModelConfig
from ringmoe.models.describe import describe
from ringmoe.models.folder import read_config
from ringmoe.models.plan import LoadPlan, TensorRead, plan_load
from ringmoe.models.router import RouterLoad
from ringmoe.models.swin import convert_swin
from ringmoe.models.swin_files import load_swin
from ringmoe.models.telemetry import RouterUse, RoutingTelemetry, record_routing
from ringmoe.models.upcycle import upcycle
from ringmoe.models.view import View

__all__ = [
    "PRESETS",
    "Encoding",
    "LoadPlan",
    "ModelConfig",
    "RingMoE",
    "RouterLoad",
    "RouterUse",
    "RoutingTelemetry",
    "TensorRead",
    "View",
    "convert_swin",
    "create_model",
    "default_card",
    "describe",
    "load_model",
    "load_swin",
    "plan_load",
    "read_config",
    "record_routing",
    "save_model",
    "upcycle",
]
