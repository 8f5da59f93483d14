"""The spectral stem: kernels from what channels are, so that a sensor never seen works."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from tests.models.samples import SMALL, counted_flops, difference, observe, randomise, small_model
from torch import nn

from ringmoe.archive import Batch
from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.models import PRESETS, describe, load_model, save_model
from ringmoe.models.channel_features import Description, channel_features, describe_channel
from ringmoe.models.spectral_stem import SpectralStem
from ringmoe.observation import Observation
from ringmoe.pretraining import MaskedModelling
from ringmoe.pretraining.targets import make_target
from ringmoe.sensors import MODALITIES, Channel, get_sensor
from ringmoe.training.optimizer import decayed

BANDS = get_sensor("sentinel2-l1c").channels
CPU = torch.device("cpu")


def band(wavelength: float | None, bandwidth: float | None = 10.0, **changes: object) -> Channel:
    """A band of no catalogued instrument."""
    settings = {"key": f"at {wavelength}", "wavelength_nm": wavelength, "bandwidth_nm": bandwidth}
    return replace(BANDS[0], **settings | {"name": "band", "common_name": None} | changes)


def make_stem(modality: str = "multispectral", width: int = 8) -> SpectralStem:
    stem = SpectralStem(modality, width, patch_size=4).double()
    randomise(stem)
    return stem


wavelengths = st.floats(350, 14_000)


@given(st.lists(wavelengths, min_size=1, max_size=6, unique=True), st.randoms())
def test_order_does_not_matter(found, random):
    """Channels permuted together with their descriptions are the same image: equal tokens."""
    stem = make_stem()
    channels = [band(wavelength) for wavelength in found]
    images = torch.randn(1, len(channels), 8, 8, dtype=torch.float64)
    order = random.sample(range(len(channels)), len(channels))
    permuted = stem(images[:, order], [channels[i] for i in order], 10.0)
    assert difference(permuted, stem(images, channels, 10.0)) < 1e-12


@given(wavelengths, wavelengths)
def test_a_kernel_does_not_depend_on_the_other_channels(one, other):
    """But for the rule's root: alone it is sqrt(2) times what it is in a pair."""
    stem = make_stem()
    pair, alone = stem.kernel([band(one), band(other)]), stem.kernel([band(one)])
    assert difference(pair[:, :1] * math.sqrt(2), alone) < 1e-12


@given(wavelengths)
@settings(max_examples=30)
def test_nearly_equal_wavelengths_have_nearly_equal_kernels(wavelength):
    """In a fresh stem a part in a thousand moves a kernel by under 5 %, an octave by over 20 %.

    A part in a thousand is 0.00144 octaves. The six turns of 4 and less move by
    2 pi * 0.00144 * sqrt(16 + 4 + 1 + ...) = 0.042 together, in a vector of length sqrt(8).
    """
    stem = SpectralStem("multispectral", 32, patch_size=4)
    stem.reset_parameters(torch.Generator().manual_seed(0))
    stem.requires_grad_(False)

    def change(factor: float) -> float:
        kernel, moved = (stem.kernel([band(w)]) for w in (wavelength, wavelength * factor))
        return float((moved - kernel).norm() / kernel.norm())

    assert change(1.001) < 0.05
    assert change(1e-6 + 1) < 5e-5
    assert change(2.0) > 0.2


def test_the_description_as_numbers():
    """2000 nm is one octave above 1000: an eighth, a quarter, half of a turn, then whole turns.

    50 nm is where the bandwidth's circle begins; 2560 m are 8 octaves above 10 m, at 1/32 of a
    turn each a quarter of a turn.
    """
    half = math.sqrt(0.5)
    wavelength = [half, half, 1, 0, 0, -1, 0, 1, 0, 1, 0, 1]
    (row,) = channel_features((Description(2000.0, 50.0),), 2560.0, torch.float64, CPU)
    assert row.tolist() == pytest.approx([*wavelength, 0, 1, 1, 0, *[0] * 8], abs=1e-12)
    radar = (Description(polarisation="HV", component="Q"),)
    (row,) = channel_features(radar, None, torch.float64, CPU)
    assert row.tolist() == [*[0] * 16, 0, 1, 0, 0, 0, 0, 0, 1]


