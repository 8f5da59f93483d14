import json
import subprocess
import sys
from functools import cache

import pytest
import torch
from tests.models.samples import SMALL, counted_flops, observe
from tests.processes import PEAK_KIB

from ringmoe.models import PRESETS, ModelConfig, RingMoE, describe
from ringmoe.sensors import MODALITIES


def parameters_by_hand(
    embed: int,
    depths: tuple[int, ...],
    heads: tuple[int, ...],
    experts: int,
    router_rows: int,
    channels: tuple[int, ...],
) -> int:
    """The closed form, from the layers' equations alone.

    Stem: 16 weights per channel and width, bias, norm (2). Block of width C with H heads:
    qkv 3 C^2, projection C^2 + C, q and v bias 2 C, temperature H, position bias
    2 * 512 + 512 + 512 H, two norms 4 C; per expert C * 4C + 4C + 4C * C + C = 8 C^2 + 5 C; router
    C per row. Merging C to 2C: 4C * 2C and a norm of 2C, 4 C.
    """
    total = sum(16 * c * embed + 3 * embed for c in channels)
    for stage, (depth, h) in enumerate(zip(depths, heads, strict=True)):
        c = embed * 2**stage
        attention = 4 * c**2 + 3 * c + h + 3 * 512 + 512 * h
        total += depth * (attention + 4 * c + experts * (8 * c**2 + 5 * c) + router_rows * c)
        if stage:
            total += 2 * c**2 + 2 * c  # of half the width: 4 (c / 2) * c, and 2 c
    return total


@cache
def facts_of_giant() -> dict:
    return describe(PRESETS["giant"])


GIANT = (448, (2, 2, 18, 2), (14, 28, 56, 112))
ALL = (3, 13, 8, 5)


@pytest.mark.parametrize(
    ("what", "experts", "rows", "channels", "published"),
    [
        (("total",), 21, 20, ALL, 14.746e9),
        (("active",), 3, 8, (3,), 2.430e9),
        (("sub_models", "optical"), 9, 8, (3,), 6.534e9),
        (("expert_pruned",), 6, 8, (3,), 4.482e9),
        (("dense",), 1, 0, (3,), 1.061e9),
    ],
)
def test_parameters_of_giant(what, experts, rows, channels, published):
    """Equal to the closed form to the last one, and to the design's figures within 0.1 %."""
    found = facts_of_giant()["parameters"]
    for key in what:
        found = found[key]
    assert found == parameters_by_hand(*GIANT, experts, rows, channels)
    assert found == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("name", ["nano", "tiny", "base"])
def test_parameters_of_the_other_presets(name):
    config = PRESETS[name]
    shape = (config.embed_dim, config.depths, config.num_heads)
    found = describe(config)["parameters"]
    assert found["total"] == parameters_by_hand(*shape, 21, 20, ALL)
    for modality, count in found["sub_models"].items():
        channels = (len(MODALITIES[modality].vocabulary),)
        assert count == parameters_by_hand(*shape, 9, 8, channels)
    assert sum(found["parts"].values()) == found["total"]


def test_tiny_has_373_million_of_which_62_are_active():
    """`performance.md` of the design."""
    found = describe(PRESETS["tiny"])["parameters"]
    assert round(found["total"] / 1e6) == 373
    assert round(found["active"] / 1e6) == 62


@pytest.mark.parametrize(
    ("name", "changes", "total", "dense"),
    [
        ("giant", {}, 631.8, 276.5),
        ("giant", {"image_size": 256, "window_size": 16}, 1129, 498),
        ("giant", {"modalities": ("optical",)}, 631.8, 276.5),
        ("tiny", {}, 15.2, 7.0),
    ],
)
def test_flops_are_those_of_the_performance_study(name, changes, total, dense):
    """GFLOP an image, within 0.1 % where four digits are given, half a digit where fewer."""
    flops = describe(PRESETS[name].replace(**changes))["flops_per_image"]
    tolerance = 0.05 if name == "tiny" else max(1e-3 * total, 0.5)
    assert flops["total"] / 1e9 == pytest.approx(total, abs=tolerance)
    assert flops["dense"] / 1e9 == pytest.approx(dense, abs=max(tolerance * dense / total, 0.05))
    assert sum(flops["parts"].values()) == flops["total"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"modalities": ("sar_complex",)},
        {"specialized_experts": 0, "collaborative_experts": 0},
        {"collaborative_experts": 0, "shared_expert": False},
        {"window_size": 3},  # maps of 16, 8, 4 padded to 18, 9, 6; the last, of 2, is one window
    ],
)
def test_flops_are_what_torch_counts_while_the_model_runs(changes):
    config = SMALL.replace(**changes)
    model = RingMoE(config, torch.Generator().manual_seed(0)).eval()
    observation = observe(config.modalities[0], dtype=torch.float32)
    assert describe(config)["flops_per_image"]["total"] == counted_flops(model, observation)


def test_memory_is_bytes_per_parameter():
    """236 GB for AdamW training of giant, 29.5 GB for its bfloat16 weights (`performance.md`)."""
    memory = facts_of_giant()["memory_bytes"]
    assert memory["adamw"] / 1e9 == pytest.approx(236, abs=0.5)
    assert memory["bfloat16"] / 1e9 == pytest.approx(29.5, abs=0.05)


def test_active_is_what_one_tokens_gradient_can_reach():
    """Run one image whose tokens all choose the same experts: count weights with a gradient.

    Routers of zero weight give every expert the same probability, and argmax takes the first: so
    one specialized and one collaborative expert a block see all tokens. The rows of the router
    that were read get a gradient through the gate.
    """
    config = ModelConfig(image_size=32, embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=4)
    model = RingMoE(config, torch.Generator().manual_seed(0)).double()
    for block in model.blocks():
        torch.nn.init.zeros_(block.ffn.router.weight)
    model([observe("optical", 2, (32, 32))])[0][-1].square().sum().backward()
    reached = 0
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        if ".experts." in name or ".router." in name:
            used = parameter.grad.flatten(1).abs().sum(1) > 0
            reached += int(used.sum()) * parameter[0].numel()
        else:
            reached += parameter.numel()
    assert describe(config)["parameters"]["active"] == reached


def test_every_fact_goes_into_json():
    facts = facts_of_giant()
    assert json.loads(json.dumps(facts)) == facts


def test_channels_and_shape_are_told():
    facts = describe(PRESETS["nano"])
    assert facts["channels"]["sar_complex"] == [
        *("HH_I", "HH_Q", "HV_I", "HV_Q", "VH_I", "VH_Q", "VV_I", "VV_Q")
    ]
    assert facts["experts_per_block"] == {"specialized": 16, "collaborative": 4, "shared": 1}
    assert facts["strides"] == [4, 8, 16, 32]


@pytest.mark.slow
def test_describing_giant_takes_no_memory():
    """In a fresh process: under 1.5 GB resident, where its weights would take 59."""
    script = (
        "from ringmoe.models import PRESETS, describe; "
        f"describe(PRESETS['giant']); print({PEAK_KIB})"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(out.stdout) * 1024 < 1.5e9
