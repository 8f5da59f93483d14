"""Tasks on images and pixels: one file a task holds its head, loss, metrics and decoding."""

from ringmoe.tasks.task import IGNORED, TASKS, Task, task_from, to_plain

__all__ = ["IGNORED", "TASKS", "Task", "task_from", "to_plain"]