def test_kernels_are_those_of_the_formula():
    """Two layers in numpy, GELU by the error function, the hidden vector centred, of length 1."""
    stem = make_stem("sar_complex")
    w1, b1, w2 = (p.detach().numpy() for p in (stem.w1, stem.b1, stem.w2))
    channels = (Description(polarisation="VV", component="I"),)
    x = channel_features(channels, 5.0, torch.float64, CPU).numpy()[0]
    hidden = w1 @ x + b1
    hidden = hidden * 0.5 * (1 + erf(hidden / math.sqrt(2)))
    hidden -= hidden.mean()
    expected = (w2 @ (hidden / np.linalg.norm(hidden))).reshape(8, 4, 4) * math.sqrt(8)
    found = stem.kernel(["VV_I"], 5.0).detach()[:, 0].numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()  # layer_norm's epsilon


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_the_expected_magnitude_is_that_of_a_named_stem(modality):
    """Entries of 0.02 for all N channels: E |kernel|^2 = 16 N 0.02^2, whatever their number n.

    Over 4096 outputs of 16 n entries the mean has a relative standard error of at most
    sqrt(2 / (4096 * 16)) = 0.6 %: 3 % is five of them.
    """
    stem = SpectralStem(modality, 4096, patch_size=4).requires_grad_(False)
    stem.reset_parameters(torch.Generator().manual_seed(0))
    vocabulary = MODALITIES[modality].vocabulary
    for count in (1, 2, len(vocabulary)):
        power = stem.kernel(vocabulary[-count:]).square().sum(dim=(1, 2, 3)).mean()
        assert float(power) == pytest.approx(16 * len(vocabulary) * 0.02**2, rel=0.03)


def test_a_name_stands_for_sentinel_2s_band():
    stem = make_stem()
    assert torch.equal(stem.kernel(["B04", "B11"]), stem.kernel([BANDS[3], BANDS[11]]))
    rgb = describe_channel("red", "optical"), describe_channel("blue", "optical")
    assert rgb == (Description(664.6, 31.0), Description(492.4, 66.0))


def test_a_channel_without_description_is_what_its_key_names():
    """Digital numbers of no known instrument have keys, and nothing else."""
    bare = get_sensor("multispectral-dn8").channel("B11")
    assert bare.wavelength_nm is None
    assert describe_channel(bare, "multispectral") == Description(1613.7, 91.0)
    bare = get_sensor("sar-amplitude-dn8").channel("unknown")
    assert describe_channel(bare, "sar_amplitude").polarisation == "unknown"


def test_a_channel_with_a_description_is_what_it_says_not_what_its_key_names():
    landsat = get_sensor("landsat8").channel("red")
    assert describe_channel(landsat, "multispectral") == Description(654.59, 37.47)


def test_the_sampling_distance_matters_and_may_be_unknown():
    stem = make_stem()
    known, coarser, unknown = (stem.kernel(["B04"], gsd) for gsd in (10.0, 60.0, None))
    assert difference(known, coarser) > 1e-3
    assert difference(known, unknown) > 1e-3
    neutral = channel_features((Description(665.0),), None, torch.float64, CPU)
    assert not neutral[0, 12:].any()  # the centre of the circles


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_every_catalogued_sensor_is_served(modality):
    stem = make_stem(modality)
    for sensor in (s for s in _catalogue() if s.modality == modality):
        channels = sensor.stem_channels()
        kernel = stem.kernel(channels, sensor.gsd)
        assert kernel.shape == (8, len(channels), 4, 4) and kernel.isfinite().all()


def _catalogue():
    from ringmoe.sensors import list_sensors

    return list_sensors()


HH = replace(BANDS[0], key="HH", polarisation="HH", wavelength_nm=None)


