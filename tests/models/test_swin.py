"""A dense RingMoE against the Swin V2 of timm and of transformers, with the same weights.

Not compared, because the definitions differ there: sizes whose maps the window does not divide
(timm's padding is seen, ours is not), temperatures whose logits come near the -100 with which timm
masks, and sizes other than the native one without `pretrained_window_sizes` (docs/model.md).
"""

import json
from collections.abc import Callable, Sequence
from itertools import groupby
from math import inf
from pathlib import Path

import pytest
import timm
import torch
from tests.models.samples import difference, observe
from tests.models.swin_weights import SMALL, draw, small_timm
from timm.models import save_for_hf, swin_transformer_v2
from torch import Tensor, nn

from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models import RingMoE, convert_swin, load_swin
from ringmoe.models.swin import _renamed

Forward = Callable[[Tensor], Sequence[Tensor]]


def timm_maps(model: nn.Module) -> Forward:
    return lambda images: model.forward_intermediates(images, intermediates_only=True)


def our_maps(model: RingMoE) -> Forward:
    return model.view("optical")


def disagreements(
    ours: RingMoE, theirs: nn.Module, forward: Forward, images: Tensor, by_stage: bool = False
) -> dict[str, float]:
    """Relative differences: of each map, the image's gradient and each parameter's.

    Their gradients get our names as weights do. `by_stage` takes gradients relative to the largest
    of their stage, instead of each parameter's own.
    """
    copies = [images.clone().requires_grad_() for _ in range(2)]
    ours.zero_grad()
    theirs.zero_grad()
    maps, expected = our_maps(ours)(copies[0]), forward(copies[1])
    generator = torch.Generator().manual_seed(1)
    upstream = [torch.randn(m.shape, generator=generator).to(m.dtype) for m in maps]
    torch.autograd.backward(list(maps), upstream)
    torch.autograd.backward(list(expected), upstream)
    pairs = zip(maps, expected, strict=True)
    found = {f"map {n}": difference(a, b) for n, (a, b) in enumerate(pairs)}
    found["images"] = difference(copies[0].grad, copies[1].grad)

    gradients = {
        n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in theirs.named_parameters()
    }
    reference, _ = _renamed(gradients)
    parameters = dict(ours.named_parameters())
    assert set(parameters) == set(reference)
    for _, names in groupby(parameters, lambda n: ".".join(n.split(".")[:2]) if by_stage else n):
        group = list(names)
        largest = max(float(torch.linalg.vector_norm(reference[n], inf)) for n in group)
        for name in group:
            found[name] = float(torch.dist(parameters[name].grad, reference[name], inf)) / largest
    return found


def assert_agree(found: dict[str, float], tolerance: float) -> None:
    wrong = {name: error for name, error in found.items() if not error < tolerance}
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("swinv2_tiny_window8_256", [(256, 256), (128, 128), (64, 128)]),
        ("swinv2_small_window8_256", [(256, 256), (128, 128), (64, 128)]),
        ("swinv2_base_window8_256", [(256, 256), (128, 128), (64, 128)]),
        ("swinv2_base_window12_192", [(192, 192), (96, 96), (192, 96)]),
    ],
)
def test_the_published_shapes_equal_timms(name, sizes, monkeypatch):
    """Maps of all stages and all gradients: to 1e-9 in float64, to 1e-5 of the stage in float32.

    At another size timm is told the window anew (it would scale it with the image) and the native
    windows as `pretrained_window_sizes`, which is what our `reference` is: 8 everywhere, or
    12/12/12/6.
    """
    monkeypatch.setattr(swin_transformer_v2, "trunc_normal_", lambda x, std: x)  # drawn below
    native, window = sizes[0][0], int(name.split("window")[1].split("_")[0])
    references = tuple(min(window, native // stride) for stride in (4, 8, 16, 32))
    theirs = timm.create_model(
        name, pretrained=False, num_classes=0, pretrained_window_sizes=references
    )
    draw(theirs.eval()).double()
    ours = convert_swin(theirs.state_dict(), window_size=window, image_size=native)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        theirs.to(dtype)
        ours.to(dtype)
        for size in sizes:
            theirs.set_input_size(size, window_size=window)
            images = observe("optical", 1, size, dtype=dtype).images
            found = disagreements(
                ours, theirs, timm_maps(theirs), images, by_stage=dtype == torch.float32
            )
            wrong = {part: error for part, error in found.items() if not error < tolerance}
            assert not wrong, (size, dtype)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (64, 32)])
def test_a_small_one_equals_timms(size):
    """At the native size timm's default of no `pretrained_window_sizes` means the same."""
    windows = {} if size == (64, 64) else {"pretrained_window_sizes": (4, 4, 4, 2)}
    theirs = small_timm(size, **windows)
    ours = convert_swin(theirs.state_dict(), window_size=4, image_size=64)
    images = observe("optical", 2, size).images
    assert_agree(disagreements(ours, theirs, timm_maps(theirs), images), 1e-9)


