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
WIDTHS = (8, 16, 16)  # of the three blocks


def make_model(dtype: torch.dtype = torch.float64, **changes: object) -> RingMoE:
    """Every parameter drawn at random, so that each matters and routers are sure."""
    model = RingMoE(CONFIG.replace(**changes), torch.Generator().manual_seed(0)).double()
    randomise(model, seed=3)
    return model.to(dtype).eval()


def with_frequencies(model: RingMoE, frequency: list[list[list[float]]]) -> Statistics:
    """Statistics that say how often each modality's tokens choose each collaborative expert.

    Args:
        model: Whose fingerprint and shape they have.
        frequency: Of each block and modality, one number for each expert that the block keeps.
    """
    modalities = model.config.modalities
    layers = [
        LayerStatistics(
            modalities=modalities,
            tokens=torch.full((len(modalities),), 100),
            frequency={"collaborative": torch.tensor(rows, dtype=torch.float64)},
            gate_mass={},
            energy={},
            unit_energy={},
            inputs={modality: torch.zeros(0, width) for modality in modalities},
        )
        for rows, width in zip(frequency, WIDTHS, strict=True)
    ]
    images = dict.fromkeys(modalities, 1)
    return Statistics(model.config, fingerprint(model), tuple(layers), images)
