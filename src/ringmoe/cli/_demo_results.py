"""What the demonstration's report shows, measured: pictures, losses, routing, probes."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

import ringmoe
from ringmoe.archive import Archive, TileLoader
from ringmoe.cli._demo_pruning import MODALITY, measure_pruned
from ringmoe.models import RingMoE, describe
from ringmoe.pretraining import (
    HeldOut,
    MaskedModelling,
    PretrainConfig,
    evaluate,
    load_objective,
    make_objective,
    reconstruct,
)
from ringmoe.probing import dense_features, linear_probe, observe
from ringmoe.reports import DemoResults, ExpertUse, ReconstructionView, pictures
from ringmoe.scenes import open_scene
from ringmoe.sensors import denormalise, get_sensor
from ringmoe.training import RunFolder, read_metrics

PROBE_PIXELS = 500  # of each probe scene
SCENES_SHOWN = ("harbour", "airfield", "village")
TILES_SHOWN = 2  # of each modality
TILES_EVALUATED = 64  # of each modality
L2_GRID = (1.0, 0.1, 0.01)  # of the probes: few, the demonstration should be short

Metrics = Sequence[Mapping[str, float]]
SceneFiles = Mapping[str, tuple[Path, str, Path]]


def gather_results(
    config: PretrainConfig,
    archive: Archive,
    scenes: Path,
    probe_scenes: Path,
    probe_fit: int,
    pruned: dict[str, Path],
) -> DemoResults:
    """Measure everything that the report shows.

    Args:
        config: Of the finished run.
        archive: What it was trained on.
        scenes: Simulated scenes of the archive, to look at.
        probe_scenes: Simulated scenes that are not in it.
        probe_fit: How many of these the probes are fitted on; they are tested on the rest.
        pruned: Name to checkpoint of the model made smaller for one modality.
    """
    before = make_objective(config, archive.modalities)
    after = load_objective(config.out)
    metrics = read_metrics(RunFolder(config.out).metrics_path)
    at_start, at_end = (evaluate(o, archive, images=TILES_EVALUATED) for o in (before, after))
    probed = _scene_files(probe_scenes)
    return DemoResults(
        scenes=[_views(scene) for scene in _scenes_to_show(scenes)],
        reconstructions=_reconstructions(archive, after),
        losses=_curves(metrics, archive.modalities),
        held_out_loss={m: (at_start.loss[m], at_end.loss[m]) for m in archive.modalities},
        experts=_experts(at_end, archive.modalities),
        probe_before=_probe(before.model, probed, probe_fit),
        probe_after=_probe(after.model, probed, probe_fit),
        probe_chance=_commonest_class(probed, probe_fit),
        pruned={
            MODALITY: measure_pruned(
                after.model, pruned, archive, lambda model: _probe(model, probed, probe_fit)
            )
        },
        figures=_figures(after, archive, metrics, at_end),
        details=_details(after, archive, config, metrics),
        footer=_footer(),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `simulation.json` says of a folder of scenes."""
    manifest: dict[str, Any] = json.loads((folder / "simulation.json").read_text())
    return manifest


def _scene_files(folder: Path) -> Sequence[SceneFiles]:
    """For each simulated scene: modality to (image, sensor, land-cover map)."""
    return [
        {
            get_sensor(file["sensor"]).modality: (
                folder / file["path"],
                file["sensor"],
                folder / file["labels"]["mask"],
            )
            for file in scene["files"]
            if "mask" in file["labels"]
        }
        for scene in read_manifest(folder)["scenes"]
    ]


def _scenes_to_show(folder: Path) -> Sequence[SceneFiles]:
    """The first scene of each kind that is worth a picture, or the first few of any."""
    kinds = [scene["class"] for scene in read_manifest(folder)["scenes"]]
    chosen = [kinds.index(kind) for kind in SCENES_SHOWN if kind in kinds]
    files = _scene_files(folder)
    return [files[number] for number in chosen] or files[: len(SCENES_SHOWN)]


def _views(scene: SceneFiles) -> dict[str, np.ndarray]:
    """The pictures of one simulated scene, by modality."""
    views = {}
    for modality, (image, sensor, _) in scene.items():
        raster = open_scene(image, sensor).read()
        keys = [channel.key for channel in raster.channels]
        views[modality] = pictures.measurement(raster.values, modality, keys)
    return views


def _reconstructions(archive: Archive, objective: MaskedModelling) -> list[ReconstructionView]:
    """A few held-out tiles of each modality, rebuilt."""
    loader = TileLoader(
        archive,
        batch_size=TILES_SHOWN * len(archive.modalities),
        crop_size=objective.model.config.image_size,
        split="heldout",
        crop="centre",
    )
    views = []
    for batch in loader.batches(0):
        rebuilt = reconstruct(objective, batch)
        stream = archive.streams[batch.stream]
        keys = [channel.key for channel in stream.channels]
        for i in range(len(batch)):
            values = denormalise(rebuilt.input[i], stream.sensor.stem_channels(stream.channels))
            if stream.sensor.is_complex:
                values = values[0::2] + 1j * values[1::2]  # I and Q by turns
            views.append(
                ReconstructionView(
                    modality=rebuilt.modality,
                    image=pictures.measurement(values, rebuilt.modality, keys),
                    mask=rebuilt.mask[i],
                    target=rebuilt.target[i],
                    prediction=rebuilt.prediction[i],
                    keys=rebuilt.target_channels,
                    target_name=rebuilt.target_name,
                )
            )
    return views


