"""`ringmoe evaluate`."""

from __future__ import annotations

from pathlib import Path

from ringmoe.cli._figures import print_figures
from ringmoe.cli._run_report import report_evaluation
from ringmoe.errors import ConfigError
from ringmoe.files import check_writable
from ringmoe.tasks import Part, open_run
from ringmoe.training import choose_device, is_first_process


def evaluate(
    run: Path,
    *,
    part: Part | None = None,
    path: Path | None = None,
    tile_size: int | None = None,
    labels: str | None = None,
    device: str = "auto",
    report: Path | None = None,
    json: bool = False,
) -> None:
    """Score the model of a fine-tuning run.

    On a part of the run's own data, or on other labelled images that are laid out as they are. The
    test part is for the end: choose settings on the validation part.

    Args:
        run: The run's folder.
        part: Of the run's split: test, validation or train; none: test.
        path: Other labelled images in place of the run's own, read with the same settings.
        tile_size: Cut the other images into tiles of so many pixels; 0 takes them whole, which is
            how objects are counted; none as in the run.
        labels: Where the other images' labels are, as `data.labels` of finetune; none for where
            the run's were.
        device: Where to compute: auto, cpu, cuda.
        report: Write a page with the figures and with pictures of what the model says: a .html.
        json: Print JSON instead of tables.
    """
    if not is_first_process():
        return  # under torchrun the first does it all
    if tile_size is not None and path is None:
        raise ConfigError("tile_size: of other images (--path); the run's own are cut already")
    if labels is not None and path is None:
        raise ConfigError("labels: of other images (--path); the run knows those of its own")
    if part is not None and path is not None:
        raise ConfigError("part: of the run's own images; others (--path) count all")
    part = part or "test"
    if report is not None:
        if report.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"{report}: expected a .html for the report")
        check_writable(report)
    opened = open_run(run, path, choose_device(device), tile_size=tile_size, labels=labels)
    figures = opened.evaluate(part)
    if report is not None:
        report_evaluation(opened, part, figures, report)
    if json:
        from json import dumps

        print(dumps(figures, indent=2))
        return
    where = str(path) if path is not None else f"{part} part"
    task = opened.model.task
    print_figures(f"{task.name}, {where}", figures, task.classes)
    if report is not None:
        print(f"report: {report}")
