"""Models that expert pruning has left some of the collaborative experts."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from tests.models.samples import SMALL, counted_flops, difference, observe, randomise
from tests.models.test_describe import parameters_by_hand
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.models import (
    PRESETS,
    ModelConfig,
    RingMoE,
    RouterLoad,
    RoutingTelemetry,
    default_card,
    describe,
    load_model,
    plan_load,
    read_config,
    record_routing,
    save_model,
)
from ringmoe.models.rmoe import RMoE
from ringmoe.models.router import Router

KEPT = ((0, 2), (), (1,), (0, 1, 2, 3), (3,), (), (1, 2, 3), (2,))
TWO = ("optical", "sar_complex")


def pruned_model(**changes: object) -> RingMoE:
    model = RingMoE(SMALL.replace(kept_experts=KEPT, **changes), torch.Generator().manual_seed(0))
    randomise(model.double())
    return model.eval()


def test_a_token_takes_the_most_probable_kept_expert_at_its_probability_among_all():
    """Logits (2, 0, 1) of three experts, of which the last two are kept, by hand.

    The third is chosen, the second of the stack after one specialized expert, at
    e / (e^2 + 1 + e) = 0.244728. Of the load it has, among the kept, e / (1 + e) = 0.731059.
    """
    router = Router(1, 1, 1, 3, "softmax", kept=(1, 2)).double()
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[0.0], [2.0], [0.0], [1.0]]))
    routing = router(torch.ones(1, 1, dtype=torch.float64), [(0, 1)], collect=True)
    assert routing.experts.tolist() == [[0], [2]]
    assert routing.gates[1].item() == pytest.approx(0.244728, abs=1e-6)
    _, (branch, _, probability, chosen) = routing.loads
    assert branch == "collaborative"
    assert probability.tolist() == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])
    assert chosen.tolist() == [0, 1]


def gelu(x: Tensor) -> Tensor:
    return x * torch.special.ndtr(x)


@pytest.mark.parametrize("gate", ["softmax", "unit"])
@pytest.mark.parametrize("kept", [(0, 3), (2,), ()])
def test_the_layer_is_its_formula_and_agrees_where_the_expert_is_kept(gate, kept):
    """Against the sum of the three branches, token by token, with the full stack's experts.

    And against the full layer on the tokens whose collaborative expert is kept; 1e-12 and not 0,
    because a matrix product of another number of rows rounds differently.
    """
    config = ModelConfig(depths=(1,), num_heads=(1,), image_size=4, modalities=TWO, gate=gate)
    full = RMoE(config, 8).double()
    randomise(full, seed=1)
    layer = RMoE(config.replace(kept_experts=(kept,)), 8, block=0).double()
    rows = [*range(8), *(8 + number for number in kept)]
    state = full.state_dict()
    stacks = {name: state[name][rows] for name in state if name.startswith("experts.")}
    layer.load_state_dict(state | stacks)

    x = torch.randn(40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    spans = [(1, 25), (0, 15)]
    y, _ = layer(x, spans)
    whole, routing = full(x, spans)
    same = [int(number) - 8 in kept for number in routing.experts[1]]
    assert not any(same) or difference(y[same], whole[same]) < 1e-12
    assert not kept or 0 < sum(same) < 40

    w1, b1, w2, b2 = (state[f"experts.{name}"] for name in ("w1", "b1", "w2", "b2"))
    for t, token in enumerate(x):
        own = 4 * (1 if t < 25 else 0)
        chosen = []
        for first, among in ((own, range(4)), (8, kept)):
            p = (state["router.weight"][first : first + 4] @ token).softmax(0)
            if among:
                best = max(among, key=p.__getitem__)
                chosen.append((first + best, p[best] if gate == "softmax" else 1))
        due = full.shared(token)
        for e, g in chosen:
            due = due + g * (gelu(token @ w1[e] + b1[e]) @ w2[e] + b2[e])
        assert difference(y[t], due) < 1e-12


def test_a_layer_that_pruning_leaves_the_shared_expert_alone():
    config = ModelConfig(
        depths=(1, 1), num_heads=(1, 1), image_size=8, specialized_experts=0, kept_experts=[[], [2]]
    )
    layer = RMoE(config, 8, block=0)
    assert layer.router is None and layer.experts is None
    assert RMoE(config, 8, block=1).experts.w1.shape[0] == 1


def test_parameters_of_giant_with_one_collaborative_expert_a_block():
    """6 experts a block, and the 8 rows of the routers; the design's 4.482 billion."""
    kept = [[2]] * 24
    config = PRESETS["giant"].replace(modalities=("optical",), kept_experts=kept)
    giant = (config.embed_dim, config.depths, config.num_heads)
    facts = describe(config)
    total = facts["parameters"]["total"]
    assert total == parameters_by_hand(*giant, 6, 8, (3,)) == facts["parameters"]["expert_pruned"]
    assert total == pytest.approx(4.482e9, rel=1e-4)
    assert facts["parameters"]["active"] == parameters_by_hand(*giant, 3, 8, (3,))
    assert facts["experts_per_block"]["collaborative"] == 1


