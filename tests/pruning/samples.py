"""A small model of three modalities, and statistics of it whose numbers are known."""

import torch
from tests.models.samples import randomise

from ringmoe.models import ModelConfig, RingMoE
from ringmoe.pruning import LayerStatistics, Statistics
from ringmoe.pruning.fingerprint import fingerprint

CONFIG = ModelConfig(
    image_size=32,
    embed_dim=8,
    depths=(1, 2),
    num_heads=(1, 2),
    window_size=4,
    modalities=("optical", "sar_complex", "sar_amplitude"),
)


def make_model(dtype: torch.dtype = torch.float64, **changes: object) -> RingMoE:
    """Every parameter drawn at random, so that each matters and routers are sure."""
    model = RingMoE(CONFIG.replace(**changes), torch.Generator().manual_seed(0)).double()
    randomise(model, seed=3)
    return model.to(dtype).eval()


Frequency = list[list[list[float]]]
"""Of each block and modality: one number for each collaborative expert that the block keeps."""


def with_frequencies(model: RingMoE, frequency: Frequency) -> Statistics:
    """Statistics of a model that say only how often tokens choose each collaborative expert."""
    return frequencies_of(model.config, frequency, fingerprint(model))


def frequencies_of(config: ModelConfig, frequency: Frequency, mark: str = "") -> Statistics:
    """The same of a shape, with this fingerprint."""
    layers = [
        LayerStatistics(
            modalities=config.modalities,
            tokens=torch.full((len(config.modalities),), 100),
            frequency={"collaborative": torch.tensor(rows).double()} if rows[0] else {},
            gate_mass={},
            energy={},
            unit_energy={},
            inputs={modality: torch.zeros(0, 1) for modality in config.modalities},
        )
        for rows in frequency
    ]
    return Statistics(config, mark, tuple(layers), dict.fromkeys(config.modalities, 1))
