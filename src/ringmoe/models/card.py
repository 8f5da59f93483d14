"""The model card that goes with a checkpoint whose maker wrote none."""

from __future__ import annotations

import re
from pathlib import Path

from ringmoe.models.config import ModelConfig
from ringmoe.models.describe import describe
from ringmoe.models.folder import CARD, HUB_CARD

_CARD = """---
license: {license}
library_name: ringmoe
pipeline_tag: image-feature-extraction
tags: [remote-sensing, earth-observation, mixture-of-experts{modality_tags}]
---

# A RingMoE backbone

{millions:.1f} M parameters, {active:.1f} M active per token; {flops:.2f} GFLOP per image of
{size} x {size} pixels.

| modality | channels its stem knows | parameters of its sub-model |
|---|---|---|
{rows}

Blocks per stage {depths}, widths {widths}; in each block {specialized} specialized,
{collaborative} collaborative and {shared} shared experts.

```python
import ringmoe

model = ringmoe.load_model("PATH", modalities=["{modality}"])
observation = ringmoe.Observation(images, "{modality}", ({channels}))
(pyramid,) = model([observation])
```

Images are normalised by their sensor (`ringmoe.sensors.normalise`) before they enter.

## Licence, training data, evaluation

Licence: {license}, which is that of the code unless whoever made these weights says otherwise, here
and in the first lines.

Training data: {training_data}

Evaluation: {evaluation}
"""
_UNKNOWN = "not stated by whoever saved this checkpoint."


def card_text(folder: Path) -> str | None:
    """The card of a checkpoint, its own or the hub's; None where it has none."""
    files = (folder / name for name in (CARD, HUB_CARD))
    return next((file.read_text(encoding="utf-8") for file in files if file.is_file()), None)


def stated(folder: Path) -> dict[str, str]:
    """What a checkpoint's card says that its shape does not, as `default_card` takes it.

    What is made of these weights is under the same licence, and learned from the same data.
    """
    text = card_text(folder) or ""
    found = {
        "license": re.search(r"^license:[ \t]*(\S+)", text, re.MULTILINE),
        "training_data": re.search(r"^Training data: (.+?)(?=\n\n|\Z)", text, re.M | re.S),
    }
    return {key: match[1].strip() for key, match in found.items() if match}


def default_card(
    config: ModelConfig,
    *,
    license: str = "apache-2.0",
    training_data: str = _UNKNOWN,
    evaluation: str = _UNKNOWN,
) -> str:
    """Markdown that states what can be read off the shape, and that nothing else is known.

    Args:
        config: The shape.
        license: The weights' licence, as the Hugging Face hub spells it.
        training_data: What the model was trained on.
        evaluation: How well it does what.

    Returns:
        The card: metadata for the hub in YAML, then text.
    """
    facts = describe(config)
    parameters, experts = facts["parameters"], facts["experts_per_block"]
    rows = [
        f"| {name} | {', '.join(channels)} | {parameters['sub_models'][name] / 1e6:.1f} M |"
        for name, channels in facts["channels"].items()
    ]
    first = config.modalities[0]
    return _CARD.format(
        millions=parameters["total"] / 1e6,
        active=parameters["active"] / 1e6,
        flops=facts["flops_per_image"]["total"] / 1e9,
        size=config.image_size,
        rows="\n".join(rows),
        depths="/".join(map(str, config.depths)),
        widths="/".join(map(str, config.widths)),
        specialized=experts["specialized"],
        collaborative=experts["collaborative"],
        shared=experts["shared"],
        modality=first,
        channels=", ".join(f'"{name}"' for name in facts["channels"][first]),
        modality_tags="".join(f", {name.replace('_', '-')}" for name in config.modalities),
        license=license,
        training_data=training_data,
        evaluation=evaluation,
    )
