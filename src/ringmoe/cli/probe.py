"""`ringmoe probe`."""

from __future__ import annotations

from ringmoe.datasets import DataConfig
from ringmoe.tasks.frozen import Method
from ringmoe.tasks.frozen import probe as run_probe
from ringmoe.training import choose_device


def probe(
    checkpoint: str,
    *,
    data: DataConfig,
    method: Method = "linear",
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    size: int = 96,
    resize: bool = False,
    batch_size: int = 32,
    device: str = "auto",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Score a backbone's frozen features on classes of images.

    Nothing of the backbone is trained: a logistic regression, the nearest neighbours, or episodes
    of a few labelled images say what its features know. Settings of the images as for `finetune`.

    Args:
        checkpoint: A backbone's folder or hub id, a task's model, or a preset's name for random
            weights.
        data: Images with a class each.
        method: linear, neighbours or few-shot.
        ways: Of few-shot, classes of an episode.
        shots: Of few-shot, labelled images of each class.
        queries: Of few-shot, images of each class that are told apart.
        size: Height and width that images are cut or padded to, a multiple of 32.
        resize: Resample to that size in place of cutting; never SAR.
        batch_size: Images at once.
        device: Where to compute: auto, cpu, cuda.
        seed: Of random weights and of the episodes.
        json: Print JSON.
    """
    found = run_probe(
        checkpoint,
        data,
        method,
        ways=ways,
        shots=shots,
        queries=queries,
        size=size,
        resize=resize,
        batch_size=batch_size,
        device=choose_device(device),
        seed=seed,
    )
    if json:
        from json import dumps

        print(dumps(found, indent=2))
    elif method == "few-shot":
        print(
            f"{ways}-way {shots}-shot: {found['accuracy']:.1%} ± {found['interval']:.1%} "
            f"(95 %, {found['episodes']} episodes of {found['images']} images)"
        )
    else:
        print(
            f"{method}: {found['accuracy']:.1%} of {found['images']} images, "
            f"{found['class_accuracy']:.1%} mean over classes"
        )
