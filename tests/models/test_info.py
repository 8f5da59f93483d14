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


def test_a_checkpoint_is_described_by_its_config(tmp_path, capsys):
    folder = save_model(small_model(), tmp_path / "model")
    info(str(folder), json=True)
    assert json.loads(capsys.readouterr().out) == {"model": str(folder), **describe(SMALL)}


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
