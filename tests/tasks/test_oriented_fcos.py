"""The anchor-free head: which cells learn what, closed forms of its losses, what it leaves out."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.objects import labels_of, no_objects
from torch.testing import assert_close

from ringmoe.boxes import ObjectBatch
from ringmoe.tasks import OrientedDetection
from ringmoe.tasks.heads.detections import Selection
from ringmoe.tasks.heads.oriented_fcos import (
    FIRST_EDGE,
    FCOSDetections,
    assign,
    decode,
    grid_of,
    in_ignored,
    quality_focal,
)

SHAPES = ((16, 16), (8, 8), (4, 4), (2, 2))  # of 64 pixels
CELLS = sum(rows * columns for rows, columns in SHAPES)
LIKE = torch.zeros(1, dtype=torch.float64)
TASK = OrientedDetection(classes=("bright", "dark"))


def one_box(*numbers: float, ignored: bool = False, image: int = 0, batch: int = 1) -> ObjectBatch:
    return replace(
        no_objects(batch, True),
        boxes=torch.tensor([numbers]),
        classes=torch.tensor([1]),
        ignored=torch.tensor([ignored]),
        images=torch.tensor([image]),
        ids=torch.tensor([-1]),
    )


def joined(*batches: ObjectBatch) -> ObjectBatch:
    """The objects of all, in the images of the first."""
    fields = ("boxes", "classes", "ignored", "images", "ids")
    both = {name: torch.cat([getattr(b, name) for b in batches]) for name in fields}
    return replace(batches[0], **both)


def codes_of(boxes: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """What cells would have to say, written from the definition of `decode`."""
    angle = 2 * boxes[:, 4:]
    return torch.cat(
        [
            (boxes[:, :2] - grid[:, :2]) / grid[:, 2:],
            (boxes[:, 2:4] / (FIRST_EDGE * grid[:, 2:])).log(),
            angle.cos(),
            angle.sin(),
        ],
        1,
    )


def output_of(batch: int, seed: int = 0) -> FCOSDetections:
    """Random ones in float64 that have a gradient."""
    generator = torch.Generator().manual_seed(seed)
    scores, codes = (
        torch.randn(batch, CELLS, n, generator=generator, dtype=torch.float64) for n in (2, 6)
    )
    return FCOSDetections(
        scores=scores.requires_grad_(),
        codes=codes.requires_grad_(),
        shapes=SHAPES,
        cells=6.0,
        box_loss="probiou",
        selection=Selection(),
    )


def test_cells_lie_in_the_middle_of_their_pixels():
    """The first cell of stride 4 spans pixels 0 to 4; level after level, row after row."""
    grid = grid_of(SHAPES, LIKE)
    assert grid[0].tolist() == [2, 2, 4] and grid[1].tolist() == [6, 2, 4]
    assert grid[16].tolist() == [2, 6, 4] and grid[256].tolist() == [4, 4, 8]
    assert grid[-1].tolist() == [48, 48, 32]


@given(
    st.lists(
        st.tuples(
            *[st.floats(0, 64)] * 2, st.floats(4, 100), st.floats(4, 100), st.floats(-1.5, 1.5)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_boxes_come_back(numbers):
    """Any cell can say any box: twice the angle and back is the angle, from -pi/2 to pi/2."""
    boxes = torch.tensor(numbers, dtype=torch.float64)
    grid = grid_of(SHAPES, LIKE)[:: CELLS // len(boxes)][: len(boxes)]
    assert_close(decode(codes_of(boxes, grid), grid), boxes, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("edge", "stride"), [(24.0, 4), (24.1, 8), (48.0, 8), (60.0, 16), (1, 4)])
def test_an_object_is_learnt_on_the_level_of_its_size(edge, stride):
    """Up to 6 cells: 24 pixels at stride 4. The 3 x 3 cells around the middle of 64 x 64 pixels."""
    place, which = assign(one_box(33.0, 33.0, edge, edge, 0.3), SHAPES, 6.0)
    grid = grid_of(SHAPES, LIKE)[place]
    assert len(place) == 9 and which.tolist() == [0] * 9
    assert set(grid[:, 2].tolist()) == {stride}
    middle = 32 + stride / 2
    expected = {middle - stride, middle, middle + stride}
    assert set(grid[:, 0].tolist()) == set(grid[:, 1].tolist()) == expected


def test_at_the_edge_there_are_fewer_cells():
    """A centre in the corner cell: 2 x 2 are in the image. Outside it: those nearest to it."""
    place, _ = assign(one_box(1.0, 1.0, 9.0, 5.0, 0.0), SHAPES, 6.0)
    assert sorted(place.tolist()) == [0, 1, 16, 17]
    place, _ = assign(one_box(70.0, -9.0, 20.0, 20.0, 0.0), SHAPES, 6.0)
    assert sorted(place.tolist()) == [14, 15, 30, 31]


def test_a_cell_learns_the_nearer_object():
    """Centres 8 pixels apart, the column between claimed by both: at x = 34, 4.2 and 3.8 away.

    9 cells each, of which 3 are shared.
    """
    both = joined(one_box(29.8, 34.0, 12, 6, 0.0), one_box(37.8, 34.0, 12, 6, 0.0))
    place, which = assign(both, SHAPES, 6.0)
    grid = grid_of(SHAPES, LIKE)[place]
    assert len(place) == len(set(place.tolist())) == 15
    assert set(which[grid[:, 0] == 34.0].tolist()) == {1}
    assert sorted(which.tolist()) == [0] * 6 + [1] * 9


def test_losses_of_the_truth_are_nothing():
    """Cells that say the box, are sure of it, and elsewhere of nothing."""
    labels = one_box(33.0, 30.0, 20.0, 7.0, -1.2)
    grid = grid_of(SHAPES, LIKE)
    place, which = assign(labels, SHAPES, 6.0)
    codes = torch.zeros(1, CELLS, 6, dtype=torch.float64)
    codes[0, :, 4] = 1
    codes[0, place] = codes_of(labels.boxes[which].double(), grid[place])
    scores = torch.full((1, CELLS, 2), -40.0, dtype=torch.float64)
    scores[0, place, 1] = 40.0
    sums = replace(output_of(1), codes=codes, scores=scores).losses(labels)
    # ProbIoU has a root, of which single precision of the boxes leaves some thousandths.
    assert sums["score"] < 1e-9 and sums["angle"] < 1e-9 and sums["box"] < 2e-2
    (found,) = replace(output_of(1), codes=codes, scores=scores).objects()
    assert_close(torch.from_numpy(found.boxes), labels.boxes.double(), atol=1e-4, rtol=1e-4)
    assert found.classes.tolist() == [1] and found.scores[0] == pytest.approx(1.0)


def test_the_score_learns_the_overlap():
    """Half of a box is found: IoU 1/2, so the loss is least (0) at a score of 1/2, logit 0.

    At logit 0 elsewhere it is (0 - 1/2)^2 * log 2 for each of the other scores.
    """
    labels = one_box(34.0, 34.0, 20.0, 8.0, 0.0)
    place, which = assign(labels, SHAPES, 6.0)
    half = labels.boxes[which].double()
    half[:, 3] /= 2
    codes = torch.zeros(1, CELLS, 6, dtype=torch.float64)
    codes[0, :, 4] = 1
    codes[0, place] = codes_of(half, grid_of(SHAPES, LIKE)[place])
    scores = torch.zeros(1, CELLS, 2, dtype=torch.float64)
    found = replace(output_of(1), codes=codes, scores=scores).losses(labels)["score"]
    assert_close(9 * float(found), (2 * CELLS - 9) * math.log(2) / 4, rtol=1e-6, atol=0)


def test_quality_focal_is_cross_entropy_times_the_squared_error():
    """At p = 0.8 for a target of 0.3: (0.5)^2 * -(0.3 ln 0.8 + 0.7 ln 0.2)."""
    logit = torch.tensor(math.log(4.0), dtype=torch.float64)
    expected = 0.25 * -(0.3 * math.log(0.8) + 0.7 * math.log(0.2))
    assert_close(
        float(quality_focal(logit, torch.tensor(0.3).double())), expected, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_angles_loss_knows_a_square_by_a_quarter_turn(quarters):
    """The same square written with another angle has none; turned by an eighth it has the most."""
    labels = one_box(34.0, 34.0, 10.0, 10.0, 0.2)
    place, which = assign(labels, SHAPES, 6.0)

    def angle_loss(turn: float) -> float:
        boxes = labels.boxes[which].double()
        boxes[:, 4] += turn
        codes = torch.zeros(1, CELLS, 6, dtype=torch.float64)
        codes[0, place] = codes_of(boxes, grid_of(SHAPES, LIKE)[place])
        return float(replace(output_of(1), codes=codes).losses(labels)["angle"])

    assert angle_loss(quarters * math.pi / 2) == pytest.approx(0, abs=1e-9)
    assert angle_loss(quarters * math.pi / 2 + math.pi / 4) == pytest.approx(0.1)


def test_ignored_objects_are_neither_learnt_nor_background():
    """Cells with their centre in one have no gradient, and no other cell's loss changes."""
    real = one_box(16.0, 16.0, 12.0, 8.0, 0.4, batch=2)
    ignored = one_box(44.0, 40.0, 30.0, 14.0, 0.8, ignored=True, batch=2)
    both = joined(real, ignored)
    output = output_of(2)
    assert {k: v.item() for k, v in TASK.counts(both).items()} == {"images": 2, "objects": 1}
    grid = grid_of(SHAPES, LIKE)
    left_out = in_ignored(both, grid)
    (along, across) = (
        (grid[:, 0] - 44) * c - (grid[:, 1] - 40) * s
        for c, s in ((math.cos(0.8), math.sin(0.8)), (math.sin(0.8), -math.cos(0.8)))
    )
    expected = (along.abs() <= 15) & (across.abs() <= 7)
    assert expected.sum() > 20 and torch.equal(left_out[0], expected) and not left_out[1].any()
    slopes = {}
    for name, labels in (("without", real), ("with", both)):
        loss = TASK.loss(output.losses(labels), TASK.counts(labels))["loss"]
        slopes[name] = torch.autograd.grad(loss, (output.scores, output.codes))
    for plain, found in zip(slopes["without"], slopes["with"], strict=True):
        assert not found[0, left_out[0]].any() and plain[0, left_out[0], 0].any() == (
            plain.shape[2] == 2
        )
        assert torch.equal(found[~left_out], plain[~left_out])


