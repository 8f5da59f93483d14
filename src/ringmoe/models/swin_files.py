"""Reading Swin V2 weights from safetensors files, with the config.json that lies beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models.backbone import RingMoE
from ringmoe.models.swin import convert_swin


def load_swin(
    path: str | Path, *, window_size: int | None = None, image_size: int | None = None
) -> RingMoE:
    """Read a Swin V2 of timm or transformers as a dense RingMoE.

    Args:
        path: A safetensors file, or a folder with `model.safetensors`. The `config.json` beside
            it, as both libraries write it, tells the windows.
        window_size: Attention window in tokens, where nothing tells it or another is wanted.
        image_size: Native size in pixels, likewise; give both or neither.

    Returns:
        The model in eval mode; see `ringmoe.models.swin.convert_swin`.

    Raises:
        CheckpointError: The file cannot be read or is no Swin V2; the message names it.
        ConfigError: The windows are not known, or cannot be expressed.
    """
    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: expected safetensors weights of a Swin V2")
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}): it is cut short or no safetensors file; pickles "
            "(.pth, .bin) are never loaded"
        ) from None
    beside = file.with_name("config.json")
    try:
        if window_size is None and image_size is None and beside.is_file():
            window_size, image_size = _windows(_read_json(beside))
        return convert_swin(state, window_size=window_size, image_size=image_size)
    except (CheckpointError, ConfigError) as error:
        raise type(error)(f"{file}: {error}") from None


def _read_json(file: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{file.name} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{file.name} is no configuration: expected keys and values")
    return values


def _windows(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Window and native size that a config.json tells, or None for both."""
    if config.get("model_type") == "swinv2":
        return _windows_of_transformers(config)
    return _windows_of_timm(config)


def _windows_of_transformers(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    for key, usual in (("hidden_act", "gelu"), ("layer_norm_eps", 1e-5)):
        if config.get(key, usual) != usual:
            raise CheckpointError(f"config.json has {key} {config[key]!r}: only {usual!r} is known")
    pretrained = config.get("pretrained_window_sizes") or (0,)
    return _native(config.get("window_size"), config.get("image_size"), max(pretrained))


def _windows_of_timm(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """From the name of the architecture, such as swinv2_base_window12_192, and its changes."""
    name = str(config.get("architecture", ""))
    found = re.fullmatch(r"swinv2_\w+?_window(?:(\d+)to)?(\d+)_(?:\d+to)?(\d+)", name)
    before, window, image = (int(n or 0) for n in found.groups()) if found else (0, None, None)
    changed = config.get("model_args") or {}
    pretrained = changed.get("pretrained_window_sizes") or (before,)
    return _native(
        changed.get("window_size", window), changed.get("img_size", image), max(pretrained)
    )


def _native(window: Any, image: Any, pretrained: int) -> tuple[int | None, int | None]:
    """Window and image, if they are single numbers and the offsets are scaled for that window."""
    if isinstance(image, list) and len(set(image)) == 1:
        image = image[0]
    if not isinstance(window, int) or not isinstance(image, int):
        return None, None
    if pretrained not in (0, window):
        raise ConfigError(
            f"it attends in windows of {window} with offsets scaled for {pretrained}: a RingMoE "
            f"has one size for both; give window_size {pretrained} and the image_size before "
            "fine-tuning, which keeps what a position bias means"
        )
    return window, image
