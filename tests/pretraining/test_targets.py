"""Targets against closed forms."""

import math

import numpy as np
import pytest
import torch

from ringmoe.errors import ConfigError
from ringmoe.pretraining.targets import (
    LOG_POWER_FLOOR,
    TARGETS,
    Pixels,
    log_power,
    make_target,
    relative_power,
    total_power,
)
from ringmoe.sensors import get_sensor, normalise


def pixels_of(sensor, values, channels=None, valid=None, unit=4):
    """Calibrated values `(C, H, W)` of a sensor as targets see them: one image."""
    chosen = get_sensor(sensor).select(channels)
    stem = get_sensor(sensor).stem_channels(chosen)
    images = torch.from_numpy(normalise(values, chosen))[None]
    if valid is None:
        valid = torch.ones(1, 1, *images.shape[2:], dtype=torch.bool)
    return Pixels(images, torch.tensor([c.std for c in stem]), stem, valid, unit)


S = np.array([3 + 4j, 1 - 1j, 2j, 0.5], np.complex64)  # HH, HV, VH, VV


def test_power_of_a_known_scattering_matrix():
    """|3+4i|^2 + |1-i|^2 + |2i|^2 + |0.5|^2 = 25 + 2 + 4 + 0.25 = 31.25."""
    values = np.broadcast_to(S[:, None, None], (4, 8, 8))
    pixels = pixels_of("simulated-sar-complex", values)
    power = total_power(pixels)
    assert power.shape == (1, 1, 8, 8)
    torch.testing.assert_close(power, torch.full_like(power, 31.25))


def test_power_of_the_polarisations_that_are_there():
    """VH and VV alone: 4 + 0.25."""
    values = np.broadcast_to(S[2:, None, None], (2, 8, 8))
    power = total_power(pixels_of("simulated-sar-complex", values, ["VH", "VV"]))
    torch.testing.assert_close(power, torch.full_like(power, 4.25))


