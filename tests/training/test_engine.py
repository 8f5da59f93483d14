"""The engine against plain torch, and its promises about resuming and stopping."""

import json
import math
import os
import signal

import pytest
import torch
from tests.training.toy import ToyData, ToyObjective

from ringmoe.errors import ConfigError, NonFiniteLossError
from ringmoe.training import Ranks, RunFolder, Trainer, TrainingConfig, fit, read_metrics
from ringmoe.training.distributed import Gradients
from ringmoe.training.ema import MovingAverage
from ringmoe.training.precision import choose_precision


def config(**changes):
    values = {
        "steps": 10, "batch_size": 12, "learning_rate": 0.2, "warmup_steps": 2, "log_every": 1,
        "checkpoint_every": 5, "precision": "float64", "tensorboard": False, "device": "cpu",
    }  # fmt: skip
    return TrainingConfig(**(values | changes))


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_a_step_is_adamw_on_the_plain_gradient():
    """The two-part chain rule against autograd on the whole, and torch's clip and AdamW."""
    settings = config(clip_norm=0.1, warmup_steps=0, weight_decay=0.0)
    trainer = Trainer(ToyObjective(), settings)
    data = ToyData().whole(0)

    reference = ToyObjective().double()
    inputs, counts = reference.prepare(data)
    loss = reference.loss(reference(inputs), counts)["loss"]
    loss.backward()
    for parameter in reference.unreached.parameters():
        parameter.grad = torch.zeros_like(parameter)
    norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.1)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.2 * 12 / 256, weight_decay=0.0)
    optimizer.step()

    result = trainer.step([data])
    assert result.terms["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert result.terms["grad_norm"] == pytest.approx(norm.item(), rel=1e-12)
    assert result.terms["grad_norm"] > 0.1
    assert result.images == 12
    torch.testing.assert_close(flat(trainer.objective), flat(reference), rtol=0, atol=1e-12)


def test_accumulation_is_exact_for_terms_that_divide_a_sum_by_its_count():
    """Without the coupled term (whose mean is a micro-batch's own), pieces make the whole.

    The pieces have 2 and 10 rows, so a mean of their means would differ.
    """

    class Separable(ToyObjective):
        def loss(self, sums, counts):
            error = super().loss(sums, counts)["error"]
            return {"loss": error}

    whole = ToyData().whole(0)
    pieces = [tuple(t[:2] for t in whole), tuple(t[2:] for t in whole)]
    one, two = Trainer(Separable(), config()), Trainer(Separable(), config())
    a, b = one.step([whole]), two.step(pieces)
    assert a.terms["loss"] == pytest.approx(b.terms["loss"], rel=1e-12)
    torch.testing.assert_close(flat(one.objective), flat(two.objective), rtol=0, atol=1e-12)


def test_a_batch_without_any_data_has_no_gradient_and_no_nan():
    trainer = Trainer(ToyObjective(), config(weight_decay=0.0))
    before = flat(trainer.objective)
    x, y, weight = ToyData().whole(0)
    result = trainer.step([(x[:0], y[:0], weight[:0])])
    assert result.terms["loss"] == 0
    assert result.terms["grad_norm"] == 0
    assert torch.equal(flat(trainer.objective), before)


def test_the_loss_falls_and_the_run_is_written(tmp_path):
    run = RunFolder(tmp_path)
    settings = config(steps=60, ema=0.9)
    trainer = Trainer(ToyObjective(), settings)
    seen = []
    fit(trainer, ToyData(), run, progress=False, after_step=seen.append)
    lines = read_metrics(run.metrics_path)
    assert seen == [line["step"] for line in lines] == list(range(1, 61))
    first, last = (sum(line["error"] for line in part) / 10 for part in (lines[:10], lines[-10:]))
    assert last < 0.9 * first
    assert {"images_per_s", "data_wait", "learning_rate", "grad_norm"} <= lines[0].keys()
    assert all(0 <= line["data_wait"] <= 1 for line in lines)
    names = sorted(p.name for p in run.checkpoints_path.iterdir())
    assert names == ["step-000055", "step-000060"]
    assert (run.checkpoints_path / names[0] / "average.safetensors").is_file()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tmp_path, ema):
    settings = config(precision="float32", ema=ema)
    through = Trainer(ToyObjective(), settings)
    fit(through, ToyData(), RunFolder(tmp_path / "a"), progress=False)

    class Stop(BaseException):
        """As a kill: nothing can be saved."""

    def stop(step):
        if step == 7:
            raise Stop

    run = RunFolder(tmp_path / "b")
    with pytest.raises(Stop):
        fit(Trainer(ToyObjective(), settings), ToyData(), run, progress=False, after_step=stop)
    resumed = Trainer(ToyObjective(seed=5), settings)  # other first weights: all must be loaded
    resumed.load(run.latest_checkpoint())
    assert resumed.steps_taken == 5
    fit(resumed, ToyData(), run, progress=False)
    assert torch.equal(flat(resumed.objective), flat(through.objective))
    if ema:
        for name, value in through.average.weights.items():
            assert torch.equal(resumed.average.weights[name], value)
    a, b = (
        [(line["step"], line["loss"]) for line in read_metrics(tmp_path / x / "metrics.jsonl")]
        for x in "ab"
    )
    assert a == b


