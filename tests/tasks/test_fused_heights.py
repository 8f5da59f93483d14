"""Heights from two modalities: learned, scored, and seen with one of the two missing."""

import pytest
import torch
from tests.tasks.labelled import settings, write_backbone

from ringmoe.datasets import DataConfig, LabelledLoader, open_data
from ringmoe.errors import ConfigError
from ringmoe.simulation import write_simulation
from ringmoe.tasks import evaluate_run, finetune, load_task
from ringmoe.training import read_metrics

pytestmark = pytest.mark.slow  # trains

SENSORS = {"sar_amplitude": "simulated-sar-amplitude", "optical": "simulated-optical"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scenes of houses, and a backbone of both modalities."""
    folder = tmp_path_factory.mktemp("heights")
    write_simulation(folder / "scenes", scenes=6, size=32, seed=3, kinds=["village", "industrial"])
    write_backbone(folder / "start")
    return folder


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_a_model_of_two_modalities(folder, tmp_path, missing):
    """It learns of both; with one it answers if it has learned to, and else says what to do."""
    data = DataConfig(path=folder / "scenes", sensors=SENSORS, validation=0.34, test=0.34)
    options = {"method": "regression", "high": 40.0, "channels": 8}
    changes = {"steps": 20, "learning_rate": 0.64, "missing": missing, "options": options}
    config = settings(folder / "start", tmp_path / "run", **changes)
    run = finetune("height", config, data, progress=False)
    losses = [line["loss"] for line in read_metrics(run.metrics_path)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    _, figures = evaluate_run(run.run_dir)
    assert 0 < figures["rmse"] < 40
    model = load_task(run.model_dir, "height")
    examples = open_data(data, "height")
    batch = next(iter(LabelledLoader(examples, [0, 1], batch_size=2, crop_size=32).epoch()))
    with torch.no_grad():
        both = model(batch.observations)
        assert both.shape == (2, 1, 32, 32) and both.std() > 0
        for name in SENSORS:
            alone = {name: batch.observations[name]}
            if missing:
                seen = model(alone)
                assert seen.shape == both.shape and not torch.allclose(seen, both)
                continue
            with pytest.raises(ConfigError, match=r"is missing.*train with missing over 0"):
                model(alone)
