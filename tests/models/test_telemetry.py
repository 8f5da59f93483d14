import math

import pytest
import torch
from tests.models.samples import observe, small_model
from torch import nn

from ringmoe.errors import ConfigError
from ringmoe.models import ModelConfig, RouterLoad, RoutingTelemetry, record_routing

CONFIG = ModelConfig(depths=(1,), num_heads=(1,), embed_dim=4, window_size=2, image_size=8,
                     modalities=("optical", "sar_complex"))  # fmt: skip


def load(branch: str, modality: str, counts: list[int]) -> RouterLoad:
    """Probabilities of a router that wavers: half of each count, the rest spread evenly."""
    chosen = torch.tensor(counts)
    return RouterLoad(0, branch, modality, chosen / 2 + chosen.sum() / 8, chosen)


def test_a_row_by_hand():
    """Twice 8 tokens, together 8, 4, 4, 0 of 16: shares 1/2, 1/4, 1/4, 0.

    Entropy: (1/2 ln 2 + 2 * 1/4 ln 4) / ln 4 = (1/2 + 1) / 2 = 3/4. Mean probabilities:
    share / 2 + 1/8.
    """
    telemetry = RoutingTelemetry(CONFIG)
    telemetry.add([load("specialized", "optical", [6, 2, 0, 0])])
    telemetry.add([load("specialized", "optical", [2, 2, 4, 0])])
    (row,) = telemetry.table()
    assert (row.block, row.branch, row.modality) == (0, "specialized", "optical")
    assert row.load == (8, 4, 4, 0)
    assert row.share == (0.5, 0.25, 0.25, 0)
    assert row.probability == pytest.approx((0.375, 0.25, 0.25, 0.125))
    assert row.entropy == pytest.approx(0.75)
    assert row.unused == (3,)


def test_shares_and_dead_experts():
    """Optical takes experts 0 and 1, SAR 2 and 3.

    Specialized: each leaves 2 of its own dead. Collaborative: all are taken by one or the other.
    """
    telemetry = RoutingTelemetry(CONFIG)
    for branch in ("specialized", "collaborative"):
        telemetry.add([load(branch, "optical", [8, 8, 0, 0])])
        telemetry.add([load(branch, "sar_complex", [0, 0, 8, 8])])
    assert telemetry.specialized[0, 0].tolist() == [0.5, 0.5, 0, 0]
    assert telemetry.collaborative[1, 0].tolist() == [0, 0, 0.5, 0.5]
    assert telemetry.dead_experts() == 4


def test_entropy_is_one_for_equal_shares_and_zero_for_one_expert():
    telemetry = RoutingTelemetry(CONFIG)
    telemetry.add([load("specialized", "optical", [5, 5, 5, 5])])
    telemetry.add([load("specialized", "sar_complex", [0, 7, 0, 0])])
    assert [row.entropy for row in telemetry.table()] == pytest.approx([1, 0])


def test_calls_are_counted_by_block_branch_and_modality_and_only_inside():
    """64 x 64 px are 256, 64, 16 and 4 tokens in the four stages of two blocks."""
    model = small_model(dtype=torch.float32)
    view = model.view("optical")
    observations = [observe(m, dtype=torch.float32) for m in ("optical", "sar_complex")]
    with record_routing(model) as telemetry, torch.no_grad():
        model(observations)
        view(observations[0].images)
        model.encode(observations[:1])
    model(observations)
    rows = {(row.block, row.branch, row.modality): row for row in telemetry.table()}
    assert len(rows) == len(model.blocks()) * 2 * 2
    for (block, _, modality), row in rows.items():
        assert sum(row.load) == (3 if modality == "optical" else 1) * 256 // 4 ** (block // 2)
        assert sum(row.probability) == pytest.approx(1, abs=1e-5)
    assert not model.load_listeners


def test_the_counts_are_those_that_encode_tells():
    model = small_model()
    with record_routing(nn.ModuleDict({"encoder": model})) as telemetry:
        loads = model.encode([observe("multispectral")]).loads
    told = {(load.block, load.branch): load for load in loads}
    for row in telemetry.table():
        load = told[row.block, row.branch]
        assert list(row.load) == load.chosen.tolist()
        share = load.chosen / load.chosen.sum()
        entropy = -torch.special.xlogy(share, share).sum() / math.log(4)
        assert row.entropy == pytest.approx(float(entropy), rel=1e-5)


def test_recomputed_activations_count_once():
    model = small_model()
    model.set_grad_checkpointing()
    with record_routing(model) as telemetry:
        (maps,) = model([observe("optical")])
        maps[-1].square().sum().backward()
    first = telemetry.table()[0]
    assert sum(first.load) == 256


def test_watching_changes_neither_outputs_nor_gradients():
    model = small_model()
    images = observe("optical").images.requires_grad_()

    def outputs_and_gradients() -> list[torch.Tensor]:
        maps = model.view("optical")(images)
        return [*maps, *torch.autograd.grad(sum(m.square().sum() for m in maps), images)]

    plain = outputs_and_gradients()
    with record_routing(model):
        watched = outputs_and_gradients()
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_a_dense_model_has_nothing_to_tell():
    dense = small_model(specialized_experts=0, collaborative_experts=0)
    with record_routing(dense) as telemetry:
        dense([observe("optical")])
    assert telemetry.table() == []
    assert telemetry.specialized is None
    assert telemetry.dead_experts() == 0


def test_what_holds_no_backbone_is_refused():
    with pytest.raises(ConfigError, match="Linear holds 0"), record_routing(nn.Linear(2, 2)):
        pass
