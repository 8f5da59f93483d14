"""Simulated scenes: one procedural landscape, seen by simulated sensors, with every label.

    landscape = simulate_landscape(seed=1, size=256)
    image = observe_optical(landscape, np.random.default_rng(0))       # (3, 256, 256) reflectance
    landscape.land_cover, landscape.height_above_ground, landscape.change, object_labels(landscape)

`docs/simulation.md` tells the physics and the sources.
"""

from ringmoe.simulation.kinds import KINDS
from ringmoe.simulation.labels import object_labels, track_lines
from ringmoe.simulation.landscape import Landscape, simulate_landscape
from ringmoe.simulation.materials import LAND_COVER, LAND_COVER_COLOURS
from ringmoe.simulation.object_models import OBJECT_CLASSES
from ringmoe.simulation.optical import observe_multispectral, observe_optical
from ringmoe.simulation.sar import observe_sar_amplitude, observe_sar_complex
from ringmoe.simulation.video import Film, close_up
from ringmoe.simulation.writing import write_simulation

__all__ = [
    "KINDS",
    "LAND_COVER",
    "LAND_COVER_COLOURS",
    "OBJECT_CLASSES",
    "Film",
    "Landscape",
    "close_up",
    "object_labels",
    "observe_multispectral",
    "observe_optical",
    "observe_sar_amplitude",
    "observe_sar_complex",
    "simulate_landscape",
    "track_lines",
    "write_simulation",
]
