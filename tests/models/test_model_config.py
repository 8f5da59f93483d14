import dataclasses
import json

import pytest

from ringmoe.errors import ConfigError
from ringmoe.models.config import PRESETS, ModelConfig, preset


def test_giant_has_the_shape_of_the_released_code():
    """Embedding 448, depths 2/2/18/2, heads 14/28/56/112, window 12, patch 4, 192 px."""
    giant = preset("giant")
    assert giant.widths == (448, 896, 1792, 3584)
    assert giant.depths == (2, 2, 18, 2)
    assert giant.num_heads == (14, 28, 56, 112)
    assert (giant.window_size, giant.patch_size, giant.image_size) == (12, 4, 192)
    assert giant.router_rows == giant.experts_in(0) == 4 * 4 + 4


def test_every_preset_has_heads_of_32_channels_as_swin_has():
    for config in PRESETS.values():
        assert {w // h for w, h in zip(config.widths, config.num_heads, strict=True)} == {32}


def test_a_config_survives_json():
    for config in PRESETS.values():
        assert ModelConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embed_dims": 64}, "did you mean 'embed_dim'"),
        ({"depths": (2, 2)}, "same stages"),
        ({"num_heads": (3, 5, 2, 4)}, "cannot be split into 3 heads"),
        ({"image_size": 100}, "multiple of 32, got 100"),
        ({"modalities": ()}, "at least one"),
        ({"modalities": ("optical", "optical")}, "once"),
        ({"modalities": ("thermal",)}, "unknown modality 'thermal'"),
        ({"gate": "sigmoid"}, "'softmax' or 'unit'"),
        ({"residual_scale": 2.0}, "0 to 1"),
        ({"specialized_experts": -1}, "negative"),
        ({"window_size": 0}, "window_size must be positive"),
        ({"depths": (2, 0, 2, 2)}, "every stage needs a block"),
        ({"embed_dim": "wide"}, "wrong type"),
        (
            {"specialized_experts": 0, "collaborative_experts": 0, "shared_expert": False},
            "at least one expert",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(changes, words):
    with pytest.raises(ConfigError, match=words):
        PRESETS["nano"].replace(**changes)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="choose one of nano, tiny, base, giant"):
        preset("huge")
