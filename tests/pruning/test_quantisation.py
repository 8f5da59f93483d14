"""8-bit checkpoints: closed forms of error and size, and that they load as any other."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from benchmarks.int8 import subjects
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tests.models.samples import SMALL, observe, small_model
from tests.processes import PEAK_KIB

from ringmoe.cli import main
from ringmoe.cli.info import info
from ringmoe.errors import CheckpointError
from ringmoe.models import ModelConfig, RingMoE, create_model, load_model, plan_load, save_model
from ringmoe.models.plan import shapes
from ringmoe.models.shard_writer import ShardWriter
from ringmoe.models.shards import read_header
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.quantisation import quantise, to_int8

pytestmark = pytest.mark.slow  # some seconds in all

KEPT = tuple((block % 4,) if block % 3 else () for block in range(8))


@given(
    stack=st.booleans(),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    magnitude=st.floats(-6, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_no_weight_is_more_than_half_a_step_off(stack, dtype, magnitude, seed):
    """The step of an output channel is its largest magnitude / 127, rounded up to a number of the
    type: at most 2 ** -7 larger for bfloat16, where 8 bits are kept, and for float16 one of the
    smallest numbers, 2 ** -24, where it is that small. Values are spread over decades by channel.
    """
    generator = np.random.default_rng(seed)
    shape = (3, 12, 5) if stack else (7, 12)
    spread = generator.uniform(-1, 1, (3, 1, 5) if stack else (7, 1))
    array = generator.normal(size=shape) * 10 ** (magnitude + spread)
    matrix = torch.from_numpy(np.clip(array, -60000, 60000)).to(dtype)
    values, scale = to_int8(matrix)
    assert values.dtype == torch.int8
    assert scale.dtype == dtype
    exact, found, step = (t.double().numpy() for t in (matrix, values, scale))
    largest = np.abs(exact).max(axis=1, keepdims=True)
    assert step.shape == largest.shape
    assert np.abs(found).max() <= 127
    assert (np.abs(exact - found * step) <= 0.5 * step * (1 + 1e-5)).all()
    some = largest > 0
    assert (step[some] >= largest[some] / 127).all()
    assert (step[some] <= largest[some] / 127 * (1 + 2**-7) + 2**-24).all()


def test_a_channel_of_zeros_stays_zero():
    matrix = torch.ones(2, 4)
    matrix[1] = 0
    values, scale = to_int8(matrix)
    assert values.tolist() == [[127] * 4, [0] * 4]
    assert torch.equal(values[1] * scale[1], matrix[1])


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """What a token is multiplied by in a block or a merging: of their tensors with two axes, all
    but the routers, the position bias and the experts' biases (an axis of experts, one of outputs).
    """
    if not name.startswith("stages.") or len(shape) < 2:
        return False
    return not any(part in name for part in ("router", "cpb_mlp", "logit_scale", ".b1", ".b2"))


def bytes_by_hand(config: ModelConfig, width: int) -> int:
    """1 byte a weight of a matrix, `width` bytes a scale and a weight of anything else."""
    total = 0
    for name, shape in shapes(config).items():
        count = int(np.prod(shape))
        channels = shape[0] if len(shape) == 2 else shape[0] * shape[-1]
        total += count + width * channels if is_matrix(name, shape) else width * count
    return total


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"modalities": ("optical",), "kept_experts": KEPT},
        {"modalities": ("optical",), "specialized_experts": 0, "collaborative_experts": 0},
        {"stem": "spectral", "modalities": ("optical",)},
    ],
    ids=["full", "expert-pruned", "dense", "spectral stem"],
)
def test_every_matrix_is_int8_and_nothing_else(tmp_path, changes):
    model = small_model(dtype=torch.float32, **changes)
    folder = quantise(save_model(model, tmp_path / "model"), tmp_path / "small")
    stored = read_header(folder / "model.safetensors")
    for name, shape in shapes(model.config).items():
        there = stored.pop(name)
        assert there.shape == shape
        assert there.kind == ("I8" if is_matrix(name, shape) else "F32")
        if is_matrix(name, shape):
            scale = stored.pop(name + ".scale")
            assert (scale.shape[0], scale.shape[-1]) == (
                shape[0],
                1 if len(shape) == 2 else shape[2],
            )
    assert not stored
    plan = plan_load(folder)
    assert plan.bytes == plan.stored_bytes == bytes_by_hand(model.config, 4)
    assert "int8" in json.loads((folder / "config.json").read_text())["quantisation"]
    assert "8 bits" in (folder / "model-card.md").read_text()


@pytest.mark.parametrize("kept", [None, ((0,), (), (2,), (3,))])
def test_loading_multiplies_by_the_scales(tmp_path, kept):
    """Against safetensors and NumPy; what is no matrix comes back bit for bit. Then the features:
    a weight is off by 1 / 127 / sqrt(12) of its channel's largest in the mean square, or 0.2 %, and
    four blocks make of it less than 5 % of most tokens and of the variance that a map has.
    """
    model = create_model("nano", modalities=["optical"], seed=0, depths=(1,) * 4, kept_experts=kept)
    folder = quantise(model, tmp_path / "small")
    loaded = load_model(folder)
    with safe_open(folder / "model.safetensors", framework="np") as file:
        for name, tensor in loaded.state_dict().items():
            due = file.get_tensor(name)
            if name + ".scale" in file.keys():  # noqa: SIM118 # not a dict
                due = due.astype(np.float32) * file.get_tensor(name + ".scale")
            np.testing.assert_array_equal(tensor.numpy(), due)
    image = observe("optical", 2, (96, 96), dtype=torch.float32)
    with torch.no_grad():
        for found, due in zip(loaded([image])[0], model([image])[0], strict=True):
            error = found - due
            variance = (due - due.mean((0, 2, 3), keepdim=True)).square().sum()
            assert 0 < error.square().sum() < 0.05 * variance
            assert (error.norm(dim=1) / due.norm(dim=1)).median() < 0.05


def test_one_modality_of_an_int8_checkpoint_reads_its_rows_alone(tmp_path):
    """The part's weights are the whole's, and its bytes those of its own shape, in closed form."""
    folder = quantise(small_model(dtype=torch.float32), tmp_path / "small", max_shard_bytes="100KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    wanted = ("sar_amplitude", "optical")
    plan = plan_load(folder, wanted)
    assert plan.bytes == bytes_by_hand(SMALL.replace(modalities=wanted), 4) < plan.stored_bytes
    assert plan.bytes == sum(b - a for ranges in plan.files.values() for a, b in ranges)
    whole, part = load_model(folder).state_dict(), load_model(folder, wanted).state_dict()
    rows = [12, 13, 14, 15, 0, 1, 2, 3, 16, 17, 18, 19]
    for name, tensor in part.items():
        stacked = ".experts." in name or ".router." in name
        assert torch.equal(tensor, whole[name][rows] if stacked else whole[name])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_types(tmp_path, dtype):
    """The stored type is what comes back; another is taken without a detour by it."""
    folder = quantise(small_model(dtype=dtype, modalities=("optical",)), tmp_path / "small")
    own, wide = load_model(folder), load_model(folder, dtype=torch.float32)
    assert {t.dtype for t in own.state_dict().values()} == {dtype}
    for name, tensor in wide.state_dict().items():
        assert torch.equal(own.state_dict()[name], tensor.to(dtype)), name


@pytest.mark.parametrize(("width", "tokens"), [(16, 40), (64, 8)])
def test_what_the_benchmark_times_is_one_product(width, tokens):
    """bfloat16 has 8 bits, int8 7 and a sign: each way is within 2 % of float32."""
    found = {name: subject().float() for name, subject in subjects(width, tokens).items()}
    due = found.pop("float32")
    assert len(found) == 5
    for name, product in found.items():
        assert (product - due).norm() < 0.02 * due.norm(), name


def test_a_fingerprint_is_of_the_values_that_are_loaded(tmp_path):
    """So that statistics of the model fit the checkpoint; of the float weights they are others."""
    model = small_model(dtype=torch.float32, modalities=("optical",))
    folder = quantise(model, tmp_path / "small")
    assert fingerprint(folder) == fingerprint(load_model(folder)) != fingerprint(model)


def test_information_tells_the_bytes(tmp_path, capsys):
    model = small_model(dtype=torch.float32)
    for folder in (save_model(model, tmp_path / "model"), quantise(model, tmp_path / "small")):
        info(str(folder), json=True)
        load = json.loads(capsys.readouterr().out)["load"]
        assert load["bytes"] == sum(load["types"].values())
        info(str(folder))
        assert "read from disk" in capsys.readouterr().out
    matrices = sum(int(np.prod(s)) for n, s in shapes(model.config).items() if is_matrix(n, s))
    assert load["types"] == {"int8": matrices, "float32": load["bytes"] - matrices}


def test_a_matrix_without_its_scale_is_refused(tmp_path):
    """Written by hand: the int8 tensors are there, the scales are not."""
    folder = quantise(small_model(dtype=torch.float32), tmp_path / "small")
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if not name.endswith(".scale")]  # noqa: SIM118
        state = {name: file.get_tensor(name).clone() for name in names}
    with ShardWriter(state, folder, "5GB") as writer:
        for name, tensor in state.items():
            writer.append(name, tensor)
    with pytest.raises(CheckpointError, match=r"lacks tensor stages\.0\.blocks\.0.*\.scale"):
        load_model(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = small_model(dtype=torch.float32)
    with torch.no_grad():
        model.blocks()[0].ffn.experts.w1[3, 0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"ffn\.experts\.w1 of the model holds values that"):
        quantise(model, tmp_path / "small")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    "words", [[], ["--method", "submodel", "--modalities", "optical"]], ids=["alone", "with method"]
)
def test_the_command(tmp_path, capsys, words):
    model = small_model(dtype=torch.float32)
    saved, out = str(save_model(model, tmp_path / "model")), tmp_path / "out"
    assert main(["prune", saved, "--int8", "--out", str(out), *words]) == 0
    config = model.config.replace(modalities=("optical",)) if words else model.config
    plan = plan_load(out)
    assert (plan.config, plan.bytes) == (config, bytes_by_hand(config, 4))
    row = next(x for x in capsys.readouterr().out.splitlines() if "weights on disk" in x)
    assert f"{plan.bytes / plan_load(saved).bytes:.1%}" in row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--int8"], "missing --out"),
        (["--int8", "--out", "x", "--modalities", "optical"], "add --method submodel"),
    ],
)
def test_what_the_command_refuses(tmp_path, capsys, words, message):
    saved = str(save_model(small_model(), tmp_path / "model"))
    assert main(["prune", saved, *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_memory_is_that_of_one_tensor(tmp_path):
    """Of over 120 MB the largest tensor has 20 * 384 * 1536 weights, 47 MB: quantising takes less
    than 75 MB above what it takes for a small model. Reading all before writing takes over 120.
    """
    large = SMALL.replace(embed_dim=48, depths=(1, 1, 1, 1))
    with torch.device("meta"):
        model = RingMoE(large)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    folder = save_model(model, tmp_path / "model")
    assert folder.joinpath("model.safetensors").stat().st_size > 120e6
    save_model(small_model(), tmp_path / "first")
    code = (
        "import os, sys; from ringmoe.pruning.quantisation import quantise\n"
        "os.chdir(sys.argv[1]); quantise('first', 'small')\n"
        f"before = {PEAK_KIB}\nquantise('model', 'small')\nprint({PEAK_KIB} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 75e6
