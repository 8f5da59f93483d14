import inspect

import pytest
import timm
import torch
from tests.models.samples import SMALL, small_model
from timm.models._features import FeatureGetterNet
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.optim import param_groups_layer_decay

from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.observation import Observation
from ringmoe.sensors import get_sensor


@torch.no_grad()
def test_a_view_gives_what_the_model_gives():
    model = small_model()
    view = model.view("multispectral", ("B04", "B03", "B02"))
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    observation = Observation(images, "multispectral", ("B04", "B03", "B02"))
    for a, b in zip(view(images), model([observation])[0], strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
def test_what_it_says_of_its_maps_is_true():
    view = small_model().view("optical")
    maps = view(torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert [m.shape[1] for m in maps] == view.out_channels
    for m, info in zip(maps, view.feature_info, strict=True):
        assert (m.shape[1], 64 // m.shape[2]) == (info["num_chs"], info["reduction"])


def test_channels_of_a_sensor_are_named_by_their_key():
    """Landsat's bands have names of their own; their keys are the stem's."""
    sensor = get_sensor("landsat8")
    view = small_model().view("multispectral", sensor.channels)
    assert view.channels == tuple(channel.key for channel in sensor.channels)


def test_it_shares_the_models_parameters():
    model = small_model()
    view = model.view("optical")
    assert {id(p) for p in view.parameters()} == {id(p) for p in model.parameters()}
    names = dict(view.named_parameters())
    undecayed = view.no_weight_decay()
    assert undecayed <= set(names)
    assert {n.rsplit(".", 2)[-1] for n in undecayed if "cpb" not in n} == {"logit_scale"}
    view.set_grad_checkpointing()
    assert model.grad_checkpointing


def test_wrong_channels_are_refused_when_it_is_made():
    model = small_model(modalities=("optical",))
    with pytest.raises(UnknownChannelError, match="no channel 'nir'"):
        model.view("optical", ("red", "nir"))
    with pytest.raises(ConfigError, match="no stem for sar_complex"):
        model.view("sar_complex")


def timm_options() -> dict:
    """timm's model of the same shape as `small_model`."""
    return {
        "img_size": 64,
        "embed_dim": SMALL.embed_dim,
        "depths": SMALL.depths,
        "num_heads": SMALL.num_heads,
        "window_size": SMALL.window_size,
    }


class TestTimmsSurface:
    """What code written for timm's backbones asks of them, against timm's own Swin V2."""

    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)

    def test_feature_info_says_what_timms_says(self):
        theirs = timm.create_model(
            "swinv2_tiny_window8_256", features_only=True, **timm_options()
        ).feature_info
        ours = small_model().view("optical").feature_info
        assert ours.channels() == theirs.channels() == [8, 16, 32, 64]
        assert ours.reduction() == theirs.reduction() == [4, 8, 16, 32]
        assert ours.channels(2) == theirs.channels(2) == 32
        assert ours.reduction([0, -1]) == theirs.reduction([0, -1]) == [4, 32]
        assert ours.out_indices == theirs.out_indices
        keys = ["num_chs", "reduction"]
        for idx in (None, 1, [1, 3]):
            assert ours.get_dicts(keys, idx) == theirs.get_dicts(keys, idx)
            assert type(ours.get_dicts(idx=idx)) is type(theirs.get_dicts(idx=idx))
        assert set(theirs.get_dicts(idx=0)) <= set(ours.get_dicts(idx=0))

    def test_the_modules_it_names_are_there(self):
        view = small_model().view("optical")
        modules = dict(view.named_modules())
        for name, depth in zip(view.feature_info.module_name(), SMALL.depths, strict=True):
            assert len(modules[name].blocks) == depth

    @torch.no_grad()
    def test_timms_wrapper_takes_the_view(self):
        """Which `timm.create_model(..., features_only=True, out_indices=...)` wraps models in."""
        view = small_model().view("optical")
        wrapped = FeatureGetterNet(view, out_indices=(1, 3))
        maps = view(self.images)
        for ours, expected in zip(wrapped(self.images), (maps[1], maps[3]), strict=True):
            assert torch.equal(ours, expected)
        assert wrapped.feature_info.channels() == [16, 64]

    def test_intermediates_have_timms_signature(self):
        ours = inspect.signature(small_model().view("optical").forward_intermediates).parameters
        theirs = inspect.signature(SwinTransformerV2.forward_intermediates).parameters
        assert [(p.name, p.default) for p in ours.values()] == [
            (p.name, p.default) for p in theirs.values() if p.name != "self"
        ]

    @torch.no_grad()
    @pytest.mark.parametrize("indices", [None, 2, [0, 2], [-1, 1]])
    def test_intermediates_have_timms_structure(self, indices):
        view = small_model().view("optical")
        theirs = SwinTransformerV2(**timm_options()).double().eval()
        last, ours = view.forward_intermediates(self.images, indices)
        _, expected = theirs.forward_intermediates(self.images, indices)
        assert type(ours) is type(expected)
        assert [m.shape for m in ours] == [m.shape for m in expected]
        alone = view.forward_intermediates(self.images, indices, intermediates_only=True)
        maps = view(self.images)
        assert torch.equal(last, maps[-1])
        for m, again in zip(ours, alone, strict=True):
            assert torch.equal(m, again)
            assert any(m.shape == full.shape and torch.equal(m, full) for full in maps)

    @torch.no_grad()
    def test_stopping_early_runs_no_later_stage(self):
        view = small_model().view("optical")
        for parameter in view.model.stages[2].parameters():
            parameter.fill_(torch.nan)
        last, (first, second) = view.forward_intermediates(self.images, [0, 1], stop_early=True)
        assert torch.equal(last, second)
        assert first.isfinite().all() and second.isfinite().all()
        last, _ = view.forward_intermediates(self.images, [0, 1])
        assert last.isnan().all()

    @torch.no_grad()
    def test_channels_may_come_last(self):
        view = small_model().view("optical")
        last, maps = view.forward_intermediates(self.images, output_fmt="NHWC")
        for m, expected in zip(
            [last, *maps], [view(self.images)[-1], *view(self.images)], strict=True
        ):
            assert torch.equal(m.permute(0, 3, 1, 2), expected)

    @pytest.mark.parametrize("indices", [0, 5, [4], [-5], []])
    def test_maps_that_are_not_there_are_refused(self, indices):
        with pytest.raises(ConfigError, match="some of 4 maps"):
            small_model().view("optical").forward_intermediates(self.images, indices)

    def test_unknown_formats_are_refused(self):
        with pytest.raises(ConfigError, match="NCHW or NHWC"):
            small_model().view("optical").forward_intermediates(self.images, output_fmt="NLC")

    def test_learning_rates_decay_by_depth(self):
        """Stem, then 2 blocks in each of 4 stages: layer n of 0 to 8 has 0.5^(8 - n)."""
        view = small_model().view("optical")
        groups = param_groups_layer_decay(
            view, 0.05, no_weight_decay_list=view.no_weight_decay(), layer_decay=0.5
        )
        found = {id(p): group for group in groups for p in group["params"]}
        assert len(found) == len(list(view.parameters()))
        for name, parameter in view.named_parameters():
            part = name.split(".")
            layer = 0
            if part[1] == "stages":
                block = int(part[4]) if part[3] == "blocks" else 0
                layer = 1 + 2 * int(part[2]) + block
            group = found[id(parameter)]
            assert group["lr_scale"] == 0.5 ** (8 - layer), name
            undecayed = parameter.ndim == 1 or "cpb_mlp" in name or "logit_scale" in name
            assert group["weight_decay"] == (0 if undecayed else 0.05), name

    def test_groups_may_be_stages(self):
        patterns = small_model().view("optical").group_matcher(coarse=True)
        assert patterns == {"stem": r"^model\.stems", "blocks": r"^model\.stages\.(\d+)"}
