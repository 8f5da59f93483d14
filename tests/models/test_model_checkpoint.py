import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.models.samples import SMALL, difference, observe, small_model

import ringmoe
from ringmoe.errors import CheckpointError, ConfigError, WriteError
from ringmoe.models import load_model, read_config, save_model, shard_writer
from ringmoe.tasks.adaptation import add_lora

FILES = ["config.json", "model-card.md", "model.safetensors"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_model(small_model(), tmp_path / "model")


def test_round_trip(saved):
    """Every tensor and every feature, bit for bit, in the dtype it was saved in."""
    model, loaded = small_model(), load_model(saved)
    assert sorted(file.name for file in saved.iterdir()) == FILES
    assert loaded.config == SMALL
    assert not loaded.training
    assert all(torch.equal(a, loaded.state_dict()[n]) for n, a in model.state_dict().items())
    image = observe("sar_complex")
    with torch.no_grad():
        for a, b in zip(model([image])[0], loaded([image])[0], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "wanted", [("optical",), ("sar_amplitude", "optical"), ("sar_complex", "multispectral")]
)
@torch.no_grad()
def test_some_modalities_give_the_same_features_without_the_rest(saved, wanted):
    """In the order asked for. Rounding may differ: a router's product has fewer rows."""
    whole, part = small_model(), load_model(saved, modalities=wanted)
    assert part.config.modalities == wanted
    assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())
    images = [observe(modality, 2) for modality in wanted]
    for a, b in zip(whole(images), part(images), strict=True):
        assert max(difference(x, y) for x, y in zip(a, b, strict=True)) < 1e-12


def test_a_loaded_model_learns(saved):
    model = load_model(saved, modalities=("optical",)).train()
    model([observe("optical")])[0][-1].square().mean().backward()
    assert all(p.requires_grad and p.grad is not None for p in model.parameters())


def test_a_dtype_is_given_on_the_way(saved):
    model = load_model(saved, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_experts_are_stacked_in_the_file(saved):
    """`[experts, in, out]`: 4 modalities of 4, and 4 collaborative, of 8 to 32 channels."""
    with safe_open(saved / "model.safetensors", framework="pt") as tensors:
        stack = tensors.get_slice("stages.0.blocks.0.ffn.experts.w1")
        assert stack.get_shape() == [20, 8, 32]


def test_saving_over_a_checkpoint_replaces_it(saved):
    other = small_model(seed=1)
    save_model(other, saved, card="# Mine\n")
    assert (saved / "model-card.md").read_text() == "# Mine\n"
    loaded = load_model(saved).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in other.state_dict().items())
    assert [folder.name for folder in saved.parent.iterdir()] == ["model"]  # nothing left beside


def test_a_full_disk_leaves_the_old_checkpoint_whole(saved, monkeypatch):
    def out_of_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard_writer, "write_at", out_of_space)
    with pytest.raises(WriteError, match="disk is full"):
        save_model(small_model(seed=1), saved)
    monkeypatch.undo()
    expected, loaded = small_model().state_dict(), load_model(saved).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in expected.items())
    assert [folder.name for folder in saved.parent.iterdir()] == ["model"]


