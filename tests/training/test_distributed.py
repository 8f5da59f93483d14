"""Two processes equal one, on an objective made to be hard to split."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ringmoe.training import Trainer, TrainingConfig, join_ranks

from .toy import ToyData, ToyObjective

STEPS = 10


def train(world_size: int, rank: int = 0) -> tuple[torch.Tensor, list[float]]:
    """Weights and losses after ten steps; other first weights on each rank."""
    config = TrainingConfig(
        steps=STEPS, batch_size=12, learning_rate=0.5, warmup_steps=0, precision="float64",
        accumulate=2,
    )  # fmt: skip
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.world_size) == (rank, world_size)
        trainer = Trainer(ToyObjective(seed=rank), config, ranks)
        data = ToyData(rank, world_size)
        losses = [
            trainer.step([data.batch(2 * step), data.batch(2 * step + 1)]).terms["loss"]
            for step in range(STEPS)
        ]
    return torch.cat([p.detach().flatten() for p in trainer.objective.parameters()]), losses


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    torch.save(train(2, rank), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Rank 0 holds 9 to 12 of 12 rows, rank 1 the rest, at times none; float64, to 1e-12."""
    mp.spawn(work, (str(tmp_path),), nprocs=2)
    weights, losses = train(1)
    for rank in range(2):
        other_weights, other_losses = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(other_weights, weights, rtol=0, atol=1e-12)
        assert other_losses == pytest.approx(losses, abs=1e-12)
