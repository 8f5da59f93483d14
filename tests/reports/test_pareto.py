"""The picture of a plan, looked at through its pixels and what was drawn."""

import numpy as np
import pytest
from PIL import Image

from ringmoe.reports.pareto import METHODS, pareto_picture


def candidate(method, size, fidelity, **others):
    costs = {"bytes": size, "parameters": size / 4, "flops": 2 * size, "latency": size / 1e9}
    facts = {"method": method, "int8": False, "fidelity": fidelity, "chosen": False, "front": []}
    return facts | costs | others


CANDIDATES = [
    candidate("submodel", 60e6, 1.0, front=["bytes"]),
    candidate("ep", 40e6, 0.9, front=["bytes"], chosen=True),
    candidate("ka", 10e6, 0.2, front=["bytes"], int8=True),
    candidate("ks", 10e6, -300.0),
]


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def has(picture, colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(picture - rgb).max(2) <= 3).sum() > 50


@pytest.mark.slow
def test_every_method_is_drawn_and_the_same_plan_is_the_same_file(tmp_path):
    first = pareto_picture(CANDIDATES, tmp_path / "first.png", ("bytes", 50e6))
    picture = read(first)
    for method in ("submodel", "ep", "ka", "ks"):
        assert has(picture, METHODS[method])
    assert not has(picture, METHODS["neurons"])
    second = pareto_picture(CANDIDATES, tmp_path / "second.png", ("bytes", 50e6))
    assert first.read_bytes() == second.read_bytes()
    assert (read(pareto_picture(CANDIDATES, tmp_path / "third.png")) != picture).any()  # no budget


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["latency", "flops"])
def test_costs_that_were_not_measured_are_left_out(tmp_path, cost):
    """One panel of four is missing: three quarters of the width."""
    fewer = [{**c, cost: None} for c in CANDIDATES]
    full = read(pareto_picture(CANDIDATES, tmp_path / "full.png")).shape[1]
    found = read(pareto_picture(fewer, tmp_path / "fewer.png")).shape[1]
    assert found == pytest.approx(0.75 * full, rel=0.02)
