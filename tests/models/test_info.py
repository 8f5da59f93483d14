import json

import pytest
from tests.models.samples import SMALL, small_model

from ringmoe.cli.info import info
from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models import PRESETS, describe, save_model


def test_json_is_what_describe_says(capsys):
    name = "giant"
    info(name, json=True)
    assert json.loads(capsys.readouterr().out) == {"model": name, **describe(PRESETS[name])}


def test_a_checkpoint_is_described_by_its_config_and_its_bytes(tmp_path, capsys):
    """Saved in float64: 8 bytes for each parameter."""
    folder = save_model(small_model(), tmp_path / "model")
    info(str(folder), json=True)
    found = json.loads(capsys.readouterr().out)
    load = found.pop("load")
    assert found == {"model": str(folder), **describe(SMALL)}
    due = 8 * found["parameters"]["total"]
    assert (load["bytes"], load["stored_bytes"], load["types"]) == (due, due, {"float64": due})


def test_tables_show_the_figures_for_people(capsys):
    info("giant")
    out = capsys.readouterr().out
    for figure in ("14.75 G", "2.43 G", "6.535 G", "4.482 G", "1.061 G", "632 GFLOP", "HH_I, HH_Q"):
        assert figure in out


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"neither a preset \(nano, tiny, base, giant\) nor"):
        info("gigantic")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        info(str(tmp_path))


def test_modalities_of_a_preset(capsys):
    """The sub-model of one modality, as the whole preset's facts name its size."""
    info("giant", modalities=("sar_amplitude",), json=True)
    found = json.loads(capsys.readouterr().out)
    whole = describe(PRESETS["giant"])["parameters"]
    assert found["parameters"]["total"] == whole["sub_models"]["sar_amplitude"]
    assert "load" not in found


def test_modalities_of_a_checkpoint_and_the_bytes_they_need(tmp_path, capsys):
    """The model is saved in float64: 8 bytes for each parameter of the sub-model."""
    folder = save_model(small_model(), tmp_path / "model", max_shard_bytes="1MB")
    info(str(folder), modalities=("optical",), json=True)
    found = json.loads(capsys.readouterr().out)
    load = found["load"]
    assert found["modalities"] == ["optical"]
    assert load["bytes"] == 8 * found["parameters"]["total"]
    assert load["bytes"] == sum(file["bytes"] for file in load["files"].values())
    assert sorted(load["files"]) == sorted(file.name for file in folder.glob("*.safetensors"))
    for name, file in load["files"].items():
        assert file["bytes"] == sum(stop - start for start, stop in file["ranges"])
        assert max(stop for _, stop in file["ranges"]) <= (folder / name).stat().st_size

    info(str(folder), modalities=("optical",))
    assert "model-00001-of-" in capsys.readouterr().out


def test_a_modality_that_a_checkpoint_lacks(tmp_path):
    folder = save_model(small_model(modalities=("optical",)), tmp_path / "model")
    with pytest.raises(ConfigError, match="no modality 'sar_complex': it has optical"):
        info(str(folder), modalities=("sar_complex",))
