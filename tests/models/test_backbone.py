import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.models.samples import SMALL, difference, observe, small_model

from ringmoe.errors import ConfigError, ShapeError, UnknownChannelError
from ringmoe.models import RingMoE, create_model
from ringmoe.observation import Observation
from ringmoe.sensors import MODALITIES

NAMES = tuple(MODALITIES)
SIZES = ((64, 64), (32, 32), (96, 64), (32, 128))


@torch.no_grad()
def test_a_mixed_batch_gives_four_maps_each_at_strides_4_to_32():
    observations = [
        observe("optical", 2, (64, 64)),
        observe("sar_complex", 1, (32, 96), channels=("VV_I", "VV_Q", "VH_I", "VH_Q")),
        observe("optical", 1, (160, 32)),
    ]
    pyramids = small_model()(observations)
    for observation, pyramid in zip(observations, pyramids, strict=True):
        height, width = observation.size
        assert [tuple(m.shape) for m in pyramid] == [
            (observation.batch_size, 8 * 2**i, height // (4 * 2**i), width // (4 * 2**i))
            for i in range(4)
        ]
        assert all(m.isfinite().all() for m in pyramid)


@pytest.mark.parametrize("size", [(100, 64), (64, 48), (0, 32), (31, 31)])
def test_other_sizes_are_refused_with_the_nearest_that_works(size):
    with pytest.raises(ShapeError, match=re.escape("multiples of 32, e.g. ")) as error:
        small_model()([observe("optical", 1, size)])
    needed = [max(-(-side // 32), 1) * 32 for side in size]
    assert f"e.g. {needed[0]} x {needed[1]}" in str(error.value)


def test_what_the_model_does_not_know_is_refused():
    model = small_model(modalities=("optical",))
    with pytest.raises(ConfigError, match="no stem for sar_amplitude: it has optical"):
        model([observe("sar_amplitude")])
    with pytest.raises(UnknownChannelError, match="B08"):
        model([observe("optical", channels=("red", "B08"))])
    with pytest.raises(ShapeError, match="no observations"):
        model([])


@torch.no_grad()
def test_permuted_channels_are_the_same_image():
    model = small_model()
    straight = observe("multispectral", channels=("B02", "B03", "B08"))
    permuted = Observation(straight.images[:, [2, 0, 1]], "multispectral", ("B08", "B02", "B03"))
    (a,), (b,) = model([straight]), model([permuted])
    assert max(difference(x, y) for x, y in zip(a, b, strict=True)) < 1e-12


def closest_call(model: RingMoE, observation: Observation) -> float:
    """The least difference between the best and the second probability of any token's router."""
    margins: list[float] = []

    def look(router: torch.nn.Module, arguments: tuple, routing: object) -> None:
        x, spans = arguments[:2]
        logits = x @ router.weight.t()
        start = spans[0][0] * router.specialized
        for rows in (
            slice(start, start + router.specialized),
            slice(router.first_collaborative, None),
        ):
            best = logits[:, rows].softmax(-1).topk(2).values
            margins.append(float((best[:, 0] - best[:, 1]).min()))

    hooks = [block.ffn.router.register_forward_hook(look) for block in model.blocks()]
    model([observation])
    for hook in hooks:
        hook.remove()
    return min(margins)


batches = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(1, 3), st.sampled_from(SIZES)),
    min_size=1,
    max_size=5,
)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@given(batch=batches, seed=st.integers(0, 10**6), data=st.data())
@settings(max_examples=8)
@torch.no_grad()
def test_features_of_an_image_do_not_depend_on_its_batch(dtype, tolerance, batch, seed, data):
    """Any image alone and in any mixed batch: equal maps, relative to the map's largest value.

    Where two experts are equally likely within rounding, the choice itself is rounding: examples
    with a call closer than 1e-5 are left out (about one in thirty in float32).
    """
    model = small_model(dtype=dtype)
    observations = [
        observe(name, count, size, seed=seed + number, dtype=dtype)
        for number, (name, count, size) in enumerate(batch)
    ]
    which = data.draw(st.integers(0, len(batch) - 1))
    row = data.draw(st.integers(0, batch[which][1] - 1))
    chosen = observations[which]
    single = Observation(chosen.images[row : row + 1], chosen.modality, chosen.channels)
    if dtype == torch.float32:
        assume(closest_call(model, single) > 1e-5)
    (alone,) = model([single])
    together = model(observations)[which]
    for a, b in zip(alone, together, strict=True):
        assert difference(b[row], a[0]) < tolerance


class TestEncode:
    def test_hidden_tokens_do_not_matter(self):
        """Where the mask is true nothing of the image is seen: other pixels, equal features."""
        model, token = small_model(), torch.randn(8, dtype=torch.float64)
        mask = torch.zeros(1, 16, 16, dtype=torch.bool)
        mask[:, 4:12, :8] = True
        image = observe("optical")
        other = image.images.clone()
        other[:, :, 16:48, :32] = 7.0
        hidden = [
            model.encode(
                [Observation(i, "optical", image.channels)], masks=[mask], mask_token=token
            )
            for i in (image.images, other)
        ]
        for a, b in zip(hidden[0].pyramids[0], hidden[1].pyramids[0], strict=True):
            assert torch.equal(a, b)
        plain = model.encode([image]).pyramids[0]
        assert difference(plain[0], hidden[0].pyramids[0][0]) > 1e-3

    def test_the_mask_token_learns(self):
        model = small_model()
        token = torch.zeros(8, dtype=torch.float64, requires_grad=True)
        mask = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.6
        observations = [observe("optical"), observe("sar_complex")]
        out = model.encode(observations, masks=[mask, None], mask_token=token)
        out.pyramids[0][-1].square().sum().backward()
        assert token.grad.abs().min() > 0

    def test_equals_forward_without_masks(self):
        model, observations = small_model(), [observe("optical"), observe("sar_amplitude", 2)]
        for a, b in zip(model(observations), model.encode(observations).pyramids, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    def test_loads_count_every_token_once_a_branch(self):
        """Blocks 0-1 see 16 x 16 tokens an image, 2-3 8 x 8, 4-5 4 x 4, 6-7 2 x 2."""
        observations = [observe("optical"), observe("sar_complex", 2), observe("optical", 3)]
        loads = small_model().encode(observations).loads
        images = {"optical": 4, "sar_complex": 2}
        assert len(loads) == 8 * 2 * 2
        for load in loads:
            tokens = images[load.modality] * (16 // 2 ** (load.block // 2)) ** 2
            assert int(load.chosen.sum()) == tokens
            assert float(load.probability.sum().detach()) == pytest.approx(tokens)
            assert load.probability.requires_grad and not load.chosen.requires_grad

    def test_wrong_masks_are_refused(self):
        model, token = small_model(), torch.zeros(8, dtype=torch.float64)
        with pytest.raises(ShapeError, match=r"token grid \(1, 16, 16\), got \(1, 8, 8\)"):
            model.encode(
                [observe("optical")],
                masks=[torch.ones(1, 8, 8, dtype=torch.bool)],
                mask_token=token,
            )
        with pytest.raises(ConfigError, match="mask_token"):
            model.encode([observe("optical")], masks=[torch.ones(1, 16, 16, dtype=torch.bool)])
        with pytest.raises(ShapeError, match="one mask"):
            model.encode([observe("optical")], masks=[], mask_token=token)


class TestInitialisation:
    def test_a_seed_fixes_every_weight(self):
        shape = {"embed_dim": 8, "num_heads": (1, 1, 1, 1)}
        a, b, c = (create_model("nano", seed=s, **shape).state_dict() for s in (5, 5, 6))
        assert all(torch.equal(a[name], b[name]) for name in a)
        drawn = [n for n in a if n.endswith("weight") and "norm" not in n]
        assert drawn and not any(torch.equal(a[name], c[name]) for name in drawn)

    def test_without_a_seed_torchs_generator_is_used(self):
        torch.manual_seed(1)
        first = RingMoE(SMALL).state_dict()
        torch.manual_seed(1)
        assert torch.equal(first["stems.optical.weight"], RingMoE(SMALL).stems.optical.weight)

    def test_a_seed_leaves_torchs_generator_alone(self):
        torch.manual_seed(1)
        expected = torch.rand(1)
        torch.manual_seed(1)
        create_model("nano", seed=0, embed_dim=8, num_heads=(1, 1, 1, 1))
        assert torch.equal(torch.rand(1), expected)

    @pytest.mark.parametrize("scale", [0.0, 0.25, 1.0])
    def test_residual_scale_is_the_norms_first_weight(self, scale):
        for block in RingMoE(SMALL.replace(residual_scale=scale)).blocks():
            for norm in (block.norm1, block.norm2):
                assert torch.all(norm.weight == scale) and torch.all(norm.bias == 0)

    def test_with_residual_scale_0_every_block_is_the_identity(self):
        """timm's start: the first map is then the stem's output."""
        model = small_model(residual_scale=0.0)
        image = observe("optical")
        tokens = model.stems["optical"](image.images, image.channel_names)
        assert torch.equal(model([image])[0][0], tokens.permute(0, 3, 1, 2))

    def test_every_parameter_is_drawn(self):
        """None is left as allocated: matrices by their widths, routers small, the rest constants.

        Glorot: the variance of a matrix is 2 / (rows + columns). The narrowest have 64 entries.
        """
        model = RingMoE(SMALL, torch.Generator().manual_seed(0))
        for name, parameter in model.named_parameters():
            spread = float(parameter.detach().std(correction=0))
            if name in {f"stems.{modality}.bias" for modality in SMALL.modalities}:
                assert 0 < spread < 0.04, name  # few numbers, so a wide range
            elif "norm" in name or "bias" in name or name.endswith((".b1", ".b2", "logit_scale")):
                assert spread == 0, name
            elif "router" in name:
                assert 0.001 < spread < 0.003, name
            elif "stems" in name:
                assert 0.014 < spread < 0.026, name
            else:
                expected = (2 / sum(parameter.shape[-2:])) ** 0.5
                assert 0.7 * expected < spread < 1.3 * expected, name


def test_checkpointed_blocks_give_the_same_gradients():
    observations = [observe("optical"), observe("sar_complex", 1, (32, 64))]

    def gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
        model = small_model().train()
        model.set_grad_checkpointing(checkpointing)
        encoding = model.encode(observations)
        loss = sum(m.square().mean() for pyramid in encoding.pyramids for m in pyramid)
        loss = loss + sum((load.probability**2).sum() for load in encoding.loads) * 1e-6
        loss.backward()
        return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    plain, saved = gradients(False), gradients(True)
    assert set(plain) == set(saved)
    assert all(torch.allclose(plain[n], saved[n], rtol=1e-10, atol=1e-14) for n in plain)


def test_every_parameter_of_the_modalities_seen_learns():
    """With the softmax gate and enough tokens no weight is out of the task's reach."""
    model = small_model(collaborative_experts=1, specialized_experts=2).train()
    observations = [observe(name, 4, seed=number) for number, name in enumerate(NAMES)]
    sum(p[-1].square().mean() for p in model(observations)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    stems = [stem.weight.grad.abs().max() for stem in model.stems.values()]
    assert min(stems) > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"specialized_experts": 0},
        {"collaborative_experts": 0},
        {"collaborative_experts": 1},
        {"shared_expert": False},
        {"specialized_experts": 0, "collaborative_experts": 0},
        {"modalities": ("sar_complex", "optical")},
    ],
)
def test_pruned_and_dense_shapes_run(changes):
    model = small_model(**changes)
    (pyramid,) = model([observe("optical")])
    pyramid[-1].square().mean().backward()
    assert pyramid[-1].isfinite().all()


def test_bfloat16_weights_and_autocast_stay_near_float32():
    """Dense, where no choice can turn: bfloat16 keeps 8 bits, the maps err by under 3 % (rms)."""
    image = observe("optical", 2, dtype=torch.float32)
    model = small_model(
        dtype=torch.float32, specialized_experts=0, collaborative_experts=0, embed_dim=32
    )
    with torch.no_grad():
        exact = model([image])[0][-1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model([image])[0][-1].float()
        rounded = model.bfloat16()([image])[0][-1].float()
    for approximate in (mixed, rounded):
        assert (approximate - exact).square().mean() < 0.03**2 * exact.square().mean()


def test_routing_runs_under_autocast_and_in_bfloat16():
    image = observe("optical", 2, dtype=torch.float32)
    model = small_model(dtype=torch.float32).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model([image])[0][-1].float().square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.bfloat16()([image])[0][-1].dtype == torch.bfloat16


def test_images_without_data_do_not_drown_the_gradient():
    """Null patches have no direction: the gradient they add must stay of the others' size.

    A null query or token under a norm has a gradient of one over its length. With a stem that
    starts without bias it was 1e9 times that of images with data.
    """

    def gradient(missing: int) -> float:
        model = create_model("nano", modalities=["optical"], seed=0)
        images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        images[:, :, :missing] = 0
        (pyramid,) = model([Observation(images, "optical", ("red", "green", "blue"))])
        sum(level.square().mean() for level in pyramid).backward()
        return sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None) ** 0.5

    whole = gradient(0)
    assert gradient(48) < 10 * whole
    assert gradient(96) < 10 * whole
