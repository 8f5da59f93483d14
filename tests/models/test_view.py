import pytest
import torch
from tests.models.samples import small_model

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
