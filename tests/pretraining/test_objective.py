"""The objective against closed forms, on batches made by hand."""

import math

import pytest
import torch

from ringmoe.archive import Batch
from ringmoe.errors import ConfigError
from ringmoe.models import create_model
from ringmoe.observation import Observation
from ringmoe.pretraining import MaskedModelling
from ringmoe.sensors import get_sensor

SENSORS = {
    "optical": "simulated-optical",
    "multispectral": "simulated-multispectral",
    "sar_complex": "simulated-sar-complex",
    "sar_amplitude": "simulated-sar-amplitude",
}


def make_batch(modality, images, valid=None, first=0):
    """A batch of normalised images as a loader would give it."""
    channels = get_sensor(SENSORS[modality]).stem_channels()
    count = len(images)
    return Batch(
        observation=Observation(images, modality, channels, valid),
        scale=torch.tensor([channel.std for channel in channels]),
        provenance=tuple(f"file-{n}" for n in range(count)),
        stream=SENSORS[modality],
        positions=tuple(range(first, first + count)),
        tiles=tuple(range(count)),
    )


def make_objective(modalities=("optical", "sar_amplitude"), model=None, **settings):
    shape = {"image_size": 64, "embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)}
    shape |= {"window_size": 4} | (model or {})
    settings = {"mask_unit": 16, "balance_weight": 0.0} | settings
    net = create_model("nano", modalities=modalities, seed=0, **shape)
    return MaskedModelling(net, **settings)


def blind(objective, value=0.0):
    """Make every decoder answer `value`, whatever it sees."""
    for decoder in objective.decoders.values():
        torch.nn.init.zeros_(decoder.weight)
        torch.nn.init.constant_(decoder.bias, value)
    return objective


def terms_of(objective, batches):
    inputs, counts = objective.prepare(batches)
    return objective.loss(objective(inputs), counts)


def test_loss_of_a_known_error():
    """Optical is 0.75 everywhere, amplitude -1; the answer is always 0.25: errors 0.5 and 1.25.

    Two optical images and one amplitude image: the modalities weigh alike, the mean is 0.875.
    """
    objective = blind(make_objective(), 0.25)
    batches = [
        make_batch("optical", torch.full((2, 3, 64, 64), 0.75)),
        make_batch("sar_amplitude", torch.full((1, 4, 64, 64), -1.0)),
    ]
    terms = terms_of(objective, batches)
    assert terms["reconstruction/optical"].item() == pytest.approx(0.5)
    assert terms["reconstruction/sar_amplitude"].item() == pytest.approx(1.25)
    assert terms["loss"].item() == pytest.approx(0.875)


def test_only_hidden_pixels_count():
    """What is visible is 100 off, what is hidden 2 off: the loss is 2."""
    objective = blind(make_objective())
    hidden = objective.mask_batch(make_batch("optical", torch.zeros(3, 3, 64, 64))).counted
    assert hidden.flatten(1).sum(1).tolist() == [10 * 16 * 16] * 3  # 0.6 of 16 units: 10
    images = torch.where(hidden[:, None], 2.0, 100.0).expand(3, 3, 64, 64)
    terms = terms_of(objective, [make_batch("optical", images)])
    assert terms["loss"].item() == pytest.approx(2.0)


def test_pixels_without_data_carry_no_loss():
    """Where there are data the error is 3, elsewhere 1000; an image without data counts nothing."""
    objective = blind(make_objective())
    valid = torch.ones(3, 1, 64, 64, dtype=torch.bool)
    valid[0, :, :40, 20:] = False
    valid[1] = False
    images = torch.where(valid, 3.0, 1000.0).expand(3, 3, 64, 64)
    terms = terms_of(objective, [make_batch("optical", images, valid)])
    assert terms["loss"].item() == pytest.approx(3.0)


def test_no_data_anywhere_is_zero_loss_and_zero_gradient():
    objective = make_objective()
    images = torch.zeros(2, 3, 64, 64)
    valid = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    terms = terms_of(objective, [make_batch("optical", images, valid)])
    assert terms["loss"].item() == 0
    terms["loss"].backward()
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)


