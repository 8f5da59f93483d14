"""`ringmoe evaluate`."""

from __future__ import annotations

from pathlib import Path

from ringmoe.cli._figures import print_figures
from ringmoe.tasks import Part, evaluate_run
from ringmoe.training import choose_device


def evaluate(
    run: Path,
    *,
    part: Part = "test",
    path: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Score the model of a fine-tuning run.

    On a part of the run's own data, or on other labelled images that are laid out as they are. The
    test part is for the end: choose settings on the validation part.

    Args:
        run: The run's folder.
        part: Of the run's split: test, validation or train.
        path: Other labelled images in place of the run's own, read with the same settings.
        device: Where to compute: auto, cpu, cuda.
        json: Print JSON instead of tables.
    """
    model, figures = evaluate_run(run, part, other=path, device=choose_device(device))
    if json:
        from json import dumps

        print(dumps(figures, indent=2))
        return
    where = str(path) if path is not None else f"{part} part"
    print_figures(f"{model.task.name}, {where}", figures, model.task.classes)
