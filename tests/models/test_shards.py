"""Checkpoints of several files, as Hugging Face's libraries write and read them."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import load_torch_model
from safetensors import safe_open
from safetensors.torch import save_file
from tests.models.samples import small_model

from ringmoe.errors import CheckpointError, ConfigError, WriteError
from ringmoe.models import RingMoE, load_model, plan_load, save_model, shard_writer
from ringmoe.models.shards import read_header

LIMIT = 1_000_000  # bytes; the small model has 15.5 million, its largest tensor 2.6
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def model() -> RingMoE:
    return small_model()


@pytest.fixture
def saved(model, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "model", max_shard_bytes=LIMIT)


def equal(a: RingMoE, b: RingMoE) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return list(mine) == list(other) and all(torch.equal(t, other[n]) for n, t in mine.items())


def test_the_folder_is_in_hugging_faces_format(saved, model):
    """By arithmetic: sizes from the shapes, each tensor in the one file that the index names.

    A shard of several tensors is within the limit; names count from 1 to their number.
    """
    files = sorted(saved.glob("*.safetensors"))
    count = len(files)
    assert count > 3
    assert [f.name for f in files] == [
        f"model-{number + 1:05d}-of-{count:05d}.safetensors" for number in range(count)
    ]
    index = json.loads((saved / INDEX).read_text())
    sizes = {name: 8 * tensor.numel() for name, tensor in model.state_dict().items()}
    assert index["metadata"]["total_size"] == sum(sizes.values())
    assert index["weight_map"].keys() == sizes.keys()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            names = set(tensors.keys())
        assert names == {n for n, place in index["weight_map"].items() if place == file.name}
        assert len(names) == 1 or sum(sizes[name] for name in names) <= LIMIT


def test_hugging_face_reads_what_we_write(saved, model):
    other = small_model(seed=1)
    load_torch_model(other, saved, strict=True)
    assert equal(other, model)


def test_one_file_or_many_makes_no_difference(saved, model, tmp_path):
    single = save_model(model, tmp_path / "single")
    assert not (single / INDEX).exists()
    assert equal(load_model(saved), model)
    wanted = ("sar_amplitude", "optical")
    part = load_model(saved, modalities=wanted)
    assert equal(part, load_model(single, modalities=wanted))
    assert plan_load(saved, wanted).bytes == plan_load(single, wanted).bytes


def test_the_limit_as_text(saved, model, tmp_path):
    """ "1MB" is 1 000 000 bytes, as the field has it."""
    other = save_model(model, tmp_path / "other", max_shard_bytes="1MB")
    assert sorted(f.name for f in other.iterdir()) == sorted(f.name for f in saved.iterdir())


@pytest.mark.parametrize("limit", [0, -5, "5 potatoes", "", "5"])
def test_a_limit_that_is_no_size(model, tmp_path, limit):
    with pytest.raises(ConfigError, match="max_shard_bytes must be a number of bytes or text"):
        save_model(model, tmp_path / "model", max_shard_bytes=limit)
    assert not list(tmp_path.iterdir())


def test_saving_again_leaves_no_shard_of_the_old(saved, model):
    """Else two checkpoints would lie in one folder."""
    save_model(model, saved)
    assert sorted(f.name for f in saved.iterdir()) == [
        *("config.json", "model-card.md", "model.safetensors")
    ]


def test_a_disk_that_fills_up_at_the_third_shard_leaves_the_old_whole(saved, model, monkeypatch):
    written, write_at = set(), shard_writer.write_at

    def fill_up(file, position, data):
        if len(written | {file}) > 2:
            raise OSError(28, "No space left on device")
        written.add(file)
        write_at(file, position, data)

    monkeypatch.setattr(shard_writer, "write_at", fill_up)
    with pytest.raises(WriteError, match="disk is full"):
        save_model(small_model(seed=1), saved, max_shard_bytes=LIMIT)
    assert len(written) == 2
    assert equal(load_model(saved), model)
    assert [folder.name for folder in saved.parent.iterdir()] == ["model"]


def test_headers_are_those_that_the_library_sees(tmp_path):
    """Types, shapes and bytes of every kind of tensor: empty, scalar, of types no model has."""
    file = tmp_path / "tensors.safetensors"
    tensors = {
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(4, 0, 2),
        "double": torch.randn(2, 2, 2, dtype=torch.float64),
        "flags": torch.tensor([True, False, True]),
        "numbers": torch.arange(5),
    }
    save_file(tensors, file, metadata={"format": "pt"})
    raw = file.read_bytes()
    found = read_header(file)
    assert found.keys() == tensors.keys()
    with safe_open(file, framework="pt") as library:
        for name, tensor in found.items():
            there = library.get_slice(name)
            assert (list(tensor.shape), tensor.kind) == (there.get_shape(), there.get_dtype())
            bytes_of = tensors[name].flatten().view(torch.uint8).numpy().tobytes()
            assert raw[tensor.start : tensor.stop] == bytes_of


class TestRefusals:
    """Each in one line that names the file, for `load_model` and for `plan_load` alike."""

    def refused(self, saved: Path, *words: str) -> None:
        for call in (load_model, plan_load):
            with pytest.raises(CheckpointError) as error:
                call(saved)
            message = str(error.value)
            assert "\n" not in message
            for word in (*words, str(saved)):
                assert word in message

    def edit_index(self, saved: Path, change) -> None:
        index = json.loads((saved / INDEX).read_text())
        change(index["weight_map"])
        (saved / INDEX).write_text(json.dumps(index))

    def test_a_missing_shard(self, saved):
        shard = sorted(saved.glob("model-00002-*"))[0]
        shard.unlink()
        self.refused(saved, f"{shard} is missing", "names this shard")

    @pytest.mark.parametrize("keep", [0, 7, 1000, -1])
    def test_a_shard_cut_short(self, saved, keep):
        shard = sorted(saved.glob("model-00002-*"))[0]
        shard.write_bytes(shard.read_bytes()[:keep])
        self.refused(saved, str(shard), "cut short")

    def test_a_shard_that_is_too_long(self, saved):
        shard = sorted(saved.glob("model-00002-*"))[0]
        shard.write_bytes(shard.read_bytes() + b"tail")
        self.refused(saved, str(shard), "its header promises")

    def test_a_header_that_lies_about_a_shape(self, saved):
        """[8] values of 8 bytes declared as [9], the header as long as before."""
        shard = next(
            f for f in saved.glob("*.safetensors") if "stems.optical.bias" in read_header(f)
        )
        raw = shard.read_bytes()
        entry = raw[raw.index(b'"stems.optical.bias"') :]
        lie = entry.replace(b'"shape":[8]', b'"shape":[9]', 1)
        shard.write_bytes(raw[: -len(entry)] + lie)
        self.refused(saved, str(shard), "64 bytes for a tensor of 72")

    def test_a_tensor_that_its_shard_lacks(self, saved):
        self.edit_index(saved, lambda places: places.update(head=places["stems.optical.bias"]))
        self.refused(saved, "lacks tensor head")

    def test_a_tensor_that_the_index_lacks(self, saved):
        self.edit_index(saved, lambda places: places.pop("stems.optical.bias"))
        self.refused(saved, "has tensor stems.optical.bias", "no shard")

    def test_shards_of_another_checkpoint(self, saved, tmp_path):
        other = small_model(modalities=("optical", "sar_complex"))
        save_model(other, tmp_path / "other", max_shard_bytes=LIMIT)
        (tmp_path / "other" / "config.json").replace(saved / "config.json")
        self.refused(saved, f"{saved}", "has unexpected tensor")

    def test_an_index_that_leads_out_of_the_folder(self, saved):
        self.edit_index(saved, lambda places: places.update(head="../../etc/passwd"))
        self.refused(saved, f"{INDEX} is no index of shards", "is no file name")

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}']
    )
    def test_a_broken_index(self, saved, text):
        (saved / INDEX).write_text(text)
        self.refused(saved, f"{INDEX} is no index of shards")

    def test_two_checkpoints_in_one_folder(self, saved, model, tmp_path):
        """As in a repository to which both were pushed: which one is meant cannot be known."""
        single = save_model(model, tmp_path / "single")
        (single / "model.safetensors").rename(saved / "model.safetensors")
        self.refused(saved, "has both model.safetensors and model.safetensors.index.json")