def test_an_object_in_an_ignored_one_is_learnt():
    """Its own nine cells stay: a crowd may hold single objects."""
    real = one_box(34.0, 34.0, 12.0, 8.0, 0.4)
    both = joined(real, one_box(34.0, 34.0, 40.0, 30.0, 0.0, ignored=True))
    output = output_of(1)
    place, _ = assign(real, SHAPES, 6.0)
    (slope,) = torch.autograd.grad(output.losses(both)["score"], output.scores)
    learnt = slope[0].any(-1)
    assert learnt[place].all() and not learnt[in_ignored(both, grid_of(SHAPES, LIKE))[0]].all()


def test_parts_of_a_batch_give_the_loss_and_gradient_of_the_whole():
    """Images 0 and 1, then 2, then none: sums over ranks, losses over micro-batches."""
    output, labels = output_of(3), labels_of(True)
    inputs = (output.scores, output.codes)
    loss = TASK.loss(output.losses(labels), TASK.counts(labels))["loss"]
    gradient = torch.autograd.grad(loss, inputs, retain_graph=True)
    parts = [slice(0, 2), slice(2, 3), slice(3, 3)]
    some = [labels_of(True, parts[0]), labels_of(True, parts[1]), no_objects(0, True)]
    counts = [TASK.counts(part) for part in some]
    counts = {key: sum(part[key] for part in counts) for key in counts[0]}
    sums = [
        replace(output, scores=output.scores[which], codes=output.codes[which]).losses(part)
        for which, part in zip(parts, some, strict=True)
    ]
    over_ranks = {key: sum(part[key] for part in sums) for key in sums[0]}
    for found in (
        TASK.loss(over_ranks, counts)["loss"],
        sum(TASK.loss(part, counts)["loss"] for part in sums),
    ):
        assert_close(found, loss, atol=1e-10, rtol=1e-10)
        slopes = torch.autograd.grad(found, inputs, retain_graph=True)
        for slope, expected in zip(slopes, gradient, strict=True):
            assert_close(slope, expected, atol=1e-10, rtol=1e-10)
