"""Tasks on images and pixels: one file a task holds its head, loss, metrics and decoding."""

from ringmoe.tasks.change import Change
from ringmoe.tasks.classification import Classification
from ringmoe.tasks.heads.fusion import Fusion
from ringmoe.tasks.height import Height
from ringmoe.tasks.segmentation import Segmentation
from ringmoe.tasks.task import IGNORED, TASKS, Task, task_from, to_plain

__all__ = [
    "IGNORED",
    "TASKS",
    "Change",
    "Classification",
    "Fusion",
    "Height",
    "Segmentation",
    "Task",
    "task_from",
    "to_plain",
]
