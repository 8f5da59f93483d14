"""The load-balance loss against its closed form."""

import pytest
import torch

from ringmoe.models import ModelConfig, RouterLoad
from ringmoe.training import balance_loss, stack_loads, total_balance

E = 4
CONFIG = ModelConfig(depths=(1,), num_heads=(1,), embed_dim=4, window_size=2, image_size=8,
                     modalities=("optical", "sar_complex"))  # fmt: skip


def test_one_at_balance_and_e_at_collapse():
    """Balance: f = p = 1/4 each, 4 * 4 / 16 = 1. Collapse: f = p = (1, 0, 0, 0), 4 * 1 = 4."""
    assert balance_loss(torch.full((E,), 10.0), torch.full((E,), 10.0)).item() == 1
    collapsed = torch.tensor([40.0, 0, 0, 0])
    assert balance_loss(collapsed, collapsed).item() == E


def test_a_known_value_in_between():
    """8 tokens: f = (1/2, 1/2, 0, 0), p = (0.4, 0.3, 0.2, 0.1): 4 * (0.2 + 0.15) = 1.4."""
    probability, chosen = torch.tensor([3.2, 2.4, 1.6, 0.8]), torch.tensor([4.0, 4, 0, 0])
    assert balance_loss(probability, chosen).item() == pytest.approx(1.4)


def test_a_router_without_tokens_has_no_loss():
    assert balance_loss(torch.zeros(E), torch.zeros(E)).item() == 0


def sums_of(optical: list[float], sar: list[float]) -> dict[str, torch.Tensor]:
    """Both branches of one block chosen alike, probabilities equal to the choices."""
    loads = [
        RouterLoad(0, branch, modality, torch.tensor(values), torch.tensor(values).long())
        for branch in ("specialized", "collaborative")
        for modality, values in (("optical", optical), ("sar_complex", sar))
        if sum(values)
    ]
    return stack_loads(loads, CONFIG, torch.zeros(()))


def test_the_collaborative_router_is_balanced_over_the_whole_batch():
    """Optical takes experts 0 and 1, SAR 2 and 3: each specialized router has 4 * 2 / 4 = 2, the
    collaborative one, over both, 1: the sum is 5.
    """
    total, mean = total_balance(sums_of([8.0, 8, 0, 0], [0.0, 0, 8, 8]), CONFIG)
    assert (total.item(), mean.item()) == (pytest.approx(5), pytest.approx(5 / 3))


def test_a_modalitys_own_routers_may_count_more():
    """As above, SAR's own router (2) three times: 2 + 6 + 1, the mean as it was."""
    sums = sums_of([8.0, 8, 0, 0], [0.0, 0, 8, 8])
    total, mean = total_balance(sums, CONFIG, {"sar_complex": 3.0})
    assert (total.item(), mean.item()) == (pytest.approx(9), pytest.approx(5 / 3))


def test_routers_without_tokens_are_left_out():
    """No SAR: a specialized router at 2 and a collaborative one at 2."""
    total, mean = total_balance(sums_of([8.0, 8, 0, 0], [0.0] * 4), CONFIG)
    assert (total.item(), mean.item()) == (4, 2)


def test_a_router_with_pruned_experts_is_balanced_over_those_kept():
    """Two of four kept and used alike: 2 * (1/4 + 1/4) = 1, as for all four."""
    pruned = CONFIG.replace(kept_experts=((1, 3),))
    half = torch.tensor([8.0, 8])
    sums = stack_loads(
        [RouterLoad(0, "collaborative", "optical", half, half.long())], pruned, torch.zeros(())
    )
    assert sums["collaborative/chosen"].shape == (2, 1, E)
    total, mean = total_balance(sums, pruned)
    assert (total.item(), mean.item()) == (1, 1)


def test_the_gradient_pushes_towards_what_is_chosen_less():
    """d loss / d p_e = E * f_e / tokens: largest for the expert that is chosen most."""
    probability = torch.full((E,), 2.0, requires_grad=True)
    balance_loss(probability, torch.tensor([5.0, 2, 1, 0])).backward()
    assert probability.grad.tolist() == pytest.approx([E * f / 8 / 8 for f in (5, 2, 1, 0)])


def test_a_dense_model_has_no_balance():
    dense = ModelConfig(specialized_experts=0, collaborative_experts=0)
    assert total_balance(stack_loads([], dense, torch.zeros(())), dense) is None