@pytest.fixture
def interrupts():
    """SIGTERM interrupts, as on the command line, and Ctrl-C also where it was ignored (nohup)."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Unreadable(ToyData):
    """Whose eighth batch is damaged until it is mended."""

    damaged = True

    def iterate(self, start_step, stop_step):
        for step, batch in zip(
            range(start_step, stop_step), super().iterate(start_step, stop_step), strict=True
        ):
            if step == 7 and self.damaged:
                raise OSError("truncated")
            yield batch


def interrupt(step):
    if step == 7:
        os.kill(os.getpid(), signal.SIGINT)


def terminate(step):
    if step == 7:
        os.kill(os.getpid(), signal.SIGTERM)


def fail(step):
    if step == 7:
        raise OSError("truncated")


@pytest.mark.parametrize(
    ("data", "after_step", "error"),
    [
        (Unreadable(), None, OSError),
        (ToyData(), fail, OSError),
        (ToyData(), interrupt, KeyboardInterrupt),
        (ToyData(), terminate, KeyboardInterrupt),
    ],
)
def test_what_was_done_is_saved_before_training_ends(interrupts, tmp_path, data, after_step, error):
    """Steps 6 and 7 of 10, with a checkpoint every 5; then it goes on to the same weights."""
    through = Trainer(ToyObjective(), config())
    fit(through, ToyData(), RunFolder(tmp_path / "a"), progress=False)
    run = RunFolder(tmp_path / "b")
    with pytest.raises(error):
        fit(Trainer(ToyObjective(), config()), data, run, progress=False, after_step=after_step)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(number) is signal.default_int_handler
    assert run.latest_checkpoint().name == "step-000007"
    data.damaged = False
    resumed = Trainer(ToyObjective(seed=5), config())
    resumed.load(run.latest_checkpoint())
    fit(resumed, data, run, progress=False)
    assert torch.equal(flat(resumed.objective), flat(through.objective))


def test_training_ends_where_it_is_told_to(tmp_path):
    run = RunFolder(tmp_path)
    trainer = Trainer(ToyObjective(), config(steps=60))
    fit(trainer, ToyData(), run, progress=False, after_step=lambda step: step == 7)
    assert trainer.steps_taken == 7
    assert sorted(p.name for p in run.checkpoints_path.iterdir()) == ["step-000005", "step-000007"]


def test_parameters_learn_at_their_own_rates():
    """The schedule's rate times the objective's; the step reports the schedule's."""

    class Slow(ToyObjective):
        def rate(self, name):
            return 0.5 if name.startswith("net.0") else 1.0

    trainer = Trainer(Slow(), config(steps=60))
    peak = trainer.step([ToyData().batch(0)]).terms["learning_rate"]
    rates = {group["rate"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert rates == {0.5: 0.5 * peak, 1.0: peak}


def test_a_loss_that_is_not_finite_stops_the_run_before_any_weight_moves(tmp_path):
    class Poisoned(ToyData):
        def batch(self, step):
            x, y, weight = super().batch(step)
            return (x, y * math.nan, weight) if step == 6 else (x, y, weight)

    run = RunFolder(tmp_path)
    trainer = Trainer(ToyObjective(), config())
    states = {}
    with pytest.raises(NonFiniteLossError, match="step 6: loss is nan"):
        fit(
            trainer,
            Poisoned(),
            run,
            progress=False,
            after_step=lambda step: states.__setitem__(step, flat(trainer.objective)),
        )
    assert torch.equal(flat(trainer.objective), states[6])
    assert [p.name for p in run.checkpoints_path.iterdir()] == ["step-000005"]
    saved = json.loads((tmp_path / "non-finite-step-000006-rank-0.json").read_text())
    assert saved == {"step": 6, "micro_batches": [{"rows": 12}]}
    assert [line["step"] for line in read_metrics(run.metrics_path)] == [1, 2, 3, 4, 5, 6]


def test_gradients_are_clipped_to_the_norm():
    """Gradients 3 and 4 have norm 5; clipped to 1 they are 0.6 and 0.8."""
    net = torch.nn.Linear(1, 1)
    net.unreached = torch.nn.Parameter(torch.ones(3))
    gradients = Gradients(net)
    (3 * net.weight.sum() + 4 * net.bias.sum()).backward()
    gradients.sum(Ranks())
    assert net.unreached.grad.tolist() == [0, 0, 0]
    assert gradients.norm().item() == 5
    for largest in (0.0, 5.0):
        gradients.clip(5.0, largest)
        assert (net.weight.grad.item(), net.bias.grad.item()) == (3, 4)
    gradients.clip(5.0, 1.0)
    assert net.weight.grad.item() == pytest.approx(0.6)
    assert net.bias.grad.item() == pytest.approx(0.8)
    gradients.clear()
    assert net.weight.grad is None


def test_moving_average():
    """From 1, after steps to 2 and 3 with decay 0.5: (1 + 2) / 2 = 1.5, (1.5 + 3) / 2 = 2.25."""
    net = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(1.0)
        average = MovingAverage(net, 0.5)
        for value in (2.0, 3.0):
            net.weight.fill_(value)
            average.update()
    assert average.weights["weight"].item() == 2.25
    average.swap()
    assert (net.weight.item(), average.weights["weight"].item()) == (2.25, 3.0)
    average.swap()
    assert (net.weight.item(), average.weights["weight"].item()) == (3.0, 2.25)


def test_precision_by_device():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_precision("auto", cpu).autocast is None
    assert choose_precision("auto", cuda).autocast is torch.bfloat16
    assert choose_precision("bfloat16", cpu).weights is torch.float32
    assert choose_precision("float64", cpu).weights is torch.float64
    with choose_precision("bfloat16", cpu).context():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"learning_rate": -1.0}, "learning_rate: expected not negative"),
        ({"seed": -1}, "seed: expected not negative, got -1"),
        ({"keep_checkpoints": -1}, "keep_checkpoints: expected not negative"),  # 0 keeps all
        ({"ema": 1.0}, "ema"),
        ({"batch_size": 10, "accumulate": 4}, r"batch_size: expected a multiple of accumulate"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes).check()


def test_one_process_sums_nothing_away():
    """2**24 + 1 is not a float32: counts are summed in float64."""
    summed = Ranks().sum({"a": torch.tensor(2.0**24), "b": torch.ones(2, 2)})
    assert (summed["a"] + 1).item() == 2**24 + 1
    assert summed["b"].shape == (2, 2)
