"""What `benchmarks.held_out_bands` shows a model, and that the two band sets stay apart."""

import json

import numpy as np
import torch
from benchmarks.held_out_bands import HELD_OUT, SEEN, keep_bands, select_bands, table

from ringmoe.archive import Batch
from ringmoe.datasets import LabelledTiles
from ringmoe.observation import Observation
from ringmoe.sensors import MODALITIES, get_sensor


def test_every_band_is_seen_or_held_out_never_both():
    assert sorted((*SEEN, *HELD_OUT)) == sorted(MODALITIES["multispectral"].vocabulary)


def test_a_batch_keeps_the_bands_whose_keys_are_named():
    """Landsat 8's band k, from 0, is all k: its seen ones are its first four (B1 to B4)."""
    channels = get_sensor("landsat8").channels
    images = torch.arange(len(channels)).float().view(1, -1, 1, 1).expand(2, -1, 32, 32)
    observation = Observation(images, "multispectral", channels, gsd=30.0)
    scale = torch.arange(len(channels)).float()
    kept = keep_bands(Batch(observation, scale, ("", ""), "s", (0, 1), (0, 1)), SEEN)
    assert kept.observation.channel_names == ("B01", "B02", "B03", "B04")
    assert kept.observation.images[0, :, 0, 0].tolist() == kept.scale.tolist() == [0, 1, 2, 3]
    assert kept.observation.gsd == 30.0


def test_tiles_keep_them_too():
    values = np.arange(13).reshape(1, 13, 1, 1) * np.ones((2, 1, 32, 32))
    tiles = LabelledTiles(values, np.zeros((2, 32, 32), int), ("forest",), "sentinel2-l1c")
    chosen = select_bands(tiles, HELD_OUT)
    assert chosen.channels == HELD_OUT
    assert chosen.values[0, :, 0, 0].tolist() == [4, 5, 6, 8, 11, 12]


def test_the_table_has_mean_and_spread_over_seeds(tmp_path):
    """60, 62 and 64 %: 62 with a sample standard deviation of 2."""
    for seed, accuracy in enumerate((0.60, 0.62, 0.64)):
        score = {"accuracy": accuracy, "class_accuracy": accuracy / 2}
        cell = {"variant": "spectral", "result": {"held-out": score, "seen": score}}
        (tmp_path / f"spectral-seed{seed}.json").write_text(json.dumps(cell))
    row = next(line for line in table(tmp_path).splitlines() if line.startswith("| spectral |"))
    assert row.split(" | ")[1:3] == ["62.0 ± 2.0", "31.0 ± 1.0"]
