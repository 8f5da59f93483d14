import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models.samples import difference, randomise
from timm.layers import PatchEmbed
from torch import nn

from ringmoe.errors import UnknownChannelError
from ringmoe.models import create_model
from ringmoe.models.stem import NamedStem
from ringmoe.sensors import MODALITIES

BANDS = MODALITIES["multispectral"].vocabulary


def make_stem(modality: str = "multispectral", width: int = 16) -> NamedStem:
    stem = NamedStem(modality, width, patch_size=4).double()
    randomise(stem)
    return stem


def test_all_channels_are_timms_patch_embedding():
    stem = make_stem("optical")
    timm = PatchEmbed(
        img_size=None,
        patch_size=4,
        in_chans=3,
        embed_dim=16,
        norm_layer=nn.LayerNorm,
        output_fmt="NHWC",
    ).double()
    timm.proj.load_state_dict({"weight": stem.weight, "bias": stem.bias})
    timm.norm.load_state_dict(stem.norm.state_dict())
    images = torch.randn(2, 3, 32, 64, dtype=torch.float64)
    assert difference(stem(images, ("red", "green", "blue")), timm(images)) < 1e-12


@given(order=st.permutations(range(13)), count=st.integers(1, 13))
def test_channels_are_found_by_name_not_by_place(order, count):
    """The same named channels in another order are the same image: equal features."""
    stem = make_stem()
    chosen = sorted(order[:count])
    images = torch.randn(1, count, 8, 8, dtype=torch.float64)
    shuffled = [chosen.index(band) for band in order[:count]]
    straight = stem(images, [BANDS[band] for band in chosen])
    permuted = stem(images[:, shuffled], [BANDS[band] for band in order[:count]])
    assert difference(permuted, straight) < 1e-12


def test_a_subset_has_its_channels_kernels_times_the_root_of_all_over_present():
    """Two of thirteen bands: the slices of those two, times sqrt(13 / 2) = 2.549510."""
    stem = make_stem()
    kernel = stem.kernel(("B08", "B04"))
    assert torch.allclose(kernel[:, 0], 2.549510 * stem.weight[:, BANDS.index("B08")], rtol=1e-6)
    assert torch.allclose(kernel[:, 1], 2.549510 * stem.weight[:, BANDS.index("B04")], rtol=1e-6)


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_the_expected_magnitude_is_kept_with_any_number_of_channels(modality):
    """Independent normalised channels: E of a squared output is the kernel's squared length.

    For x with unit covariance, E (k . x)^2 = |k|^2. A kernel of N channels whose entries have
    variance s^2 has |k|^2 = 16 N s^2 in the mean; n of them times N / n (the square of the rule's
    root) the same. Over 4096 outputs of 16 n entries, the mean of |k|^2 has a relative standard
    error of sqrt(2 / (4096 * 16)) = 0.6 % or less: 3 % is five of them.
    """
    stem = NamedStem(modality, 4096, patch_size=4)
    stem.reset_parameters(torch.Generator().manual_seed(0))
    stem.requires_grad_(False)
    vocabulary = MODALITIES[modality].vocabulary

    def power(channels: tuple[str, ...]) -> float:
        return float(stem.kernel(channels).square().sum(dim=(1, 2, 3)).mean())

    for count in range(1, len(vocabulary) + 1):
        assert power(vocabulary[-count:]) == pytest.approx(power(vocabulary), rel=0.03)


def test_output_variance_of_noise_is_that_of_all_channels():
    """The same, measured on images: white noise of 3 bands and of 13, before the norm."""
    stem = NamedStem("multispectral", 256, patch_size=4)
    stem.reset_parameters(torch.Generator().manual_seed(0))
    stem.norm = nn.Identity()
    generator = torch.Generator().manual_seed(1)

    def spread(channels: tuple[str, ...]) -> float:
        images = torch.randn(4, len(channels), 64, 64, generator=generator)
        with torch.no_grad():
            return float(stem(images, channels).std())

    assert spread(("B02", "B03", "B04")) == pytest.approx(spread(BANDS), rel=0.05)


def test_absent_channels_get_no_gradient():
    stem = make_stem()
    stem(torch.randn(1, 2, 8, 8, dtype=torch.float64), ("B02", "B11")).square().sum().backward()
    touched = stem.weight.grad.abs().sum(dim=(0, 2, 3)) > 0
    assert [BANDS[i] for i in touched.nonzero().flatten()] == ["B02", "B11"]


def test_an_unknown_channel_is_refused_with_the_known_ones():
    with pytest.raises(UnknownChannelError, match=r"no channel 'nir': it knows red, green, blue"):
        make_stem("optical").indices(("red", "nir"))


def test_a_repeated_channel_is_refused():
    with pytest.raises(UnknownChannelError, match="named twice in VV, VV"):
        make_stem("sar_amplitude").indices(("VV", "VV"))


def test_no_channel_is_refused():
    with pytest.raises(UnknownChannelError, match="at least one"):
        make_stem("optical").kernel(())


def test_the_first_stem_is_drawn_first_and_by_the_seed_alone():
    """The seed's first numbers are the optical kernel, the next its bias: old seeds stay good."""
    generator = torch.Generator().manual_seed(3)
    model = create_model("nano", seed=3)
    for parameter in (model.stems["optical"].weight, model.stems["optical"].bias):
        drawn = nn.init.trunc_normal_(torch.empty_like(parameter), std=0.02, generator=generator)
        assert torch.equal(parameter, drawn)


def test_the_sampling_distance_plays_no_part():
    stem = make_stem("optical")
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    rgb = ("red", "green", "blue")
    assert torch.equal(stem(images, rgb, 0.5), stem(images, rgb))
