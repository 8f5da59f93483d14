"""RingMoE: a multi-modal remote sensing foundation model with a hierarchical mixture of experts.

    import ringmoe

    model = ringmoe.create_model("nano")
    rgb = ringmoe.Observation(images, modality="optical", channels=("red", "green", "blue"))
    (pyramid,) = model([rgb])  # 4 maps (B, C, H, W) at strides 4, 8, 16, 32

Names are looked up when first used, so that `import ringmoe` loads neither torch nor rasterio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringmoe.models import RingMoE, create_model, load_model, save_model
    from ringmoe.observation import Observation
    from ringmoe.scenes import Scene, open_scene
    from ringmoe.sensors import Channel, Sensor, get_sensor, list_sensors

__version__ = "0.1.0"

_HOME = {
    "Channel": "ringmoe.sensors",
    "Observation": "ringmoe.observation",
    "RingMoE": "ringmoe.models",
    "Scene": "ringmoe.scenes",
    "Sensor": "ringmoe.sensors",
    "create_model": "ringmoe.models",
    "get_sensor": "ringmoe.sensors",
    "list_sensors": "ringmoe.sensors",
    "load_model": "ringmoe.models",
    "open_scene": "ringmoe.scenes",
    "save_model": "ringmoe.models",
}

__all__ = [
    "Channel",
    "Observation",
    "RingMoE",
    "Scene",
    "Sensor",
    "create_model",
    "get_sensor",
    "list_sensors",
    "load_model",
    "open_scene",
    "save_model",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'ringmoe' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
