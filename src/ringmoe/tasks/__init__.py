"""Tasks on images, pixels and objects: one file a task: head, loss, metrics and decoding."""

from typing import Literal

from ringmoe.tasks.change import Change
from ringmoe.tasks.classification import Classification
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.detection import Detection, ObjectTask
from ringmoe.tasks.evaluate import evaluate
from ringmoe.tasks.finetune import finetune
from ringmoe.tasks.heads.detections import Detections
from ringmoe.tasks.heads.fusion import Fusion
from ringmoe.tasks.height import Height
from ringmoe.tasks.model import TaskModel, TaskSource
from ringmoe.tasks.objective import Finetuning
from ringmoe.tasks.oriented_detection import OrientedDetection
from ringmoe.tasks.runs import (
    OpenRun,
    Part,
    best_validation,
    evaluate_run,
    open_run,
    run_settings,
)
from ringmoe.tasks.saving import load_task, read_task, save_task
from ringmoe.tasks.segmentation import Segmentation
from ringmoe.tasks.task import TASKS, Task, task_from, to_plain
from ringmoe.tasks.tracking import OrientedTracking, Tracking

TaskName = Literal[
    "classification",
    "segmentation",
    "change",
    "height",
    "detection",
    "oriented-detection",
    "tracking",
    "oriented-tracking",
]
"""Names of the tasks, as `TASKS` has them."""

__all__ = [
    "TASKS",
    "Change",
    "Classification",
    "Detection",
    "Detections",
    "FinetuneConfig",
    "Finetuning",
    "Fusion",
    "Height",
    "ObjectTask",
    "OpenRun",
    "OrientedDetection",
    "OrientedTracking",
    "Part",
    "Segmentation",
    "Task",
    "TaskModel",
    "TaskName",
    "TaskSource",
    "Tracking",
    "best_validation",
    "evaluate",
    "evaluate_run",
    "finetune",
    "load_task",
    "open_run",
    "read_task",
    "run_settings",
    "save_task",
    "task_from",
    "to_plain",
]
