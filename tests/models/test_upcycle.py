import pytest
import torch
from tests.models.samples import SMALL, difference, observe
from tests.models.swin_weights import draw, small_timm
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE, convert_swin, upcycle
from ringmoe.models.upcycle import gate_sum, mixing
from ringmoe.observation import Observation
from ringmoe.sensors import MODALITIES

NAMES = tuple(MODALITIES)
RGB = MODALITIES["optical"].vocabulary


def dense_model(modalities: tuple[str, ...] = NAMES) -> RingMoE:
    """Dense, in float64, every parameter drawn; scales of norms in 0.5 to 1.5."""
    shape = {"modalities": modalities, "specialized_experts": 0, "collaborative_experts": 0}
    return draw(RingMoE(SMALL.replace(**shape)).double().eval())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def worst(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> float:
    return max(difference(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("specialized", "collaborative", "gate", "total"),
    [
        (4, 4, "softmax", 1.5),  # 1 + 1/4 + 1/4
        (4, 4, "unit", 3.0),
        (2, 5, "softmax", 1.7),
        (3, 0, "softmax", 4 / 3),
        (0, 2, "unit", 2.0),
    ],
)
def test_the_function_is_the_dense_models(specialized, collaborative, gate, total):
    """Of every modality, to 1e-6 of each map's largest value, in float64."""
    dense = dense_model()
    model = upcycle(
        dense,
        specialized_experts=specialized,
        collaborative_experts=collaborative,
        gate=gate,
        noise=0,
        generator=seeded(),
    )
    assert gate_sum(model.config) == pytest.approx(total)
    assert (model.config.specialized_experts, model.config.gate) == (specialized, gate)
    observations = [observe(name) for name in NAMES]
    with torch.no_grad():
        pairs = list(zip(model(observations), dense(observations), strict=True))
    assert all(worst(ours, expected) < 1e-6 for ours, expected in pairs)


@pytest.mark.parametrize(("gate", "tolerance"), [("softmax", 1e-3), ("unit", 1e-12)])
def test_a_layer_computes_the_dense_ffn_before_the_norm(gate, tolerance):
    """The norm after a layer would hide a wrong factor: here is the layer without it.

    Softmax gates are 1/4 within the routers' small weights, so the sum is the FFN's to 1e-3.
    """
    dense = dense_model()
    model = upcycle(dense, gate=gate, noise=0, generator=seeded())
    x = torch.randn(12, 16, dtype=torch.float64)
    for ours, theirs in zip(model.blocks()[2:4], dense.blocks()[2:4], strict=True):
        y, _ = ours.ffn(x, [(0, 4), (2, 8)])
        assert difference(y, theirs.ffn(x, [(0, 12)])[0]) < tolerance


def test_experts_are_copies_divided_by_the_gates_sum():
    """4 modalities of 4 and 4 collaborative experts; 1.5 on second matrices and biases alone."""
    dense = dense_model()
    model = upcycle(dense, noise=0, generator=seeded())
    for block, source in zip(model.blocks(), dense.blocks(), strict=True):
        experts, shared, ffn = block.ffn.experts, block.ffn.shared, source.ffn.shared
        assert len(experts.w1) == 20
        for expert in range(20):
            assert torch.equal(experts.w1[expert], ffn.fc1.weight.t())
            assert torch.equal(experts.b1[expert], ffn.fc1.bias)
            assert difference(experts.w2[expert] * 1.5, ffn.fc2.weight.t()) < 1e-12
            assert difference(experts.b2[expert] * 1.5, ffn.fc2.bias) < 1e-12
        assert torch.equal(shared.fc1.weight, ffn.fc1.weight)
        assert difference(shared.fc2.weight * 1.5, ffn.fc2.weight) < 1e-12
        assert difference(shared.fc2.bias * 1.5, ffn.fc2.bias) < 1e-12
        assert 0 < float(block.ffn.router.weight.detach().abs().max()) <= 1e-3


def router_gradient(noise: float) -> float:
    """Length of the gradient of a task with respect to all routers."""
    model = upcycle(dense_model(), noise=noise, generator=seeded()).train()
    maps = [m for pyramid in model([observe(name) for name in NAMES]) for m in pyramid]
    upstream = [torch.randn(m.shape, generator=seeded(1)).double() for m in maps]
    torch.autograd.backward(maps, upstream)
    return sum(float(b.ffn.router.weight.grad.square().sum()) for b in model.blocks()) ** 0.5


def test_routers_get_a_task_gradient_from_noise_alone():
    """With equal experts a gate scales the layer's output, and the norm after it undoes that.

    The gradient through a layer norm is orthogonal to its input but for eps / variance: 1e-5 here,
    over something near 1. Experts that differ by a fraction give one of that fraction of what
    experts that have little in common give (noise 1).
    """
    apart = router_gradient(1.0)
    assert router_gradient(0.0) < 1e-4 * apart
    assert 3e-3 * apart < router_gradient(0.01) < 3e-2 * apart


def test_noise_is_relative_and_of_every_expert_its_own():
    """Std of 1 % of the rms, within 4 standard errors for 16 * 64 entries: 9 %."""
    dense = dense_model()
    noisy = upcycle(dense, noise=0.01, generator=seeded())
    exact = upcycle(dense, noise=0, generator=seeded())
    again = upcycle(dense, noise=0.01, generator=seeded()).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in noisy.state_dict().items())
    for name, tensor in noisy.state_dict().items():
        clean = exact.state_dict()[name]
        if ".ffn.experts.w" not in name:
            assert torch.equal(tensor, clean) or ".router." in name
        elif ".stages.1." in f".{name}":
            noise = (tensor - clean).flatten(1) / clean.square().mean().sqrt()
            assert torch.allclose(noise.std(dim=1), torch.tensor(0.01).double(), rtol=0.09)
            apart = torch.corrcoef(noise) - torch.eye(len(noise))
            assert apart.abs().max() < 0.2


class TestStems:
    def test_multispectral_bands_take_the_nearest_colours_kernel(self):
        """13 bands: B01, B02 blue; B03 green; B04 and longer red; each times sqrt(3 / 13)."""
        rows = mixing("multispectral") / (3 / 13) ** 0.5
        colours = ["blue", "blue", "green", *["red"] * 10]
        expected = torch.eye(3, dtype=torch.float64)[[RGB.index(colour) for colour in colours]]
        assert torch.allclose(rows, expected)

    @pytest.mark.parametrize(("modality", "count"), [("sar_amplitude", 5), ("sar_complex", 8)])
    def test_sar_channels_take_the_sum_of_all_colours(self, modality, count):
        assert torch.allclose(mixing(modality), torch.full((count, 3), count**-0.5).double())

    @pytest.mark.parametrize("modality", NAMES)
    def test_independent_kernels_keep_their_power(self, modality):
        """Colour kernels of unit power each: an image of all channels has the power of three.

        The power of a mixture of independent kernels is the sum of its squared coefficients.
        """
        assert float(mixing(modality).square().sum()) == pytest.approx(3)

    def test_what_is_an_rgb_or_grey_image_gives_the_dense_models_maps(self):
        """Sentinel-2's B04, B03, B02 are red, green, blue; a single polarisation is grey."""
        dense = dense_model(("optical",))
        model = upcycle(dense, noise=0, generator=seeded())
        image = observe("optical")
        swapped = Observation(image.images.flip(1), "multispectral", ("B02", "B03", "B04"))
        grey = image.images[:, :1]
        repeated = Observation(grey.expand(-1, 3, -1, -1), "optical", RGB)
        with torch.no_grad():
            (expected,), (expected_grey,) = dense([image]), dense([repeated])
            assert worst(model([swapped])[0], expected) < 1e-6
            for modality, channel in (("sar_amplitude", "VV"), ("sar_complex", "HH_I")):
                single = Observation(grey, modality, (channel,))
                assert worst(model([single])[0], expected_grey) < 1e-6

    def test_stems_that_are_there_are_kept(self):
        dense = dense_model(("sar_amplitude", "optical"))
        model = upcycle(dense, modalities=("optical", "sar_amplitude", "sar_complex"))
        for name, tensor in dense.stems.state_dict().items():
            assert torch.equal(model.stems.state_dict()[name], tensor)
        assert model.config.modalities == ("optical", "sar_amplitude", "sar_complex")


def test_a_timm_model_upcycled_is_still_timms():
    theirs = small_timm()
    dense = convert_swin(theirs.state_dict(), window_size=4, image_size=64)
    model = upcycle(dense, noise=0, generator=seeded())
    image = observe("optical")
    with torch.no_grad():
        expected = theirs.forward_intermediates(image.images, intermediates_only=True)
        assert worst(model([image])[0], expected) < 1e-6


def test_dtype_is_kept_and_no_memory_is_shared():
    dense = dense_model(("optical",)).bfloat16()
    model = upcycle(dense)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    mine = {p.data_ptr() for p in model.parameters()}
    assert not mine & {p.data_ptr() for p in dense.parameters()}
    assert all(p.requires_grad and p.is_contiguous() for p in model.parameters())


class TestRefusals:
    def test_a_model_with_experts(self):
        with pytest.raises(ConfigError, match="has routed experts"):
            upcycle(upcycle(dense_model(("optical",))))

    def test_negative_noise(self):
        with pytest.raises(ConfigError, match="noise must be 0 or more"):
            upcycle(dense_model(("optical",)), noise=-0.1)

    def test_no_stem_to_make_others_from(self):
        with pytest.raises(ConfigError, match=r"stems for optical .* among its sar_amplitude"):
            upcycle(dense_model(("sar_amplitude",)), modalities=("optical", "sar_amplitude"))
