"""The report of a fine-tuned model, from its run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

import ringmoe
from ringmoe.cli._views import views_of
from ringmoe.reports import RunResults, write_run_report
from ringmoe.reports.finetuned import METRICS
from ringmoe.tasks import OpenRun, Part, best_validation, open_run
from ringmoe.tasks.evaluate import Figures
from ringmoe.tasks.validation import FILE
from ringmoe.training import RunFolder, read_metrics


def report_training(path: Path, device: torch.device | str = "cpu") -> Path:
    """Write `report.html` into the folder of a finished run: figures, curves and pictures.

    The pictures are of images of the validation part, cut as for the metrics; of the training part
    where there is no other, and then the page says so.

    Raises:
        ConfigError: The folder holds no run.
        WriteError: The file cannot be written.
    """
    run = open_run(path, device=device)
    part: Part = "validation" if len(run.parts["validation"]) else "train"
    best = best_validation(path) or {}
    return _write(run, part, best, _lead_of_training(run, part, best), path / "report.html")


def report_evaluation(run: OpenRun, part: Part, figures: Figures, out: Path) -> Path:
    """Write what a run's model scored on a part of its images, or on others, and pictures of it.

    Raises:
        WriteError: The file cannot be written.
    """
    count = len(run.indices(part))
    whose = f"of its {part} part" if run.parts else f"in {run.data.path}"
    learned = ", which it learned from" if run.parts and part == "train" else ""
    lead = f"Figures are of {count} images {whose}{learned}."
    return _write(run, part, figures, lead, out)


def _write(run: OpenRun, part: Part, figures: Figures, lead: str, out: Path) -> Path:
    task, folder = run.model.task, RunFolder(run.path)
    classes = f": {', '.join(task.classes)}" if 0 < len(task.classes) <= 8 else ""
    held_out = part != "train" or not run.parts
    results = RunResults(
        title=f"{task.name.replace('-', ' ').capitalize()}{classes}",
        lead=lead,
        views=views_of(run, run.indices(part), figures, held_out),
        figures=figures,
        classes=task.classes,
        confusion=figures.get("confusion_matrix", ()),
        loss=_curves(folder.metrics_path, ["loss"]).get("loss", ((), ())),
        validation=_curves(run.path / FILE, METRICS),
        details=_details(run),
        problems=[(p.kind, p.file, p.reason) for p in getattr(run.examples, "problems", ())],
        footer=f"RingMoE {ringmoe.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
    )
    return write_run_report(results, out)


def _lead_of_training(run: OpenRun, part: Part, best: Figures) -> str:
    learned = f"Learned from {len(run.parts['train'])} images in {run.config.steps} steps."
    if part == "train":
        return f"{learned} No image was kept aside: all that is shown here it learned from."
    shown = f"{len(run.parts['validation'])} others that it did not learn from"
    if all(best.get(name) is None for name in METRICS):
        return f"{learned} The pictures are of {shown}."
    return f"{learned} Figures are of {shown}; the weights of step {best['step']} did best there."


def _curves(path: Path, names: Iterable[str]) -> dict[str, tuple[list[int], list[float]]]:
    """(steps, values) of those names that the file has values of."""
    lines = list(read_metrics(path)) if path.exists() else []
    curves = {}
    for name in names:
        known = [line for line in lines if line.get(name) is not None]
        if known:
            curves[name] = [int(line["step"]) for line in known], [line[name] for line in known]
    return curves


def _details(run: OpenRun) -> Sequence[tuple[str, str]]:
    config, task = run.config, run.model.task
    options = ", ".join(f"{key}: {value}" for key, value in config.options.items())
    parts = ", ".join(f"{part}: {len(members)}" for part, members in run.parts.items())
    sensors = dict.fromkeys(source.sensor for source in run.model.sources.values())
    return [
        ("task", task.name + (f" ({options})" if options else "")),
        ("backbone", f"{config.checkpoint}, {config.adapt}"),
        ("images", parts or f"{len(run.examples)}"),
        ("sensor", ", ".join(sensors)),
        ("labels", str(run.data.path)),
        ("training", f"{config.steps} steps of {config.batch_size} images"),
        ("image", f"{config.crop_size} x {config.crop_size} px"),
        ("learning rate", f"{config.learning_rate:g}"),
        ("seed", str(config.seed)),
    ]