def test_power_is_conserved_when_the_basis_turns():
    """U S U^T with U unitary: here to the circular basis. The span is the Frobenius norm."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(64, 2, 2)) + 1j * rng.normal(size=(64, 2, 2))
    unitary = np.array([[1, 1j], [1j, 1]]) / math.sqrt(2)
    turned = unitary @ matrix @ unitary.T
    powers = [
        total_power(
            pixels_of(
                "simulated-sar-complex",
                m.reshape(64, 4).T.reshape(4, 8, 8).astype(np.complex64),
            )
        )
        for m in (matrix, turned)
    ]
    torch.testing.assert_close(*powers)


def test_relative_power_is_one_at_the_sensors_scale():
    """A tile whose I and Q have the sensor's standard deviation has relative power 1 on average.

    64 x 64 draws of 8 squared standard normals: mean 1, standard error sqrt(2 / 8 / 4096) = 0.008.
    """
    images = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    pixels = Pixels(images, torch.full((8,), 0.3), [""] * 8, torch.ones(1, 1, 64, 64), 4)
    assert relative_power(pixels).mean().item() == pytest.approx(1, abs=4 * 0.008)


def test_log_power_is_floored():
    zeros = pixels_of("simulated-sar-complex", np.zeros((4, 8, 8), np.complex64))
    assert log_power(zeros).unique().item() == pytest.approx(math.log(LOG_POWER_FLOOR))
    values = np.broadcast_to(S[:, None, None], (4, 8, 8))
    pixels = pixels_of("simulated-sar-complex", values)
    scale = get_sensor("simulated-sar-complex").channels[0].std
    expected = math.log(31.25 / (8 * scale**2) + LOG_POWER_FLOOR)
    assert log_power(pixels).mean().item() == pytest.approx(expected, rel=1e-5)


def test_speckle_adds_to_log_amplitude():
    """Twice the amplitude is log(2) / std more, whatever the amplitude (well above the floor)."""
    channel = get_sensor("simulated-sar-amplitude").select(["VV"])[0]
    target = make_target("sar_amplitude")
    values = np.array([[[0.5, 1.0, 2.0, 4.0]]], np.float32)
    found = target.values(pixels_of("simulated-sar-amplitude", values, ["VV"]))
    steps = found[0, 0, 0].diff()
    assert steps.tolist() == pytest.approx([math.log(2) / channel.std] * 3, rel=0.01)


def test_plain_amplitude_is_proportional_to_amplitude():
    """Ratios of amplitudes (with their floor) come back: 1 to 2 to 3."""
    floor = get_sensor("simulated-sar-amplitude").select(["HH"])[0].log_floor
    values = np.array([[[0.5, 1.0, 1.5, 2.0]]], np.float32) - np.float32(floor)
    pixels = pixels_of("simulated-sar-amplitude", values, ["HH"])
    found = make_target("sar_amplitude", "plain").values(pixels)[0, 0, 0]
    assert (found / found[0]).tolist() == pytest.approx([1, 2, 3, 4], rel=1e-4)


def test_known_spectral_angle():
    """Two bands: (0.3, 0) against (0.3, 0.3) is 45 degrees, (0.6, 0.6) against (0.3, 0.3) none."""
    channels = get_sensor("simulated-multispectral").select(["B04", "B08"])

    def normalised(*reflectance: float) -> torch.Tensor:
        values = np.array(reflectance, np.float32).reshape(2, 1, 1)
        return torch.from_numpy(normalise(values, channels))[None]

    truth = normalised(0.3, 0.3)
    pixels = pixels_of("simulated-multispectral", np.zeros((2, 1, 1), np.float32), ["B04", "B08"])
    with_angle = make_target("multispectral", "reflectance+angle").error
    plain = make_target("multispectral", "reflectance").error
    for prediction, angle in [
        (normalised(0.3, 0.0), math.pi / 4),
        (normalised(0.6, 0.6), 0.0),
        (truth, 0.0),
    ]:
        prediction.requires_grad_()
        found = with_angle(prediction, truth, pixels) - plain(prediction, truth, pixels)
        assert found.item() == pytest.approx(angle, abs=1e-3)
        found.sum().backward()
        assert prediction.grad.isfinite().all()


def test_the_angle_needs_the_channels_means():
    pixels = Pixels(
        torch.zeros(1, 2, 4, 4), torch.ones(2), ["B04", "B08"], torch.ones(1, 1, 4, 4), 4
    )
    with pytest.raises(ConfigError, match="Channel objects"):
        make_target("multispectral", "reflectance+angle").error(
            pixels.images, pixels.images, pixels
        )


def test_patch_normalised_ignores_pixels_without_data():
    """Per 4 x 4 unit: mean 0 and variance 1 over valid pixels, whatever stands in the others."""
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 5 + 3
    valid = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    valid[0, 0, :4, :2] = False
    valid[1, 0, 4:, 4:] = False  # a unit without any
    target = make_target("optical", "patch-normalised")
    pixels = Pixels(images, torch.ones(3), ["red", "green", "blue"], valid, 4)
    found = target.values(pixels)
    assert found.isfinite().all()
    half = found[0, :, :4, 2:4].flatten(1)
    torch.testing.assert_close(half.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(half.var(1, correction=0), torch.ones(3), rtol=1e-4, atol=0)
    disturbed = torch.where(valid, images, torch.tensor(1e3))
    again = target.values(Pixels(disturbed, torch.ones(3), [], valid, 4))
    torch.testing.assert_close(torch.where(valid, again, 0), torch.where(valid, found, 0))


def test_a_target_with_gradients_is_the_values_and_the_gradients():
    """The error is the mean of three: values off by 1, orientations by 2, strength by 6: 3."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 255, (3, 16, 16)).astype(np.float32)
    pixels = pixels_of("rgb-dn8", values)
    target = make_target("optical", "reflectance+gradients")
    found = target.values(pixels)
    assert found.shape == (1, len(target.channels), 16, 16)
    torch.testing.assert_close(found[:, :3], pixels.images)
    off = torch.tensor([1.0] * 3 + [2.0] * 8 + [6.0])[:, None, None]
    error = target.error(found + off, found, pixels)
    torch.testing.assert_close(error, torch.full((1, 16, 16), 3.0))


def test_rows_follow_the_channels_names():
    gradients = make_target("sar_amplitude", "log-amplitude+gradients")
    assert gradients.rows(["VV"]) == [gradients.channels.index("VV"), *range(5, 14)]
    assert make_target("multispectral").rows(["B08", "B02"]) == [7, 1]
    assert make_target("sar_complex").rows(["VV_I", "VV_Q"]) == [0]
    assert make_target("sar_complex", "plain").rows(["VV_I", "VV_Q"]) == [6, 7]


@pytest.mark.parametrize("modality", TARGETS)
def test_choices(modality):
    assert make_target(modality).name == TARGETS[modality][0]
    assert "plain" in TARGETS[modality]
    with pytest.raises(ConfigError, match=f"{modality} has no target 'sharp', expected"):
        make_target(modality, "sharp")
