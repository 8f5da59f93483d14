"""The demonstration's report: four kinds of image, one model, what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ringmoe.reports import charts, pictures
from ringmoe.reports.demo_results import DemoResults, MapView, PrunedModel
from ringmoe.reports.page import Page, Section, render

_NEXT = Section(
    "From here",
    "The model lies beside this page, in <code>pretraining/model</code>. Half an hour makes a "
    "detector of it that finds ships in SAR amplitude, each with its place, direction, length and "
    "width: <code>docs/detection.md</code> begins with the commands. Recipes for floods, changes, "
    "heights and traffic stand in <code>docs/recipes.md</code>.",
)


def write_demo_report(results: DemoResults, path: Path) -> Path:
    """Write the demonstration's report as one HTML file.

    Raises:
        WriteError: The file cannot be written.
    """
    page = Page(
        title="RingMoE: one model, four kinds of satellite image",
        lead=(
            "A landscape was simulated and observed by four sensors. A small RingMoE was "
            "pre-trained on the images without any label, by reconstructing hidden parts of "
            "them as physical quantities. This page shows what it saw, what it rebuilt, which "
            "experts it used and what its features are good for."
        ),
        figures=results.figures,
        sections=[
            _scenes(results),
            _reconstructions(results),
            _losses(results),
            _experts(results),
            _probes(results),
            *(_pruned(modality, models) for modality, models in results.pruned.items()),
            *([_map(results.map)] if results.map is not None else []),
            _details(results),
            _NEXT,
        ],
        footer=results.footer,
    )
    return page.write(path)


def _scenes(results: DemoResults) -> Section:
    cells = []
    for number, scene in enumerate(results.scenes):
        for modality, picture in scene.items():
            caption = charts.title(modality) if number == 0 else ""
            cells.append(_cell(picture, charts.title(modality), caption))
    columns = f"repeat({len(results.scenes[0])}, 1fr)"
    return Section(
        "The same places, seen four ways",
        "Each row is one simulated scene. Optical in true colour; multispectral as short-wave "
        "infrared, near infrared and red; complex SAR as its Pauli composite (red: double "
        "bounce, green: volume, blue: surface scattering); SAR amplitude in decibels.",
        render("tiles.html.j2", cells=cells, columns=columns),
    )


def _reconstructions(results: DemoResults) -> Section:
    names = ("what the sensor saw", "what the model saw", "what it rebuilt", "the target")
    cells = [_label("")] + [_label(name) for name in names]
    for view in results.reconstructions:
        planes = pictures.colour_planes(view.target, view.keys)
        limits = pictures.percentile_limits(planes)
        answered = np.where(view.mask, pictures.colour_planes(view.prediction, view.keys), planes)
        masked = view.image.copy()
        masked[view.mask] = pictures.NO_DATA_GREY
        cells.append(_label(f"{charts.title(view.modality)} ({view.target_name})"))
        for picture, name in zip(
            (
                view.image,
                masked,
                pictures.stretch(answered, limits),
                pictures.stretch(planes, limits),
            ),
            names,
            strict=True,
        ):
            cells.append(_cell(picture, name))
    return Section(
        "Rebuilding what was hidden, as physics",
        "Held-out tiles. Complex SAR is rebuilt as total power, which every change of "
        "polarisation basis keeps; SAR amplitude as its logarithm, where speckle only adds; "
        "multispectral and optical as reflectance.",
        render("tiles.html.j2", cells=cells, columns="9em repeat(4, 1fr)"),
        "Speckle cannot be predicted, and a model that tried would be wrong: a rebuilt SAR "
        "tile is smooth where the target is grainy.",
    )


def _losses(results: DemoResults) -> Section:
    rows = [
        (charts.title(m), f"{before:.3f}", f"{after:.3f}", f"{100 * (after / before - 1):+.0f} %")
        for m, (before, after) in results.held_out_loss.items()
    ]
    header = ("held-out tiles", "random weights", "pre-trained", "change")
    return Section(
        "Learning",
        "Masked loss of each modality in training (thin: each step, thick: running mean), and "
        "on held-out tiles before and after.",
        charts.loss_curves(results.losses) + render("table.html.j2", header=header, rows=rows),
    )


def _experts(results: DemoResults) -> Section:
    return Section(
        "Which experts each modality uses",
        "Every block has specialized experts (S) for each modality, collaborative experts (C) "
        "open to all, and one shared expert that every token passes. A token takes one S and "
        "one C. The shade is the share of the modality's held-out tokens that chose the expert; "
        "an even spread is 0.25.",
        charts.expert_use(results.experts.shares, results.experts.specialized),
    )


def _probes(results: DemoResults) -> Section:
    return Section(
        "What the features are good for",
        "A linear classifier names the land cover of single pixels of held-out scenes from the "
        "frozen features alone: pale with random weights, full colour after pre-training.",
        charts.before_after(
            results.probe_before,
            results.probe_after,
            "land-cover accuracy, %",
            results.probe_chance,
        ),
    )


def _pruned(modality: str, models: Sequence[PrunedModel]) -> Section:
    header = ("model", "parameters", "on disk", "an image", "fidelity", "land cover")
    rows = [
        (
            model.name,
            f"{model.parameters / 1e6:.2f} M",
            f"{model.bytes / 1e6:.1f} MB",
            f"{model.flops / 1e9:.2f} GFLOP",
            f"{100 * model.fidelity:.1f} %",
            f"{100 * model.accuracy:.1f} %",
        )
        for model in models
    ]
    return Section(
        "Smaller, for one kind of image",
        f"The same model pruned to what {charts.title(modality)} needs, without training. "
        "Fidelity is the share of the variance of the full model's features, on held-out tiles, "
        "that the smaller one's explain; land cover is the probe above.",
        render("table.html.j2", header=header, rows=rows),
        "The sub-model loses nothing. One FFN a block is where distillation would begin.",
    )


def _map(view: MapView) -> Section:
    names = ("SAR amplitude", "the map", "the truth")
    cells = [
        _cell(picture, name, name)
        for picture, name in zip((view.image, view.mapped, view.truth), names, strict=True)
    ]
    return Section(
        "From a few labels to a map",
        f"The sub-model learned land cover from {view.examples} labelled scenes, and mapped one "
        f"that it had never seen: mean IoU {100 * view.miou:.1f} %, {100 * view.accuracy:.1f} % of "
        f"the pixels right, {view.tiles_per_second:.0f} tiles a second.",
        render("tiles.html.j2", cells=cells, columns="repeat(3, 1fr)")
        + render("legend.html.j2", classes=view.legend),
        "From SAR amplitude alone, through speckle: fields and meadows differ by little more than "
        "their roughness.",
    )


def _details(results: DemoResults) -> Section:
    table = render("table.html.j2", header=("what", "value"), rows=results.details)
    return Section("Model, training, machine", "", table)


def _cell(picture: np.ndarray, label: str, caption: str = "") -> dict[str, str]:
    return {"picture": pictures.png(picture), "label": label, "caption": caption}


def _label(text: str) -> dict[str, str]:
    return {"picture": "", "label": text}
