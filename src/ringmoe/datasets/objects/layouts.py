"""Which format a folder or file of labelled objects has."""

from __future__ import annotations

from ringmoe.datasets.config import DataConfig
from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.simulation import read_simulated_objects
from ringmoe.datasets.simulated import is_simulation
from ringmoe.errors import DatasetError


def find_objects(config: DataConfig, rotated: bool) -> Found:
    """The objects of every image, in the form of the files.

    Args:
        config: Where they are.
        rotated: The form of the boxes.

    Raises:
        DatasetError: There is no such folder or file, or no known layout.
    """
    path = config.path
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder or file; check data.path")
    if is_simulation(path):
        return read_simulated_objects(path, config.sensors or {"image": config.sensor}, rotated)
    raise DatasetError(f"{path}: expected labelled objects in a known layout")