@pytest.mark.parametrize(
    ("modality", "channel", "error", "said"),
    [
        ("multispectral", "nir", UnknownChannelError, "'nir' measures: give .*wavelength_nm"),
        ("multispectral", band(None), UnknownChannelError, "give a ringmoe.sensors.Channel"),
        ("multispectral", HH, UnknownChannelError, "'HH' measures: give .*wavelength_nm"),
        ("optical", band(0.665), ConfigError, "0.665, expected 100 to 100000: .*nanometres"),
        ("optical", band(-5.0), ConfigError, "wavelength_nm -5"),
        ("optical", band(math.nan), ConfigError, "wavelength_nm nan"),
        ("optical", band(665.0, 0.031), ConfigError, "bandwidth_nm 0.031"),
        ("sar_amplitude", band(665.0), UnknownChannelError, "Channel with its polarisation"),
        ("sar_amplitude", replace(HH, polarisation="RH"), UnknownChannelError, "polarisation 'RH'"),
        ("sar_amplitude", replace(HH, component="I"), UnknownChannelError, "expected amplitude"),
        ("sar_complex", HH, UnknownChannelError, "expected I or Q: Channel.split"),
    ],
)
def test_nonsense_is_refused_in_one_line(modality, channel, error, said):
    for call in (make_stem(modality).kernel, make_stem(modality).resolve):
        with pytest.raises(error, match=said) as caught:
            call([channel])
        assert "\n" not in str(caught.value)


def test_no_channel_and_no_distance_are_refused():
    with pytest.raises(UnknownChannelError, match="at least one"):
        make_stem().resolve([])
    for gsd in (0.0, -10.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="gsd must be a positive number of metres"):
            make_stem().kernel(["B04"], gsd)


class TestModel:
    """A whole model with the one word changed."""

    NEW = (band(1234.0), band(560.0, None), BANDS[3])

    def new_bands(self, gsd: float | None = 30.0) -> Observation:
        images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
        return Observation(images, "multispectral", self.NEW, gsd=gsd)

    @torch.no_grad()
    def test_a_band_set_never_seen_works(self):
        model = small_model(stem="spectral")
        for gsd in (30.0, None):
            observation = self.new_bands(gsd)
            pyramid = model([observation])[0]
            view = model.view("multispectral", self.NEW, gsd)
            for level, same in zip(pyramid, view(observation.images), strict=True):
                assert level.isfinite().all() and torch.equal(level, same)

    def test_a_named_stem_refuses_it(self):
        with pytest.raises(UnknownChannelError, match=r"no channel 'at 1234\.0', 'at 560\.0'"):
            small_model()([self.new_bands()])
        with pytest.raises(UnknownChannelError, match=r"no channel 'at 1234\.0'"):
            small_model().view("multispectral", self.NEW)

    def test_pretraining_has_no_target_for_it(self):
        for name in ("reflectance", "reflectance+angle"):
            with pytest.raises(UnknownChannelError, match=r"target .* at 1234\.0"):
                make_target("multispectral", name).rows([c.key for c in self.NEW])

    def test_pretraining_reaches_every_weight_of_the_stems(self):
        """One step on all modalities, one of them without a sampling distance."""
        model = small_model(stem="spectral", dtype=torch.float32)
        objective = MaskedModelling(model, mask_unit=16)
        batches = []
        for name in SMALL.modalities:
            sensor = get_sensor(f"simulated-{name.replace('_', '-')}")
            channels = sensor.stem_channels()
            images = torch.randn(2, len(channels), 64, 64)
            gsd = None if name == "optical" else 10.0
            observation = Observation(images, name, channels, gsd=gsd)
            scale = torch.tensor([c.std for c in channels])
            batches.append(Batch(observation, scale, ("", ""), name, (0, 1), (0, 1)))
        inputs, counts = objective.prepare(batches)
        objective.loss(objective(inputs), counts)["loss"].backward()
        for name, parameter in model.stems.named_parameters():
            gradient = parameter.grad
            assert gradient is not None and gradient.isfinite().all() and gradient.any(), name

    @torch.no_grad()
    def test_a_checkpoint_gives_it_back(self, tmp_path):
        model = small_model(stem="spectral", dtype=torch.float32)
        save_model(model, tmp_path / "checkpoint")
        config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
        assert config["model"]["stem"] == "spectral"
        image = observe("multispectral", dtype=torch.float32)
        expected = model([image])[0]
        whole = load_model(tmp_path / "checkpoint")
        part = load_model(tmp_path / "checkpoint", modalities=["multispectral"])
        assert all(map(torch.equal, whole([image])[0], expected))
        # of one modality alone the routers' products have another shape, and round otherwise
        assert max(map(difference, part([image])[0], expected)) < 1e-5

    def test_a_config_without_the_word_is_of_named_stems(self, tmp_path):
        """Checkpoints of earlier versions do not have it."""
        save_model(small_model(dtype=torch.float32), tmp_path / "checkpoint")
        file = tmp_path / "checkpoint" / "config.json"
        config = json.loads(file.read_text())
        assert config["model"].pop("stem") == "named"
        file.write_text(json.dumps(config))
        assert load_model(tmp_path / "checkpoint").config.stem == "named"

    def test_another_word_is_refused(self):
        with pytest.raises(ConfigError, match="stem must be 'named' or 'spectral', got 'dofa'"):
            PRESETS["nano"].replace(stem="dofa")

    @pytest.mark.parametrize("name", ["nano", "giant"])
    def test_parameters_by_the_closed_form(self, name):
        """24 numbers to 64 hidden ones with bias, 64 to 16 weights a width; bias, norm (2)."""
        config = PRESETS[name]
        width = config.embed_dim
        own = 64 * 24 + 64 + 16 * width * 64 + 3 * width
        found = describe(config.replace(stem="spectral"))["parameters"]
        assert found["parts"]["stems"] == 4 * own
        named = describe(config)["parameters"]
        stem = 16 * width * 3 + 3 * width
        assert found["sub_models"]["optical"] - named["sub_models"]["optical"] == own - stem
        assert found["active"] - named["active"] == own - stem

    def test_flops_but_for_the_kernels_are_what_torch_counts(self):
        """The kernels' own products do not grow with the batch, so `describe` leaves them out.

        They are two of 3 channels: 24 to 64, and 64 to 16 weights of width 8.
        """
        dense = {"stem": "spectral", "specialized_experts": 0, "collaborative_experts": 0}
        config = SMALL.replace(**dense)
        model = small_model(dtype=torch.float32, **dense)
        observation = observe("optical", dtype=torch.float32)
        kernels = 2 * 3 * (24 * 64 + 64 * 16 * 8)
        found = counted_flops(model, observation)
        assert describe(config)["flops_per_image"]["total"] + kernels == found


