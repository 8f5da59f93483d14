"""Run under torchrun by test_distributed.py: train, and write what came out.

python -m torch.distributed.run --nproc-per-node 2 tests/training/ranks.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

import torch
from tests.training.toy import ToyData, ToyObjective

from ringmoe.training import Trainer, TrainingConfig, join_ranks

STEPS = 10


def train() -> tuple[int, list[float], list[float]]:
    """World size, weights and losses after ten steps; each rank begins with other weights."""
    config = TrainingConfig(
        steps=STEPS,
        batch_size=24,
        learning_rate=0.5,
        warmup_steps=0,
        precision="float64",
        accumulate=2,
    )
    with join_ranks("cpu") as ranks:
        trainer = Trainer(ToyObjective(seed=ranks.rank), config, ranks)
        data = ToyData(ranks.rank, ranks.world_size)
        losses = [
            trainer.step([data.batch(2 * step), data.batch(2 * step + 1)]).terms["loss"]
            for step in range(STEPS)
        ]
    weights = torch.cat([p.detach().flatten() for p in trainer.objective.parameters()])
    return ranks.world_size, weights.tolist(), losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    path = Path(sys.argv[1]) / f"rank-{os.environ['RANK']}.json"
    path.write_text(json.dumps(train()))
