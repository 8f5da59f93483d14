"""The plans of the fine-tuning benchmarks: everything that they name is there, and allowed."""

import json
from pathlib import Path

import benchmarks.overfit as overfit
import benchmarks.task_runs as task_runs
import pytest
import yaml
from benchmarks.simulated_tasks import prepare

from ringmoe.datasets import DataConfig
from ringmoe.models import read_config
from ringmoe.tasks import task_from

FOLDER = Path(task_runs.__file__).parent


def plan_named(name):
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.mark.parametrize("name", ["real_tasks.yaml", "simulated_tasks.yaml"])
def test_every_task_can_be_run(name, tmp_path):
    plan = plan_named(name)
    for task, settings in plan["tasks"].items():
        task_runs.run_config(plan, task, "random", 0, tmp_path).check()
        classes = () if settings["task"] == "height" else ("a", "b")
        task_from({"task": settings["task"], "classes": classes, **settings["options"]})
        if "data" in settings:
            DataConfig(path=tmp_path, **settings["data"]).check()
            assert set(plan["scenes"][settings["scenes"]]) == {"train", "test"}


@pytest.mark.parametrize("head", overfit.HEADS)
def test_every_head_that_learns_by_heart_can_be_made(head):
    assert task_from({"classes": ("a",), "channels": 8, **overfit.HEADS[head]}).label_kind
    assert {len(overfit.heads_of(name)) for name in overfit.SETS} == {3, 1}


def test_test_scenes_are_of_other_seeds():
    plan = plan_named("simulated_tasks.yaml")
    seeds = [part["seed"] for parts in plan["scenes"].values() for part in parts.values()]
    assert len({plan["archive"]["seed"], *seeds}) == len(seeds) + 1


def test_a_start_that_is_not_there_is_named(tmp_path):
    plan = {"starts": {"dense": str(tmp_path / "seed{seed}")}, "tasks": {"a": {}}}
    with pytest.raises(SystemExit, match="seed3 is not there"):
        task_runs.run_config(plan, "a", "dense", 3, tmp_path)


def test_the_table_shows_spread_and_units(tmp_path):
    plan = {"tasks": {"height": {"task": "height", "shown": ["rmse", "delta1"]}}}
    for seed, (rmse, delta) in enumerate([(2.0, 0.5), (3.0, 0.6), (4.0, 0.7)]):
        cell = {"result": {"test": {"rmse": rmse, "delta1": delta}}}
        path = tmp_path / "height" / f"random-seed{seed}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(cell))
    lines = task_runs.table(tmp_path, plan, ["random"]).splitlines()
    assert lines[2:] == [
        "| height | RMSE, m | 3.00 ± 1.00 |",
        "| height | delta1 | 60.0 ± 10.0 |",
    ]


def test_tasks_without_a_cell_are_left_out_of_the_table(tmp_path):
    plan = {"tasks": {"height": {"task": "height", "shown": ["rmse"]}}}
    assert len(task_runs.table(tmp_path, plan, ["random"]).splitlines()) == 2


@pytest.mark.parametrize(("name", "more"), [("real_tasks", ["a-convnet"]), ("simulated_tasks", [])])
def test_the_page_has_the_table_that_the_cells_give(name, more):
    plan = plan_named(f"{name}.yaml")
    assert set(plan["titles"]) >= set(plan["tasks"])
    page = (FOLDER.parent / "docs" / "measurements.md").read_text()
    assert task_runs.table(FOLDER / "results" / name, plan, [*plan["starts"], *more]) in page


def test_the_page_has_what_was_learned_by_heart():
    page = (FOLDER.parent / "docs" / "benchmarks.md").read_text()
    assert overfit.table(FOLDER / "results" / "overfit") in page


@pytest.mark.slow
def test_starts_are_pretrained_where_tasks_look_for_them(tmp_path):
    plan = plan_named("simulated_tasks.yaml")
    plan["scenes"] = {}
    plan["archive"] |= {"scenes": 2, "size": 144}
    plan["starts"] = {"dense": str(tmp_path / "dense-seed{seed}" / "model"), "random": "nano"}
    plan["pretraining"]["dense"] |= {"steps": 1, "batch_size": 4, "warmup_steps": 0}
    prepare(plan, tmp_path, ["dense", "random"], [0])
    task_runs.run_config(plan, "change", "dense", 0, tmp_path)
    shape = read_config(tmp_path / "dense-seed0" / "model")
    assert (shape.specialized_experts, shape.mlp_ratio) == (0, 12)
