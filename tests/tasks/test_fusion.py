"""Fusion of modalities."""

import pytest
import torch
from tests.tasks.pyramids import WIDTHS, pyramid
from torch.testing import assert_close

from ringmoe.errors import ConfigError
from ringmoe.tasks import Fusion

MODALITIES = ("optical", "multispectral", "sar_amplitude")


@pytest.fixture
def fusion() -> Fusion:
    torch.manual_seed(0)
    module = Fusion(WIDTHS, MODALITIES).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def given() -> dict[str, list[torch.Tensor]]:
    return {name: pyramid(2, seed) for seed, name in enumerate(MODALITIES)}


def test_an_absent_modality_leaves_the_mean_over_the_others(fusion):
    """Each projection is linear in its input, so it can be found with the modality alone."""
    maps = given()
    alone = {name: fusion({name: maps[name]}) for name in MODALITIES}
    del maps["multispectral"]
    for level, fused in enumerate(fusion(maps)):
        expected = (alone["optical"][level] + alone["sar_amplitude"][level]) / 2
        assert_close(fused, expected)


def test_images_of_a_batch_may_lack_different_modalities(fusion):
    """Each gets what it gets by itself with the modalities it has; with all, if it has none."""
    maps = given()
    has = {"optical": [True, False], "sar_amplitude": [True, True], "multispectral": [False, True]}
    fused = fusion(maps, {name: torch.tensor(there) for name, there in has.items()})
    for number in range(2):
        own = {n: [m[number : number + 1] for m in maps[n]] for n in maps if has[n][number]}
        for level, alone in zip(fused, fusion(own), strict=True):
            assert_close(level[number : number + 1], alone)
    none = dict.fromkeys(MODALITIES, torch.zeros(2, dtype=torch.bool))
    for level, all_ in zip(fusion(maps, none), fusion(maps), strict=True):
        assert_close(level, all_)


def test_a_projection_is_a_matrix_at_each_position(fusion):
    maps = given()["optical"]
    for fused, level, layer in zip(
        fusion({"optical": maps}), maps, fusion.projections["optical"], strict=True
    ):
        matrix = layer.weight[:, :, 0, 0]
        expected = torch.einsum("oc,bchw->bohw", matrix, level) + layer.bias[:, None, None]
        assert_close(fused, expected)


def test_the_order_of_the_modalities_has_no_effect(fusion):
    maps = given()
    backward = dict(reversed(maps.items()))
    for one, other in zip(fusion(maps), fusion(backward), strict=True):
        assert torch.equal(one, other)


def test_gradients_reach_all_modalities_and_projections(fusion):
    maps = {name: [m.requires_grad_() for m in levels] for name, levels in given().items()}
    sum(level.square().sum() for level in fusion(maps)).backward()
    assert all(p.grad is not None and p.grad.any() for p in fusion.parameters())
    assert all(m.grad.any() for levels in maps.values() for m in levels)


def test_before_training_fused_maps_are_the_mean():
    maps = given()
    for fused, *levels in zip(
        Fusion(WIDTHS, MODALITIES).double()(maps), *maps.values(), strict=True
    ):
        assert_close(fused, torch.stack(levels).mean(dim=0))


@pytest.mark.parametrize("names", [(), ("optical", "sar_complex")])
def test_no_or_an_unknown_modality_is_refused(fusion, names):
    with pytest.raises(ConfigError, match="expected one or more of optical"):
        fusion({name: pyramid(1) for name in names})