@pytest.mark.slow
def test_changing_any_one_tensor_is_seen():
    """By a hundredth: a map then differs by more than what either precision is allowed."""
    theirs = small_timm()
    images = observe("optical").images
    with torch.no_grad():
        expected = timm_maps(theirs)(images)
    state = theirs.state_dict()
    generator = torch.Generator().manual_seed(0)

    def error(weights: dict[str, Tensor]) -> float:
        with torch.no_grad():
            maps = our_maps(convert_swin(weights, window_size=4, image_size=64))(images)
        return max(difference(a, b) for a, b in zip(maps, expected, strict=True))

    assert error(state) < 1e-9
    unseen = []
    for name, tensor in state.items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        if error(state | {name: tensor * (1 + 0.01 * noise)}) < 1e-5:
            unseen.append(name)
    assert unseen == ["norm.weight", "norm.bias", "head.fc.weight", "head.fc.bias"]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_it_equals_transformers(dtype, tolerance, tmp_path):
    """The tiny shape at 128 px, window 8 on maps 32, 16, 8 and 4; read from what it saves."""
    from transformers import Swinv2Backbone, Swinv2Config

    stages = [f"stage{n}" for n in range(1, 5)]
    shape = Swinv2Config(image_size=128, window_size=8, out_features=stages, drop_path_rate=0.0)
    theirs = draw(Swinv2Backbone(shape).eval()).to(dtype)
    theirs.save_pretrained(tmp_path)
    ours = load_swin(tmp_path)
    assert (ours.config.window_size, ours.config.image_size) == (8, 128)
    images = observe("optical", 1, (128, 128), dtype=dtype).images
    found = disagreements(
        ours, theirs, lambda x: theirs(x).feature_maps, images, by_stage=dtype == torch.float32
    )
    assert_agree(found, tolerance)


def older_layout(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as Microsoft's files have it: merging ends a stage, tables are stored."""
    state = {}
    for name, tensor in model.state_dict().items():
        if ".downsample." in name:
            _, stage, rest = name.split(".", 2)
            name = f"layers.{int(stage) - 1}.{rest}"
        state[name] = tensor
    for name, buffer in model.named_buffers():
        if name.endswith(("relative_coords_table", "relative_position_index")):
            state[name] = buffer
    return state


def test_older_files_tell_their_windows():
    """Windows 4, 4, 4, 2 at strides 4 to 32 are those of 64 px."""
    theirs = small_timm()
    ours = convert_swin(older_layout(theirs))
    assert (ours.config.window_size, ours.config.image_size) == (4, 64)
    newer = convert_swin(theirs.state_dict(), window_size=4, image_size=64).state_dict()
    assert all(torch.equal(tensor, newer[name]) for name, tensor in ours.state_dict().items())


def test_older_files_with_offsets_scaled_for_another_window_are_refused():
    """Fine-tuned at window 8 from window 4: 8 tokens apart is not what a window of 8 would say."""
    theirs = small_timm(window_size=8, pretrained_window_sizes=(4, 4, 4, 2))
    with pytest.raises(ConfigError, match="windows of 8 with offsets scaled for 4 in stage 0"):
        convert_swin(older_layout(theirs))


class TestFiles:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        """A folder as timm writes it for the hub; the architecture's name says 8 and 256."""
        changes = {"img_size": 64, **SMALL}
        model = timm.create_model("swinv2_tiny_window8_256", pretrained=False, **changes)
        folder = tmp_path / "swin"
        save_for_hf(draw(model), folder, model_args=changes, safe_serialization=True)
        return folder

    def edit(self, folder: Path, **changes: object) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    def test_a_folder_as_timm_writes_it(self, saved):
        by_folder, by_file = load_swin(saved), load_swin(saved / "model.safetensors")
        assert by_folder.config == by_file.config
        assert (by_folder.config.window_size, by_folder.config.image_size) == (4, 64)
        self.edit(saved, model_args={})
        named = load_swin(saved).config
        assert (named.window_size, named.image_size) == (8, 256)
        given = load_swin(saved, window_size=2, image_size=32).config
        assert (given.window_size, given.image_size) == (2, 32)

    def test_what_tells_no_window_is_refused(self, saved):
        (saved / "config.json").unlink()
        with pytest.raises(ConfigError, match=r"model\.safetensors: .* give both window_size and"):
            load_swin(saved)
        with pytest.raises(ConfigError, match="give both"):
            load_swin(saved, window_size=4)

    def test_fine_tuned_windows_are_refused(self, saved):
        self.edit(saved, architecture="swinv2_base_window12to16_192to256", model_args={})
        with pytest.raises(ConfigError, match="windows of 16 with offsets scaled for 12"):
            load_swin(saved)
        assert load_swin(saved, window_size=12, image_size=192).config.window_size == 12

    def test_files_that_cannot_be_read(self, saved, tmp_path):
        with pytest.raises(CheckpointError, match="absent is missing"):
            load_swin(tmp_path / "absent")
        pickle = tmp_path / "swin.pth"
        torch.save({"patch_embed.proj.weight": torch.zeros(1)}, pickle)
        with pytest.raises(CheckpointError, match=r"swin\.pth .* pickles .* never loaded"):
            load_swin(pickle)
        (saved / "config.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"config\.json is no JSON"):
            load_swin(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers.1.blocks.0.mlp.fc1.bias": None}, "lack stages.1.blocks.0.ffn.shared.fc1.bias"),
        ({"absolute_pos_embed": torch.zeros(1)}, "no Swin V2 backbone has: absolute_pos_embed"),
        ({"layers.0.blocks.0.norm1.bias": torch.zeros(3)}, r"\(3,\) for stages.0.blocks.0.norm1"),
        ({"patch_embed.proj.weight": torch.zeros(8, 4, 4, 4)}, "has 4 channels: only red, green"),
        ({"patch_embed.proj.weight": None}, "no weights of a Swin V2 .*stems.optical.weight"),
        ({"layers.0.blocks.0.attn.logit_scale": None}, "no weights of a Swin V2"),
    ],
)
def test_what_is_no_swin_v2_is_refused(changes, message):
    state = small_timm().state_dict() | changes
    with pytest.raises(CheckpointError, match=message):
        convert_swin(
            {name: tensor for name, tensor in state.items() if tensor is not None},
            window_size=4,
            image_size=64,
        )
