"""What loading reads, told beforehand and counted by the operating system."""

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tests.models.samples import SMALL, small_model
from tests.models.test_describe import GIANT, parameters_by_hand
from tests.processes import PEAK_KIB

from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models import PRESETS, ModelConfig, RingMoE, load_model, plan_load, save_model
from ringmoe.models.folder import write_config
from ringmoe.sensors import MODALITIES


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "model"
    return save_model(small_model(), folder, max_shard_bytes=2_000_000)


@pytest.mark.slow
@given(order=st.permutations(list(MODALITIES)), count=st.integers(1, 4))
@settings(max_examples=12)
def test_the_ranges_hold_the_rows_that_the_modalities_need(saved, order, count):
    """Read plainly from the files and put together, they are the rows that safetensors gives.

    Of a stack of 20 these are, by the format, 4 for each modality in the order asked for, at 4
    times its place in the checkpoint, then the last 4; of any other tensor all.
    """
    wanted = order[:count]
    plan = plan_load(saved, wanted)
    assert plan.config == SMALL.replace(modalities=tuple(wanted))
    numbers = [4 * list(MODALITIES).index(m) + i for m in wanted for i in range(4)]
    numbers += [16, 17, 18, 19]
    for read in plan.reads:
        raw = read.file.read_bytes()
        found = b"".join(raw[start:stop] for start, stop in read.ranges)
        with safe_open(read.file, framework="pt") as tensors:
            due = tensors.get_tensor(read.name)
        if ".experts." in read.name or ".router." in read.name:
            due = due[numbers]
        assert found == due.contiguous().view(torch.uint8).numpy().tobytes()
        assert read.shape == tuple(due.shape)
        assert read.bytes == len(found)


def test_files_join_the_ranges_of_all_tensors(saved):
    """Ascending, with a gap between each two; together as many bytes as the tensors'."""
    plan = plan_load(saved, ("multispectral",))
    everything = plan_load(saved)
    total = 0
    for file, ranges in plan.files.items():
        assert ranges == tuple(sorted(ranges))
        for (_, stop), (start, _) in pairwise(ranges):
            assert stop < start
        total += sum(stop - start for start, stop in ranges)
        assert len(everything.files[file]) == 1  # all of its data
    assert total == plan.bytes < plan.stored_bytes == everything.bytes


def test_a_modality_that_is_not_there(saved):
    with pytest.raises(ConfigError, match="no modality 'thermal': it has optical"):
        plan_load(saved, ["thermal"])


def sparse_checkpoint(folder: Path, config: ModelConfig) -> Path:
    """A bfloat16 checkpoint whose files have headers and, where data should be, a hole.

    Written by the words of the format, and divided as Hugging Face's library divides.
    """
    folder.mkdir()
    write_config(folder, config)
    with torch.device("meta"):
        state = RingMoE(config).to(torch.bfloat16).state_dict()
    split = split_torch_state_dict_into_shards(state, max_shard_size="5GB")
    for shard, names in split.filename_to_tensors.items():
        header, at = {}, 0
        for name in names:
            end = at + 2 * state[name].numel()
            shape = list(state[name].shape)
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            at = end
        text = json.dumps(header).encode()
        with (folder / shard).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + at)
    index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def bytes_read() -> int:
    """By this process since it started, through any system call that reads (Linux)."""
    line = next(x for x in Path("/proc/self/io").read_text().splitlines() if "rchar" in x)
    return int(line.split()[1])


def test_one_modality_of_giant_is_planned_without_reading_it(tmp_path):
    """6.534 of 14.746 billion weights: the ranges add up to twice the closed form, in bfloat16.

    29.5 GB in files that take no room: what is read are the headers, under a megabyte.
    """
    folder = sparse_checkpoint(tmp_path / "giant", PRESETS["giant"])
    files = sorted(folder.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) > 29e9
    assert sum(512 * file.stat().st_blocks for file in files) < 1e6
    assert len(files) >= 6  # 29.5 GB in shards of 5

    before = bytes_read()
    plan = plan_load(folder, ["sar_amplitude"])
    assert bytes_read() - before < 1e6

    due = parameters_by_hand(*GIANT, 9, 8, (5,))
    assert due == pytest.approx(6.534e9, rel=1e-3)
    assert plan.parameters == due
    assert plan.bytes == 2 * due
    assert list(plan.files) == files
    ranges = [r for each in plan.files.values() for r in each]
    assert sum(stop - start for start, stop in ranges) == 2 * due
    assert all(start < stop <= f.stat().st_size for f in files for start, stop in plan.files[f])
    assert plan.stored_bytes == 2 * parameters_by_hand(*GIANT, 21, 20, (3, 13, 8, 5))