def test_tiles_without_data_do_not_blow_up_the_first_gradient():
    """Tokens of exactly 0 would: the norm was 2e11 with half of one image gone, 30 without."""

    def norm(gone: int) -> float:
        objective = make_objective(("optical",), balance_weight=0.01)
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        valid = torch.ones(2, 1, 64, 64, dtype=torch.bool)
        valid[0, :, :gone] = False
        batch = make_batch("optical", torch.where(valid, images, 0.0), valid)
        terms_of(objective, [batch])["loss"].backward()
        gradients = [p.grad.norm() for p in objective.parameters() if p.grad is not None]
        return float(torch.stack(gradients).norm())

    assert max(norm(32), norm(64)) < 3 * norm(0)


def test_a_modality_that_is_absent_has_no_part_in_the_mean():
    objective = blind(make_objective())
    terms = terms_of(objective, [make_batch("optical", torch.full((1, 3, 64, 64), 2.0))])
    assert terms["loss"].item() == pytest.approx(2.0)
    assert math.isnan(terms["reconstruction/sar_amplitude"].item())


def test_the_balance_loss_of_each_router_is_weighted_and_added():
    """Optical alone uses two routers a block: its own and the collaborative one."""
    objective = make_objective(balance_weight=0.5)
    generator = torch.Generator().manual_seed(0)
    terms = terms_of(
        objective, [make_batch("optical", torch.randn(2, 3, 64, 64, generator=generator))]
    )
    assert 1 <= terms["balance"].item() <= 4
    routers = 2 * len(objective.model.blocks())
    expected = terms["reconstruction"] + 0.5 * routers * terms["balance"]
    torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize("gate", ["softmax", "unit"])
def test_the_router_learns_from_reconstruction_unless_the_gate_is_one(gate):
    """With the balance loss off: the released code's gate of 1 gives the router no gradient."""
    objective = make_objective(model={"gate": gate})
    generator = torch.Generator().manual_seed(0)
    batches = [
        make_batch("optical", torch.randn(2, 3, 64, 64, generator=generator)),
        make_batch("sar_amplitude", torch.randn(2, 4, 64, 64, generator=generator)),
    ]
    terms_of(objective, batches)["loss"].backward()
    for block in objective.model.blocks():
        gradient = block.ffn.router.weight.grad
        rows = (
            torch.zeros(len(block.ffn.router.weight)) if gradient is None else gradient.norm(dim=1)
        )
        # rows: 4 optical, 4 amplitude, 4 collaborative experts
        for branch in rows.split(4):
            assert (branch.sum() > 0) == (gate == "softmax")


def test_every_target_gives_a_finite_loss_and_gradient():
    from ringmoe.pretraining import TARGETS

    generator = torch.Generator().manual_seed(0)
    sizes = {m: len(get_sensor(name).stem_channels()) for m, name in SENSORS.items()}
    batches = [
        make_batch(m, torch.randn(1, c, 64, 64, generator=generator)) for m, c in sizes.items()
    ]
    for number in range(3):
        targets = {m: names[min(number, len(names) - 1)] for m, names in TARGETS.items()}
        objective = make_objective(tuple(SENSORS), targets=targets)
        loss = terms_of(objective, batches)["loss"]
        loss.backward()
        assert 0.1 < loss.item() < 10
        assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


def test_an_images_part_does_not_depend_on_its_batch():
    """Sums over two images together are the sums of each alone (float64, to 1e-10)."""
    objective = make_objective().double()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    together = objective(objective.prepare([make_batch("optical", images)])[0])
    alone = [
        objective(objective.prepare([make_batch("optical", images[n : n + 1], first=n)])[0])
        for n in range(2)
    ]
    for key, value in together.items():
        torch.testing.assert_close(value, alone[0][key] + alone[1][key], rtol=1e-10, atol=1e-10)


def test_provenance_points_at_the_bad_tile():
    images = torch.zeros(2, 3, 64, 64)
    images[1, 0, 5, 5] = math.nan
    found = make_objective().provenance([make_batch("optical", images)])
    assert found == [
        {"modality": "optical", "tiles": ["file-0", "file-1"], "finite": [True, False]}
    ]


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="mask_unit: expected a multiple of 4 pixels, got 6"):
        make_objective(mask_unit=6)