def test_a_folder_with_other_things_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(WriteError, match=r"not a checkpoint folder \(it holds thesis.tex\)"):
        save_model(small_model(), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "ten years of work"


def test_the_files_are_as_readable_as_any_other(saved):
    modes = {file.stat().st_mode for file in saved.iterdir()}
    assert len(modes) == 1


def test_the_default_card_states_size_and_channels(saved):
    card = (saved / "model-card.md").read_text()
    assert "HH_I, HH_Q" in card
    assert "not stated" in card


class TestRefusals:
    """Each names the tensor or the setting, what is there and what is due, and the file."""

    def change(self, saved: Path, **tensors: torch.Tensor | None) -> None:
        state = load_file(saved / "model.safetensors") | tensors
        save_file(
            {name: tensor for name, tensor in state.items() if tensor is not None},
            saved / "model.safetensors",
        )

    def refused(self, saved: Path, *words: str) -> None:
        with pytest.raises(CheckpointError) as error:
            load_model(saved)
        message = str(error.value)
        assert "\n" not in message
        for word in (*words, str(saved)):
            assert word in message

    def test_missing_tensor(self, saved):
        self.change(saved, **{"stages.0.blocks.1.norm1.weight": None})
        self.refused(saved, "lacks tensor stages.0.blocks.1.norm1.weight", "model.safetensors")

    def test_unexpected_tensor(self, saved):
        self.change(saved, head=torch.zeros(3))
        self.refused(saved, "unexpected tensor head")

    def test_misshapen_tensor(self, saved):
        self.change(saved, **{"stems.optical.weight": torch.zeros(8, 4, 4, 4)})
        self.refused(saved, "stems.optical.weight", "(8, 4, 4, 4)", "(8, 3, 4, 4)")

    def test_a_misshapen_tensor_of_another_modality_than_asked_for(self, saved):
        self.change(saved, **{"stems.optical.weight": torch.zeros(8, 4, 4, 4)})
        with pytest.raises(CheckpointError, match=r"stems\.optical\.weight"):
            load_model(saved, modalities=("sar_complex",))

    def test_integers_for_weights(self, saved):
        self.change(saved, **{"stems.optical.bias": torch.zeros(8, dtype=torch.int64)})
        self.refused(saved, "stems.optical.bias", "I64", "floating")

    @pytest.mark.parametrize("keep", [0, 7, 1000, -100])
    def test_file_cut_short(self, saved, keep):
        file = saved / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        self.refused(saved, "cut short")

    def test_no_weights(self, saved):
        (saved / "model.safetensors").unlink()
        self.refused(saved, "model.safetensors is missing")

    def test_a_pickle_is_not_loaded(self, saved, tmp_path):
        """Not even looked into: a file that would run code on loading runs none."""
        witness = tmp_path / "ran"

        class Trap:
            def __reduce__(self):
                return Path.touch, (witness,)

        torch.save({"stems.optical.bias": Trap()}, saved / "model.safetensors")
        self.refused(saved, "no safetensors file")
        assert not witness.exists()

    def test_no_checkpoint_at_all(self, tmp_path):
        self.refused(tmp_path, "is no checkpoint", "config.json")
        self.refused(tmp_path / "absent", "is no checkpoint")

    def test_the_run_that_holds_it(self, saved, tmp_path):
        saved.rename(tmp_path / "model")
        self.refused(tmp_path, f"is no checkpoint but a run: give {tmp_path}/model")

    def test_misspelt_setting(self, saved):
        self.edit(saved, lambda values: values["model"].update(embed_dims=8))
        self.refused(saved, "embed_dims", "did you mean 'embed_dim'")

    def test_another_format(self, saved):
        self.edit(saved, lambda values: values.update(format=99))
        self.refused(saved, "format 99", "reads format 1")

    def test_other_channels(self, saved):
        """Weights whose slices mean other bands must not be used as if they were ours."""
        self.edit(saved, lambda values: values["channels"]["optical"].reverse())
        self.refused(saved, "['blue', 'green', 'red']", "['red', 'green', 'blue']")

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1', '{"format": 1, "model": 3}'])
    def test_broken_config(self, saved, text):
        (saved / "config.json").write_text(text)
        self.refused(saved, "config.json is no model configuration")

    def test_an_unknown_modality(self, saved):
        with pytest.raises(ConfigError, match="no modality 'thermal': it has optical"):
            load_model(saved, modalities=("thermal",))

    def edit(self, saved: Path, change) -> None:
        file = saved / "config.json"
        values = json.loads(file.read_text())
        change(values)
        file.write_text(json.dumps(values))


def test_the_configuration_alone_can_be_read(saved):
    assert read_config(saved) == SMALL


def test_the_public_names(saved):
    assert ringmoe.load_model(saved).config == SMALL
    assert ringmoe.save_model is save_model


def test_a_compiled_model_is_saved_as_the_original(saved, tmp_path):
    model = load_model(saved)
    assert "_orig_mod" in next(iter(torch.compile(model).state_dict()))
    again = load_model(save_model(torch.compile(model), tmp_path / "again"))
    assert all(torch.equal(a, again.state_dict()[n]) for n, a in model.state_dict().items())


def test_a_model_with_adapters_is_not_saved_over_a_good_one(saved):
    """Nobody could load it: its matrices have other names."""
    model = load_model(saved)
    before = (saved / "model.safetensors").read_bytes()
    add_lora(model, 2)
    for save in (lambda: save_model(model, saved), lambda: model.save_pretrained(saved)):
        with pytest.raises(ConfigError, match="save the backbone itself, adapters merged"):
            save()
    assert (saved / "model.safetensors").read_bytes() == before
