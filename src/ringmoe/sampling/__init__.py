"""What is drawn, and where it is cut: functions of a seed and a position, no state."""

from ringmoe.sampling.crops import RESIZED_AREA, Crop, Crops, draw_crops
from ringmoe.sampling.hashing import mix, name_key, permutation, uniform
from ringmoe.sampling.order import WINDOW_SHARDS, TileOrder
from ringmoe.sampling.prefetch import prepared
from ringmoe.sampling.resizing import resize

__all__ = [
    "RESIZED_AREA",
    "WINDOW_SHARDS",
    "Crop",
    "Crops",
    "TileOrder",
    "draw_crops",
    "mix",
    "name_key",
    "permutation",
    "prepared",
    "resize",
    "uniform",
]
