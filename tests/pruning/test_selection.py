"""Sub-models and expert pruning: what stays computes what it computed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.samples import difference, observe
from tests.models.test_describe import parameters_by_hand
from tests.pruning.samples import CONFIG, frequencies_of, make_model, with_frequencies

from ringmoe.errors import ConfigError, StatisticsError
from ringmoe.models import PRESETS, describe
from ringmoe.pruning import ExpertPruning, SubModel, prune_model
from ringmoe.pruning.expert_pruning import most_frequent

FREQUENCY = [  # of three blocks and modalities; each row is one modality's, and sums to 1
    [[0.4, 0.3, 0.2, 0.1], [0.0, 0.5, 0.0, 0.5], [0.25, 0.25, 0.25, 0.25]],
    [[0.9, 0.1, 0.0, 0.0], [0.0, 0.1, 0.2, 0.7], [0.0, 0.0, 1.0, 0.0]],
    [[0.3, 0.3, 0.2, 0.2], [0.4, 0.0, 0.6, 0.0], [0.1, 0.2, 0.3, 0.4]],
]


@pytest.fixture(scope="module")
def model():
    return make_model()


def features(model, modality: str) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return model([observe(modality, 2, (32, 32))])[0]


@pytest.mark.parametrize(
    "modalities", [["sar_amplitude"], ["sar_complex", "optical"], None], ids=str
)
def test_a_sub_model_has_the_features_of_the_full_model(model, modalities):
    """And the parameters of the closed form: 4 experts a modality, 4 for all and the shared."""
    part = prune_model(model, SubModel(), modalities)
    kept = tuple(modalities or CONFIG.modalities)
    assert part.config == CONFIG.replace(modalities=kept)
    for modality in kept:
        for ours, due in zip(features(part, modality), features(model, modality), strict=True):
            assert difference(ours, due) < 1e-6
    channels = {"optical": 3, "sar_complex": 8, "sar_amplitude": 5}
    rows = 4 * len(kept) + 4
    due = parameters_by_hand(8, (1, 2), (1, 2), rows + 1, rows, tuple(channels[m] for m in kept))
    assert sum(p.numel() for p in part.parameters()) == due


def test_the_result_shares_no_memory(model):
    part = prune_model(model, SubModel())
    before = model.blocks()[0].ffn.experts.w1.clone()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.zero_()
    assert torch.equal(model.blocks()[0].ffn.experts.w1, before)


def test_keeping_all_experts_changes_nothing(model):
    statistics = with_frequencies(model, FREQUENCY)
    for scope in ("layer", "global"):
        same = prune_model(model, ExpertPruning(1.0, scope), statistics=statistics)
        assert same.config == model.config
        state = same.state_dict()
        assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("scope", "gate"), [("layer", "softmax"), ("global", "softmax"), ("layer", "unit")]
)
def test_tokens_whose_expert_is_kept_get_the_same_output(scope, gate):
    """Of each layer, on 50 tokens; the others get another."""
    model = make_model(gate=gate)
    statistics = with_frequencies(model, FREQUENCY)
    method = ExpertPruning(0.5, scope)
    pruned = prune_model(model, method, ["optical", "sar_complex"], statistics)
    for block, (before, after) in enumerate(zip(model.blocks(), pruned.blocks(), strict=True)):
        width = before.norm1.weight.numel()
        x = torch.randn(50, width, generator=torch.Generator().manual_seed(block)).double()
        with torch.no_grad():
            due, routing = before.ffn(x, [(1, 30), (0, 20)])
            found, _ = after.ffn(x, [(1, 30), (0, 20)])
        kept = pruned.config.kept_in(block)
        same = torch.tensor([int(number) - 12 in kept for number in routing.experts[1]])
        assert 0 < same.sum() < 50
        assert difference(found[same], due[same]) < 1e-12
        assert ((found - due)[~same].abs().amax(1) > 1e-6).all()


@pytest.mark.parametrize(
    ("modalities", "method", "kept"),
    [
        # optical alone: its largest frequencies, of equal ones the first
        (["optical"], ExpertPruning(0.25), ((0,), (0,), (0,))),
        (["optical"], ExpertPruning(0.5), ((0, 1), (0, 1), (0, 1))),
        # sums of both rows: (.4 .8 .2 .6), (.9 .2 .2 .7), (.7 .3 .8 .2)
        (["optical", "sar_complex"], ExpertPruning(0.5), ((1, 3), (0, 3), (0, 2))),
        # a quarter of 12 in all, of sar_complex: .7 of block 1, .6 of 2, .5 of 0, of two the first
        (["sar_complex"], ExpertPruning(0.25, "global"), ((1,), (3,), (2,))),
        # of sar_amplitude the largest are 1 in block 1, .4 and .3 in block 2
        (["sar_amplitude"], ExpertPruning(0.25, "global"), ((), (2,), (2, 3))),
        # at least one, where the share of 4 is nearer to none
        (["sar_complex"], ExpertPruning(0.01), ((1,), (3,), (2,))),
        (["sar_amplitude"], ExpertPruning(0.01, "global"), ((), (2,), ())),
    ],
)
def test_which_experts_are_kept(model, modalities, method, kept):
    """By hand, from the table of frequencies above."""
    statistics = with_frequencies(model, FREQUENCY)
    assert prune_model(model, method, modalities, statistics).config.kept_experts == kept


def test_a_pruned_model_can_be_pruned_again():
    """Numbers are those of the model that was trained: of experts 1, 2, 3 the second is 2."""
    model = make_model(kept_experts=[[1, 2, 3], [], [0, 3]])
    frequency = [[[0.2, 0.7, 0.1]] * 3, [[]] * 3, [[0.1, 0.9]] * 3]
    statistics = with_frequencies(model, frequency)
    again = prune_model(model, ExpertPruning(0.34), ["optical"], statistics)
    assert again.config.kept_experts == ((2,), (), (3,))
    old, new = model.blocks()[0].ffn.experts, again.blocks()[0].ffn.experts
    assert torch.equal(new.w1[4], old.w1[12 + 1])  # after 4 specialized of each; the second
    assert all(m.isfinite().all() for m in features(again, "optical"))


@given(
    frequencies=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5),
    keep=st.floats(0.01, 1),
)
@settings(max_examples=60)
def test_what_is_kept_is_more_frequent_than_what_is_not(frequencies, keep):
    """In its block, or in all; as many as the share to the nearest, and at least one."""
    rows = [torch.tensor(row, dtype=torch.float64) for row in frequencies]
    numbers = [(0, 1, 2, 3)] * len(rows)

    def sides(kept, blocks):
        ours = [rows[b][n].item() for b in blocks for n in kept[b]]
        gone = [rows[b][n].item() for b in blocks for n in range(4) if n not in kept[b]]
        return ours, gone

    def count(total):
        return max(1, int(keep * total + 0.5))

    local = most_frequent(rows, numbers, keep, "layer")
    for block in range(len(rows)):
        ours, gone = sides(local, [block])
        assert len(ours) == count(4)
        assert not gone or min(ours) >= max(gone)
    ours, gone = sides(most_frequent(rows, numbers, keep, "global"), range(len(rows)))
    assert len(ours) == count(4 * len(rows))
    assert not gone or min(ours) >= max(gone)


@pytest.mark.slow
def test_parameters_of_giant_pruned():
    """Sub-model 6.534 B (9 experts a block), EP at a quarter 4.482 B (6), in closed form.

    A global quarter is 24 experts of 96: in the six narrowest blocks whole (two of 448, two of 896,
    two of 1792) it is the least, 4.068 B; in the six widest (4 of 1792, 2 of 3584) the most,
    5.031 B: an expert of width C has 8 C^2 + 5 C weights.
    """
    config = PRESETS["giant"].replace(modalities=("optical",))
    shape = (config.embed_dim, config.depths, config.num_heads)

    def total(method, first: int = 0) -> int:
        """With all four experts of the blocks from `first` on preferred to any other."""
        frequency = [[[float(block >= first)] * 4] for block in range(24)]
        statistics = frequencies_of(config, frequency)
        return describe(method.config(config, statistics))["parameters"]["total"]

    assert total(SubModel()) == parameters_by_hand(*shape, 9, 8, (3,))
    assert total(SubModel()) == pytest.approx(6.534e9, rel=1e-3)
    by_layer = total(ExpertPruning(0.25))
    assert by_layer == parameters_by_hand(*shape, 6, 8, (3,))
    assert by_layer == pytest.approx(4.482e9, rel=1e-3)

    without = parameters_by_hand(*shape, 5, 8, (3,))

    def experts(widths):
        return sum(4 * (8 * c**2 + 5 * c) for c in widths)

    widest = total(ExpertPruning(0.25, "global"), first=18)
    assert widest == without + experts([1792] * 4 + [3584] * 2)
    assert widest == pytest.approx(5.031e9, rel=1e-3)
    least = without + experts([448] * 2 + [896] * 2 + [1792] * 2)
    assert least == pytest.approx(4.068e9, rel=1e-3)
    narrowest = [tuple(range(4)) if b < 6 else () for b in range(24)]
    found = describe(config.replace(kept_experts=narrowest))["parameters"]["total"]
    assert found == least


class TestRefusals:
    def test_a_modality_that_the_model_lacks(self, model):
        with pytest.raises(ConfigError, match="no modality 'thermal': it has optical, sar_complex"):
            prune_model(model, SubModel(), ["thermal"])

    def test_no_statistics(self, model):
        with pytest.raises(ConfigError, match="'ep' needs statistics"):
            prune_model(model, ExpertPruning())

    def test_statistics_of_other_weights(self, model):
        with pytest.raises(StatisticsError, match="measured on other weights"):
            other = make_model(residual_scale=0.5)
            with torch.no_grad():
                other.blocks()[0].norm1.weight += 1
            prune_model(other, ExpertPruning(), statistics=with_frequencies(model, FREQUENCY))

    @pytest.mark.parametrize("keep", [0, -0.5, 1.01, float("nan")])
    def test_a_share_that_is_none(self, keep):
        with pytest.raises(ConfigError, match="keep must be a share over 0, at most 1"):
            ExpertPruning(keep)

    def test_no_collaborative_experts(self):
        model = make_model(collaborative_experts=0)
        with pytest.raises(ConfigError, match="no collaborative experts"):
            prune_model(model, ExpertPruning(), statistics=with_frequencies(model, [[[]] * 3] * 3))
