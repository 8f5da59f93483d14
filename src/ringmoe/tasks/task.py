"""`Task`: what a fine-tuned model is for: head, loss, metrics and decoding in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, get_type_hints

import torch
from torch import Tensor, nn

from ringmoe.datasets import LabelKind, LabelledData
from ringmoe.datasets.loader import Cover
from ringmoe.errors import ConfigError
from ringmoe.tasks.option_types import fits, words_of
from ringmoe.training import Terms

Pyramid = Sequence[Tensor]
"""Maps `(B, C_i, H / s_i, W / s_i)` at strides 4, 8, 16, 32."""

TASKS: dict[str, type[Task]] = {}
"""Every task by its name."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A task: its options are its fields, everything else follows from them.

    Fields are plain (str, int, float, bool, None and tuples of them), so that a file can keep
    them: `to_plain` and `task_from`. A task holds no weights; `head` makes the module that does.

    The loss is made as the engine asks (`ringmoe.training.Objective`): `counts` of all parts of a
    batch are added up, so are `sums` over ranks, and `loss` of each part's sums with the counts of
    the whole adds up to the loss of the whole, wherever the labels lie.

    Attributes:
        classes: Class names, by index; none for heights.
        name: Of the task, as on the command line.
        label_kind: Of the labels: "class", "mask", "height", "boxes" or "rotated-boxes".
        dates: How many images of one place a model sees: 2 for change.
        cover: What of an image is scored: all of it in squares of the training's size, or as a
            whole.
        best: The metric that chooses the best checkpoint.
        higher_is_better: Whether a larger value of it is better.
    """

    name: ClassVar[str]
    label_kind: ClassVar[LabelKind]
    dates: ClassVar[int] = 1
    cover: ClassVar[Cover] = "squares"
    best: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Channels of what the head gives."""
        return len(self.classes)

    def check_data(self, data: LabelledData) -> None:  # noqa: B027
        """Raise if the task cannot be scored on these labels, though they are of its kind.

        Raises:
            DatasetError: It cannot.
        """

    @abstractmethod
    def head(self, widths: Sequence[int]) -> nn.Module:
        """A new head on maps of these widths.

        Its `forward(pyramids, size, valid)` takes one pyramid a date, the image's height and
        width, and `(B, 1, H, W)` bool, false where there are no data, or None. It gives scores
        (logits) `(B, K)` or `(B, K, H, W)`, or metres `(B, 1, H, W)`, or `Detections`.
        """

    @abstractmethod
    def counts(self, labels: Any) -> Terms:
        """What the loss divides by: float64 scalars or vectors, without gradient.

        Args:
            labels: Of one micro-batch; it may hold no image and no labelled pixel.
        """

    @abstractmethod
    def sums(self, output: Any, labels: Any) -> Terms:
        """Additive sums, with gradient, over one micro-batch.

        Args:
            output: What the head gave.
            labels: `(B,)` int64 class indices, `(B, H, W)` int64 class indices with -1
                where there is no label, `(B, H, W)` floating metres with NaN where unknown, or an
                `ObjectBatch`.
        """

    @abstractmethod
    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """`loss` and its parts, of a micro-batch's sums and the whole step's counts."""

    @abstractmethod
    def metrics(self) -> Any:
        """Fresh metrics under the names that papers use, of torchmetrics' surface.

        That is `update(output, labels)`, `compute`, `reset` and `to`. Import them late: they take
        longer to load than torch.
        """

    def settled(self, seen: Callable[[], Any]) -> Self:
        """This task with its decoding as labelled data that were not learned from suggest.

        Args:
            seen: Gives `metrics()` that have seen the best weights on the validation part; it
                takes as long as an evaluation.

        Returns:
            A task whose head is the same; by default this one, unasked.
        """
        return self

    @abstractmethod
    def decode(self, output: Any) -> Any:
        """What users want of an output: `(B,)` or `(B, H, W)` class indices, metres, or objects."""


def register(task: type[Task]) -> type[Task]:
    """Class decorator: find the task by its name."""
    TASKS[task.name] = task
    return task


def to_plain(task: Task) -> dict[str, Any]:
    """A task as JSON can hold it: `{"task": name, option: value, ...}`, tuples as lists."""
    values = {field.name: getattr(task, field.name) for field in fields(task)}
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
    return {"task": task.name, **plain}


def task_from(values: Mapping[str, Any]) -> Task:
    """The task that `to_plain` wrote, or that a configuration describes.

    Args:
        values: `{"task": name}` and any of its options; those left out take their defaults.

    Raises:
        ConfigError: The task or an option is unknown, or a value is not allowed.
    """
    options = dict(values)
    name = options.pop("task", None)
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(sorted(TASKS))}, got {name!r}")
    known = {field.name: field for field in fields(TASKS[name])}
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(
            f"task {name}: unknown option {', '.join(unknown)}; it has {', '.join(known)}"
        )
    lacking = [key for key, f in known.items() if f.default is MISSING and key not in options]
    if lacking:
        raise ConfigError(f"task {name}: expected a value for {', '.join(lacking)}")
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    types = get_type_hints(TASKS[name])
    for key, value in options.items():
        if not fits(value, types[key]):
            raise ConfigError(f"task {name}: {key} must be {words_of(types[key])}, got {value!r}")
    return TASKS[name](**options)


def expect(task: Task, option: str, allowed: bool, expected: str) -> None:
    """Refuse an option's value.

    Raises:
        ConfigError: If it is not allowed.
    """
    if not allowed:
        value = getattr(task, option)
        raise ConfigError(f"task {task.name}: {option} must be {expected}, got {value!r}")


def check_classes(task: Task, weights: Sequence[float]) -> None:
    """Refuse class names and weights that do not fit each other.

    Raises:
        ConfigError: Fewer than two classes, one named twice, or weights that are negative or not
            as many.
    """
    expect(task, "classes", len(task.classes) > 1, "two or more")
    expect(task, "classes", len(set(task.classes)) == len(task.classes), "all different")
    fits = not weights or (len(weights) == len(task.classes) and min(weights) >= 0)
    expect(task, "class_weights", fits, f"none or {len(task.classes)}, not negative")


def share(total: Tensor, count: Tensor) -> Tensor:
    """`total / count`, and 0 (with a gradient of 0) where the whole step has nothing to count."""
    return total / torch.where(count > 0, count, 1).to(total.dtype)