def test_a_giant_shard_one_byte_short_is_noticed(tmp_path):
    folder = sparse_checkpoint(tmp_path / "giant", PRESETS["giant"])
    shard = sorted(folder.glob("*.safetensors"))[2]
    os.truncate(shard, shard.stat().st_size - 1)
    with pytest.raises(CheckpointError, match=rf"{shard} cannot be read.*cut short"):
        plan_load(folder, ["sar_amplitude"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_weights_go_to_the_gpu(saved, dtype):
    model = load_model(saved, ["optical"], device="cuda", dtype=dtype)
    same = load_model(saved, ["optical"], dtype=dtype).state_dict()
    assert all(t.is_cuda and torch.equal(t.cpu(), same[n]) for n, t in model.state_dict().items())


def test_a_buffer_smaller_than_a_tensor_converts_all_of_it(saved, monkeypatch):
    """With 1000 bytes at once, tensors of several kB come in many parts and a rest."""
    monkeypatch.setattr("ringmoe.models.reading.CHUNK_BYTES", 1000)
    found = load_model(saved, ["optical"], dtype=torch.float16).state_dict()
    due = load_model(saved, ["optical"]).state_dict()
    assert all(torch.equal(tensor.half(), found[name]) for name, tensor in due.items())


MEASURE = f"""
import json, sys, torch
from ringmoe.models import load_model
def status(key):
    return 1024 * int(next(x for x in open('/proc/self/status') if x.startswith(key)).split()[1])
def bytes_read():
    return int(next(x for x in open('/proc/self/io') if x.startswith('rchar')).split()[1])
warm, folder, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if 'dtype' in options:
    options['dtype'] = getattr(torch, options['dtype'])
load_model(warm, **options)  # what is imported and set up only once
resident, before = status('VmRSS:'), bytes_read()
model = load_model(folder, **options)
read, peak = bytes_read() - before, 1024 * {PEAK_KIB}
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(json.dumps({{"read": read, "grown": peak - resident, "weights": weights}}))
"""


@pytest.fixture(scope="module")
def nano(tmp_path_factory) -> Path:
    """The nano preset in float32, 144 MB, in shards of 20 MB."""
    with torch.device("meta"):
        model = RingMoE(PRESETS["nano"])
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    return save_model(model, tmp_path_factory.mktemp("nano") / "model", max_shard_bytes="20MB")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "experts", "rows", "channels", "width"),
    [
        ({}, 21, 20, (3, 13, 8, 5), 4),
        ({"modalities": ["sar_complex"], "dtype": "bfloat16"}, 9, 8, (8,), 2),
    ],
)
def test_bytes_and_memory_of_loading(saved, nano, options, experts, rows, channels, width):
    """A fresh process counts what its system calls read, and the peak of its resident memory.

    Read: 4 bytes for each weight of the closed form, and the headers and configuration, which are
    as long as the files are longer than their tensors. Memory: the weights in the type asked for
    (4 or 2 bytes), a buffer of 16 MiB where they are converted, and 8 MB for the model's objects
    and the allocator. A second copy, or the unneeded experts, would be 32 MB or more.
    """
    config = PRESETS["nano"]
    shape = (config.embed_dim, config.depths, config.num_heads)
    weights = parameters_by_hand(*shape, experts, rows, channels)
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, str(saved), str(nano), json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(out.stdout)
    tensors = 4 * parameters_by_hand(*shape, 21, 20, (3, 13, 8, 5))
    headers = sum(file.stat().st_size for file in nano.iterdir()) - tensors
    assert headers < 300_000
    assert 4 * weights <= found["read"] <= 4 * weights + headers + 10_000
    assert found["weights"] == width * weights
    buffer = 16 * 2**20 if "dtype" in options else 0
    assert width * weights * 0.95 <= found["grown"] <= width * weights + buffer + 8e6


def test_parameters_are_those_of_the_shapes(saved):
    plan = plan_load(saved, ["optical"])
    loaded = load_model(saved, ["optical"])
    assert plan.parameters == sum(math.prod(p.shape) for p in loaded.parameters())
