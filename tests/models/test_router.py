import math

import pytest
import torch

from ringmoe.models.router import Router


def make_router(gate: str = "softmax", specialized: int = 2, collaborative: int = 3) -> Router:
    """Two modalities on tokens of two channels; rows 0-1 and 2-3 theirs, then the shared ones."""
    router = Router(2, 2, specialized, collaborative, gate).double()
    rows = [[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [2.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    if not specialized:
        rows = rows[4:]
    with torch.no_grad():
        router.weight.copy_(torch.tensor(rows[: len(router.weight)], dtype=torch.float64))
    return router


def test_a_token_reads_its_own_modalitys_rows_and_the_shared_ones():
    """The token (1, 0), by hand.

    Modality 0: logits (1, 0), expert 0 with e / (e + 1) = 0.731059. Modality 1: logits (0, 2),
    its expert 1, which is number 3 of the stack, with e^2 / (e^2 + 1) = 0.880797. Both:
    collaborative logits (1, -1, 0), the first of them, number 4, with
    e / (e + 1/e + 1) = 0.665241.
    """
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    routing = make_router()(x, [(0, 1), (1, 1)])
    assert routing.experts.tolist() == [[0, 3], [4, 4]]
    expected = torch.tensor([[0.731059, 0.880797], [0.665241, 0.665241]], dtype=torch.float64)
    assert torch.allclose(routing.gates, expected, atol=1e-6)


def test_the_unit_gate_multiplies_by_nothing_and_chooses_the_same():
    x = torch.randn(7, 2, dtype=torch.float64)
    spans = [(1, 3), (0, 4)]
    unit, softmax = make_router("unit")(x, spans), make_router()(x, spans)
    assert unit.gates is None
    assert torch.equal(unit.experts, softmax.experts)


def test_loads_are_sums_over_each_modalitys_tokens():
    """Tokens (1, 0), (0, 1) of modality 0: their probabilities swap, so both sums are 1."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    loads = make_router()(x, [(0, 2), (1, 1)], collect=True).loads
    by_name = {(branch, modality): (p, c) for branch, modality, p, c in loads}
    assert len(by_name) == 4
    p, c = by_name["specialized", 0]
    assert torch.allclose(p, torch.ones(2, dtype=torch.float64))
    assert c.tolist() == [1, 1]
    p, c = by_name["collaborative", 1]  # token (0, 1): logits (1, 0, -1)
    total = math.e + 1 + 1 / math.e
    assert p.tolist() == pytest.approx([math.e / total, 1 / total, 1 / math.e / total])
    assert c.tolist() == [1, 0, 0]


def test_loads_are_differentiable_and_counts_are_not():
    router = make_router()
    loads = router(torch.randn(5, 2, dtype=torch.float64), [(0, 5)], collect=True).loads
    _, _, probability, chosen = loads[0]
    assert not chosen.requires_grad
    probability[0].backward()
    assert router.weight.grad.abs().max() > 0


def test_a_branch_may_be_absent():
    x = torch.randn(4, 2, dtype=torch.float64)
    assert make_router(collaborative=0)(x, [(1, 4)]).experts.shape == (1, 4)
    only_shared = make_router(specialized=0)(x, [(0, 2), (1, 2)])
    assert only_shared.experts.shape == (1, 4)
    assert int(only_shared.experts.max()) < 3


def test_logits_are_float32_for_bfloat16_tokens():
    """Two rows that differ by less than bfloat16 can tell (2^-9 of 1) still make a choice."""
    router = Router(2, 1, 2, 0, "softmax")
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[1.0, 0.0], [1.001, 0.0]]))
    x = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        routing = router(x, [(0, 1)])
    assert routing.experts.tolist() == [[1]]
    assert routing.gates.dtype == torch.float32