def _curves(
    metrics: Metrics, modalities: Sequence[str]
) -> dict[str, tuple[list[int], list[float]]]:
    """Modality to (steps, masked losses)."""
    curves = {}
    for modality in modalities:
        key = f"reconstruction/{modality}"
        lines = [line for line in metrics if key in line]
        curves[modality] = ([int(line["step"]) for line in lines], [line[key] for line in lines])
    return curves


def _experts(held_out: HeldOut, modalities: Sequence[str]) -> ExpertUse:
    """Shares of held-out tokens, the specialized experts before the collaborative ones."""
    routing = held_out.routing
    assert routing.specialized is not None and routing.collaborative is not None  # nano has both
    shares = torch.cat([routing.specialized, routing.collaborative], dim=-1)
    return ExpertUse(
        {m: shares[i].numpy() for i, m in enumerate(modalities)}, routing.specialized.shape[-1]
    )


def _probe(model: RingMoE, scenes: Sequence[SceneFiles], fit: int) -> dict[str, float]:
    """Land-cover accuracy of a linear probe on the frozen features of single pixels.

    The probe is fitted on the first `fit` scenes and tested on the rest.
    """
    accuracies = {}
    for modality in model.config.modalities:
        samples = [_pixels(model, *scene[modality]) for scene in scenes]
        (train_x, train_y), (test_x, test_y) = (
            (torch.cat([x for x, _ in part]), torch.cat([y for _, y in part]))
            for part in (samples[:fit], samples[fit:])
        )
        last = torch.arange(fit).repeat_interleave(PROBE_PIXELS) >= fit - fit // 4
        result = linear_probe(train_x, train_y, test_x, test_y, l2_grid=L2_GRID, validation=last)
        accuracies[modality] = result.accuracy
    return accuracies


def _pixels(
    model: RingMoE, image: Path, sensor: str, land_cover: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and classes of the same few pixels of a scene for every model."""
    raster = open_scene(image, sensor).read()
    features = dense_features(model, observe(raster.values[None], get_sensor(sensor)))[0]
    classes = read_classes(land_cover)
    chosen = np.random.default_rng(0).choice(classes.size, PROBE_PIXELS, replace=False)
    index = torch.from_numpy(chosen)
    return features.flatten(1)[:, index].T, torch.from_numpy(classes.ravel()[chosen]).long()


def read_classes(land_cover: Path) -> np.ndarray:
    """A map of classes `(H, W)`."""
    with rasterio.open(land_cover) as file:
        return file.read(1)


def _commonest_class(scenes: Sequence[SceneFiles], fit: int) -> float:
    """Accuracy on the test scenes of always naming the class commonest in the others."""
    train, test = (
        np.concatenate([read_classes(next(iter(s.values()))[2]).ravel() for s in part])
        for part in (scenes[:fit], scenes[fit:])
    )
    return float((test == np.bincount(train).argmax()).mean())


def _figures(
    objective: MaskedModelling, archive: Archive, metrics: Metrics, held_out: HeldOut
) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    shape = objective.model.config
    parameters = describe(shape)["parameters"]
    experts = sum(shape.experts_in(block) for block in range(sum(shape.depths)))
    rate = statistics.median(line["images_per_s"] for line in metrics)
    return [
        (f"{parameters['total'] / 1e6:.1f} M", "parameters"),
        (f"{parameters['active'] / 1e6:.1f} M", "active for a token"),
        (str(sum(len(stream) for stream in archive.streams.values())), "tiles of four modalities"),
        (f"{rate:.0f}", "images a second in training"),
        (str(held_out.routing.dead_experts()), f"of {experts} experts without work"),
    ]


def _details(
    objective: MaskedModelling, archive: Archive, config: PretrainConfig, metrics: Metrics
) -> list[tuple[str, str]]:
    """Rows about model, training and machine."""
    shape = objective.model.config
    wait = statistics.mean(line["data_wait"] for line in metrics)
    return [
        ("model", f"{config.model}: widths {shape.widths}, depths {shape.depths}"),
        (
            "experts in each block",
            f"{len(shape.modalities)} x {shape.specialized_experts} specialized, "
            f"{shape.collaborative_experts} collaborative, 1 shared",
        ),
        (
            "training",
            f"{config.steps} steps of {config.batch_size} images of {config.crop_size} px",
        ),
        ("hidden", f"{config.mask_ratio:.0%} of each image, in squares of {config.mask_unit} px"),
        ("targets", ", ".join(target.name for target in objective.targets.values())),
        ("waiting for data", f"{wait:.1%} of the time"),
        ("archive", f"{archive.path}, fingerprint {archive.fingerprint[:12]}"),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
        ("software", f"Python {platform.python_version()}, PyTorch {torch.__version__}"),
    ]


def _footer() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Made by <code>ringmoe demo</code>, RingMoE {ringmoe.__version__}, {now}."
