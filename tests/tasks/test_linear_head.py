"""Pooling for classification."""

import torch
from tests.tasks.pyramids import SIZE, TASKS, head_of, pyramid
from torch.nn import functional as F
from torch.testing import assert_close


def half_valid() -> torch.Tensor:
    """The left third of the image holds data: at strides 4 to 32 these are whole cells."""
    valid = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    valid[..., :32] = True
    return valid


def test_last_pooling_is_norm_mean_and_linear():
    head = head_of(TASKS["classification"])
    maps = pyramid(2)
    tokens = maps[-1].permute(0, 2, 3, 1)
    norm = head.norms[0]
    mean = F.layer_norm(tokens, (24,), norm.weight, norm.bias, norm.eps).mean(dim=(1, 2))
    assert_close(head([maps], SIZE), F.linear(mean, head.classify.weight, head.classify.bias))


def test_pooling_all_maps_is_that_of_the_valid_part_alone():
    """Cut out the valid third and pool without a mask: the same scores, by means and deviations."""
    for name in ("classification", "classification-all"):
        head = head_of(TASKS[name])
        maps = pyramid(2)
        cut = [level[..., : level.shape[-1] // 3] for level in maps]
        assert_close(head([maps], SIZE, half_valid()), head([cut], (64, 32)))


def test_cells_without_data_do_not_count():
    """Whatever the backbone made of them."""
    head = head_of(TASKS["classification-all"])
    maps, other = pyramid(2), pyramid(2, seed=5)
    valid = half_valid()
    mixed = [
        torch.where(torch.arange(a.shape[-1]) < a.shape[-1] // 3, a, b)
        for a, b in zip(maps, other, strict=True)
    ]
    assert_close(head([mixed], SIZE, valid), head([maps], SIZE, valid))
    assert (head([mixed], SIZE) - head([maps], SIZE)).abs().max() > 1e-2
    nothing = torch.zeros_like(valid)
    assert head([maps], SIZE, nothing).isfinite().all()
