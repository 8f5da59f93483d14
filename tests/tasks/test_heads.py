"""What holds for every head."""

import pytest
import torch
from tests.tasks.pyramids import SIZE, TASKS, WIDTHS, head_of, labels_of, pyramids
from torch.testing import assert_close

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


@every_task
def test_output_has_the_shape_of_the_task_and_decodes(task):
    """Scores `(B, K)` or `(B, K, H, W)`, metres `(B, 1, H, W)`; decoded without the channel."""
    head = head_of(task)
    output = head(pyramids(task, 2), SIZE, None)
    decoded = task.decode(output)
    if task.label_kind == "class":
        assert output.shape == (2, 3) and decoded.shape == (2,)
    else:
        assert output.shape == (2, task.outputs, *SIZE) and decoded.shape == (2, *SIZE)
    if task.label_kind != "height":
        assert decoded.dtype == torch.int64
        assert_close(output.gather(1, decoded[:, None])[:, 0], output.max(dim=1).values)


@every_task
def test_an_image_does_not_see_the_others_of_its_batch(task):
    """In training too, and so one image is enough; float64, so only the order of sums differs."""
    head = head_of(task).train()
    maps = pyramids(task, 3)
    together = head(maps, SIZE, None)
    alone = [head([[m[i : i + 1] for m in p] for p in maps], SIZE, None) for i in range(3)]
    assert_close(together, torch.cat(alone), atol=1e-10, rtol=1e-10)


@every_task
def test_every_parameter_and_every_map_that_is_read_gets_a_gradient(task):
    head = head_of(task)
    maps = [[m.requires_grad_() for m in p] for p in pyramids(task, 1)]
    output = head(maps, SIZE, None)
    labels = labels_of(task, 1)
    task.loss(task.sums(output, labels), task.counts(labels))["loss"].backward()
    silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    read = [p[-1:] if getattr(task, "pooling", "") == "last" else p for p in maps]
    assert all(m.grad is not None and m.grad.any() for p in read for m in p)


@pytest.mark.slow
@every_task
def test_a_head_learns_one_batch(task):
    """30 steps of Adam on two images whose labels follow from the maps take a third of the loss."""
    torch.manual_seed(0)
    head = task.head(WIDTHS)
    maps = pyramids(task, 2, torch.float32)
    coarse = (maps[0][3] - (maps[1][3] if task.dates == 2 else 0))[:, :1]
    signal = torch.nn.functional.interpolate(coarse, SIZE)[:, 0].abs() > 0.7
    labels = {
        "class": torch.tensor([0, 2]),
        "mask": signal.long(),
        "height": torch.where(signal, 12.0, 0.0),
    }[task.label_kind]
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = task.loss(task.sums(head(maps, SIZE, None), labels), task.counts(labels))["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 2 / 3 * losses[0]


@every_task
def test_a_head_runs_in_bfloat16_autocast_with_outputs_near_those_in_full(task):
    """bfloat16 has 8 bits; metres are formed in float32, so they are not all multiples of 1/8."""
    head = head_of(task, torch.float32).eval()
    maps = pyramids(task, 1, torch.float32)
    full = head(maps, SIZE, None)
    with torch.autocast("cpu", torch.bfloat16):
        low = head(maps, SIZE, None)
    assert (low.float() - full).abs().mean() < 0.1 * full.std().clamp(min=0.1)
    if task.label_kind == "height":
        assert low.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bit", "bins"])
def test_heads_pass_torch_export(name):
    """The graph computes what the module does."""
    task = TASKS[name]

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = head_of(task, torch.float32).eval()

        def forward(self, *levels):
            dates = [levels[:4], levels[4:]][: task.dates]
            return self.head(dates, SIZE, None)

    module = Fixed()
    levels = tuple(m for p in pyramids(task, 1, torch.float32) for m in p)
    exported = torch.export.export(module, levels).module()
    assert_close(exported(*levels), module(*levels), atol=1e-5, rtol=1e-5)
