"""A product on disk or behind a URL, read by window in physical units; and results written back."""

from ringmoe.scenes.opening import open_scene
from ringmoe.scenes.raster import Raster
from ringmoe.scenes.scene import Scene
from ringmoe.scenes.window import Window
from ringmoe.scenes.writing import write_raster

__all__ = ["Raster", "Scene", "Window", "open_scene", "write_raster"]