def test_parameters_and_flops_of_blocks_that_differ():
    """The closed form of a block's experts, 8 C^2 + 5 C each, summed over the blocks.

    Operations are those that torch counts while the model runs.
    """
    model = pruned_model(modalities=TWO)
    facts = describe(model.config)
    all_kept = parameters_by_hand(8, SMALL.depths, SMALL.num_heads, 13, 12, (3, 8))
    gone = sum(
        (4 - len(numbers)) * (8 * c**2 + 5 * c)
        for numbers, c in zip(KEPT, (8, 8, 16, 16, 32, 32, 64, 64), strict=True)
    )
    total = facts["parameters"]["total"]
    assert total == all_kept - gone == sum(p.numel() for p in model.parameters())
    assert facts["experts_per_block"]["collaborative"] == 1.5  # 12 over 8 blocks
    assert "1.5 collaborative" in default_card(model.config)
    assert facts["flops_per_image"]["total"] == counted_flops(model, observe("optical"))


@pytest.mark.parametrize("limit", ["5GB", "500KB"])
def test_a_part_of_a_pruned_checkpoint(tmp_path, limit):
    """Only the rows that are needed are read, and the features are the same."""
    model = pruned_model()
    folder = save_model(model, tmp_path / "model", max_shard_bytes=limit)
    assert read_config(folder).kept_experts == KEPT
    part = load_model(folder, modalities=("sar_complex", "optical"))
    plan = plan_load(folder, ("sar_complex", "optical"))
    assert plan.parameters == sum(p.numel() for p in part.parameters())
    assert plan.bytes == 8 * plan.parameters
    for modality in TWO:
        with torch.no_grad():
            (ours,), (due,) = part([observe(modality)]), model([observe(modality)])
        assert all(torch.equal(a, b) for a, b in zip(ours, due, strict=True))


def test_the_telemetry_speaks_of_experts_by_their_numbers():
    """Block 6 keeps experts 1, 2 and 3: loads 0, 6, 2 are shares of these, and 1 is unused."""
    telemetry = RoutingTelemetry(SMALL.replace(kept_experts=KEPT))
    counts = torch.tensor([0, 6, 2])
    telemetry.add([RouterLoad(6, "collaborative", "optical", counts.double(), counts)])
    (row,) = telemetry.table()
    assert (row.load, row.unused) == ((0, 6, 2), (1,))
    assert telemetry.collaborative[0, 6].tolist() == [0, 0, 0.75, 0.25]
    # idle: of the specialized branch all, 8 blocks x 4 modalities x 4; of the kept all but two
    assert telemetry.dead_experts() == 128 + sum(map(len, KEPT)) - 2


def test_every_token_is_counted_in_the_blocks_that_have_the_branch():
    """64 x 64 px are 256 tokens in the first stage and a quarter in each next, of two blocks."""
    model = pruned_model()
    with record_routing(model) as telemetry, torch.no_grad():
        model([observe("sar_complex")])
    loads = {row.block: row for row in telemetry.table() if row.branch == "collaborative"}
    assert set(loads) == {block for block, kept in enumerate(KEPT) if kept}
    for block, row in loads.items():
        assert len(row.load) == len(KEPT[block])
        assert sum(row.load) == 256 // 4 ** (block // 2)
        assert sum(row.probability) == pytest.approx(1)


@pytest.mark.slow
class TestCompiled:
    """As for models with all experts (`test_export`), of two blocks, one without the branch."""

    @pytest.fixture
    def view(self):
        shape = {"depths": (2,), "num_heads": (1,), "kept_experts": [[1, 3], []]}
        model = RingMoE(SMALL.replace(modalities=TWO, **shape), torch.Generator().manual_seed(0))
        randomise(model)
        yield model.eval().view("optical")
        torch._dynamo.reset()

    @torch.no_grad()
    def test_compile_has_no_graph_breaks(self, view):
        x = observe("optical", 2, dtype=torch.float32).images
        compiled = torch.compile(view, backend="eager", fullgraph=True)
        for ours, due in zip(compiled(x), view(x), strict=True):
            assert difference(ours, due) < 1e-5

    @torch.no_grad()
    def test_export_agrees_on_other_images(self, view):
        x, other = (observe("optical", 2, seed=s, dtype=torch.float32).images for s in (0, 1))
        exported = torch.export.export(view, (x,)).module()
        for ours, due in zip(exported(other), view(other), strict=True):
            assert difference(ours, due) < 1e-5


def test_the_config_survives_json_and_all_is_none():
    config = SMALL.replace(kept_experts=KEPT)
    assert ModelConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    assert [config.experts_in(block) for block in range(8)] == [16 + len(kept) for kept in KEPT]
    assert SMALL.replace(kept_experts=[range(4)] * 8) == SMALL


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kept_experts": KEPT[:3]}, "of 8 blocks, got 3"),
        ({"kept_experts": [[1, 0]] * 8}, "block 0 must be ascending"),
        ({"kept_experts": [[4]] * 8}, "under 4"),
        (
            {"kept_experts": KEPT, "specialized_experts": 0, "shared_expert": False},
            "leaves block 1 without any expert",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        SMALL.replace(**changes)
