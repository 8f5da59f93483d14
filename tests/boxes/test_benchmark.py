"""The benchmark's scene is what it says, and what makes it fast does not hang on the machine."""

import json

import torch
from benchmarks.boxes import THRESHOLD, harbour, heap, measure
from benchmarks.timing import Turns

from benchmarks import boxes as benchmark
from ringmoe import boxes
from ringmoe.boxes import overlap, suppression


def test_the_harbour_is_crowded():
    """4 detections of each of 500 ships, of which NMS leaves about one; neighbours hardly overlap,
    but the horizontal boxes around them do."""
    found, scores = harbour(2000)
    assert found.shape == (2000, 5) and scores.shape == (2000,)
    assert torch.equal(found, harbour(2000)[0])
    ships = found[::4]
    others = boxes.rotated_iou(ships, ships).fill_diagonal_(0)
    around = torch.tensor(boxes.cxcywhr_to_xyxy(ships.numpy()))
    others_around = boxes.box_iou(around, around).fill_diagonal_(0)
    assert others.amax(1).median() < 0.2 < others_around.amax(1).median()
    kept = boxes.nms(found, scores, THRESHOLD)
    assert len(set((kept // 4).tolist())) > 400 and len(kept) < 700
    assert (boxes.rotated_iou(heap(200), heap(200)) > 0).float().mean() > 0.8


def test_most_pairs_are_not_computed(monkeypatch):
    """Of the 2 million pairs of the harbour's 2000 boxes, NMS computes under one in 50."""
    computed = []

    def counting(a, b, i, j):
        computed.append(len(i))
        return overlap.pairs_iou(a, b, i, j)

    monkeypatch.setattr(suppression, "pairs_iou", counting)
    boxes.nms(*harbour(2000), THRESHOLD)
    assert 2000 < sum(computed) < 2000 * 1999 / 2 / 50


def test_a_row_for_each_piece_of_work(monkeypatch):
    monkeypatch.setattr(benchmark, "harbour", lambda count, seed=0: harbour(40, seed))
    monkeypatch.setattr(benchmark, "heap", lambda count, seed=0: harbour(40, seed)[0])
    rows = measure(Turns(repeats=1, warmup=0))
    assert [row["goal_s"] for row in json.loads(json.dumps(rows))] == [0.2, None, 0.5, 0.5]
    assert all(row["rotated_s"] > 0 and row["horizontal_s"] > 0 for row in rows)
