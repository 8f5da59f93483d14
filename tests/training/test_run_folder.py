"""The run folder and its metrics."""

import json

import pytest

from ringmoe.errors import ConfigError
from ringmoe.training import Ranks, RunFolder, begin_run, read_metrics
from ringmoe.training.metrics import MetricLog

CONFIG = {"steps": 10, "learning_rate": 0.001, "log_every": 1, "out": "a"}


def test_a_run_folder_says_what_made_it(tmp_path):
    run = begin_run(tmp_path / "run", CONFIG, "abc", Ranks(), resume=False)
    assert run.config() == CONFIG
    environment = json.loads(run.environment_path.read_text())
    assert environment["data"] == "abc"
    assert {"torch", "ringmoe", "python", "device", "threads", "world_size"} <= environment.keys()


def test_a_run_is_not_started_over(tmp_path):
    begin_run(tmp_path, CONFIG, "abc", Ranks(), resume=False)
    with pytest.raises(ConfigError, match="--resume"):
        begin_run(tmp_path, CONFIG, "abc", Ranks(), resume=False)
    begin_run(tmp_path, CONFIG, "abc", Ranks(), resume=True)


def test_resume_without_a_run_starts_one(tmp_path):
    assert begin_run(tmp_path / "new", CONFIG, "abc", Ranks(), resume=True).config() == CONFIG


def test_resume_refuses_another_configuration_or_other_data(tmp_path):
    begin_run(tmp_path, CONFIG, "abc", Ranks(), resume=False)
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.001 and is now 0\.002") as caught:
        begin_run(tmp_path, CONFIG | {"learning_rate": 0.002}, "abc", Ranks(), resume=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="fingerprint abc, this one has xyz") as caught:
        begin_run(tmp_path, CONFIG, "xyz", Ranks(), resume=True)
    assert "\n" not in str(caught.value)
    begin_run(tmp_path, CONFIG | {"log_every": 5, "out": "b"}, "abc", Ranks(), resume=True)


def test_no_run_folder(tmp_path):
    with pytest.raises(ConfigError, match="no run folder"):
        RunFolder(tmp_path).config()


def test_metrics_of_steps_to_be_taken_again_are_dropped(tmp_path):
    """Killed after step 5 while writing step 6; the checkpoint is of step 3."""
    run = RunFolder(tmp_path)
    log = MetricLog(run, tensorboard=False)
    for step in range(1, 6):
        log.write(step, {"loss": step / 2, "absent": float("nan")})
    log.close()
    with run.metrics_path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert len(read_metrics(run.metrics_path)) == 5
    log = MetricLog(run, after_step=3, tensorboard=False)
    log.write(4, {"loss": 9.0})
    log.close()
    assert read_metrics(run.metrics_path) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 1.5},
        {"step": 4, "loss": 9.0},
    ]


def test_tensorboard_has_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = RunFolder(tmp_path)
    log = MetricLog(run)
    log.write(1, {"loss": 0.5})
    log.write(2, {"loss": 0.25})
    log.close()
    events = EventAccumulator(str(run.tensorboard_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
