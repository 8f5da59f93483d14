"""`ringmoe export`."""

from __future__ import annotations

from pathlib import Path

import torch

from ringmoe.deployment import Experts, ExportResult, ImageInput, backbone_input, export_model
from ringmoe.deployment.export_formats import check_format
from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE, load_model, read_config
from ringmoe.models.folder import CONFIG, TASK
from ringmoe.tasks import TaskModel, load_task, read_task


def export(
    checkpoint: Path,
    *,
    out: Path,
    image_size: int = 0,
    batch: int = 0,
    with_normalisation: bool = False,
    experts: Experts = "auto",
    modality: str | None = None,
    sensor: str | None = None,
    bands: list[str] | None = None,
    gsd: float | None = None,
) -> None:
    """Write a model as one file that runs without this package.

    ONNX, for onnxruntime and others, or a program of torch.export. The file says what enters: image
    names, sensors, channels in order, units, means and standard deviations; and what comes out.
    Before it takes its place it is run beside the model on random images, and the largest
    difference is told.

    Args:
        checkpoint: A run of `ringmoe finetune` or the model in it; or a backbone, whose four maps
            are then the output.
        out: The file, a `.onnx` or a `.pt2` (torch.export).
        image_size: Pixels of the images' sides, a multiple of 32; 0: of the model's training.
        batch: Images that enter at once; 0: any number.
        with_normalisation: Whether values in the channels' units enter, and the file normalises
            them; otherwise normalised values enter.
        experts: routed: each token passes the experts that it chose. masked: every expert is
            computed, what was not chosen multiplied by 0: slower, and for runtimes that need to
            know all shapes before. auto: routed for .pt2, masked for ONNX.
        modality: Of a backbone: which of its modalities; none: the sensor's, or its only one.
        sensor: Of a backbone: whose images enter, a name of the sensor catalogue.
        bands: Of a backbone: the channels, in order; none: all.
        gsd: Of a backbone: ground sampling distance in metres; none: the sensor's.
    """
    check_format(out)
    folder = checkpoint
    if (checkpoint / "model" / CONFIG).is_file():
        folder = checkpoint / "model"
    image: ImageInput | None = None
    model: TaskModel | RingMoE
    if (folder / TASK).is_file():
        given = {"modality": modality, "sensor": sensor, "bands": bands, "gsd": gsd}
        extra = ", ".join(name for name, value in given.items() if value is not None)
        if extra:
            raise ConfigError(f"{extra}: a task's model has its own images; leave it away")
        model = load_task(folder, dtype=torch.float32)
        image_size = image_size or read_task(folder)["tile_size"]
    else:
        config = read_config(folder)
        image = backbone_input(config.modalities, modality, sensor, bands, gsd)
        model = load_model(folder, [image.modality], dtype=torch.float32)
        image_size = image_size or config.image_size
    result = export_model(
        model,
        out,
        image_size=image_size,
        image=image,
        batch=batch,
        experts=experts,
        with_normalisation=with_normalisation,
    )
    _tell(result)


def _tell(result: ExportResult) -> None:
    facts = result.metadata
    for entry in facts["inputs"]:
        shape = " x ".join(map(str, entry["shape"]))
        channels = ", ".join(channel["name"] for channel in entry["channels"])
        print(f"{entry['name']}: {shape}, {facts['images']}: {channels}")
    print(f"gives: {', '.join(output['name'] for output in facts['outputs'])}")
    files = ", ".join(map(str, result.files))
    print(f"wrote {files} ({result.bytes / 1e6:.1f} MB)")
    *before, last = result.differences
    print(f"largest difference to the model on random images: {last:.1e} of the largest value")
    if before:
        print(
            f"({max(before):.1e} on other images, where rounding chose another of two equally "
            "probable experts)"
        )