def test_gradients_are_those_of_finite_differences():
    stem = make_stem("optical", width=2)
    images = torch.randn(1, 2, 4, 8, dtype=torch.float64, requires_grad=True)
    channels = (band(500.0), band(900.0))

    def tokens(images, *parameters):
        names = dict(zip(("w1", "b1", "w2", "bias"), parameters, strict=True))
        return torch.func.functional_call(stem, names, (images, channels, 10.0))

    inputs = (images, stem.w1, stem.b1, stem.w2, stem.bias)
    assert torch.autograd.gradcheck(tokens, inputs, fast_mode=True)


def test_matrices_are_decayed_offsets_and_norms_are_not():
    assert decayed(make_stem()) == {"w1", "w2"}


def test_bfloat16_and_autocast_round_kernels_not_wavelengths():
    """Bands 0.3 % apart: bfloat16's 8 bits would not hold the difference of their angles.

    Descriptions and kernels are computed in float32; rounding the weights and the result to
    8 bits leaves 1 % of the largest entry.
    """
    stem = SpectralStem("multispectral", 32, patch_size=4)
    stem.reset_parameters(torch.Generator().manual_seed(0))
    channels = (band(1000.0), band(1003.0))
    exact = stem.kernel(channels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(stem.kernel(channels), exact)
    rounded = stem.bfloat16().kernel(channels)
    assert rounded.dtype == torch.bfloat16
    assert difference(rounded.float(), exact) < 0.01


class Sensor(nn.Module):
    """Tokens of one sensor, as a view has them."""

    def __init__(self, stem: SpectralStem) -> None:
        super().__init__()
        self.stem, self.channels, self.gsd = stem, (band(1234.0), "B04"), 30.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stem(x, self.channels, self.gsd)


@torch.no_grad()
def test_it_is_exported_and_compiled_in_one_graph():
    """What the channels are is constant there: one tensor, no guard, no break."""
    sensor = Sensor(make_stem()).eval()
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    exported = torch.export.export(sensor, (x,)).module()
    compiled = torch.compile(sensor, backend="eager", fullgraph=True)
    for other in (exported, compiled):
        assert difference(other(x), sensor(x)) < 1e-12
