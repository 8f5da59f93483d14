"""Batches: a function of seed and step, of nothing else; and what is in them."""

import threading

import numpy as np
import pytest
import torch

from ringmoe.archive import Archive, TileLoader
from ringmoe.errors import ConfigError


def loader(archive, **options) -> TileLoader:
    return TileLoader(archive, **{"batch_size": 12, "crop_size": 24, "turns": True, **options})


def same(one, other) -> bool:
    """Whether two steps' batches are equal to the last bit."""
    return len(one) == len(other) and all(
        a.stream == b.stream
        and a.tiles == b.tiles
        and a.positions == b.positions
        and a.provenance == b.provenance
        and torch.equal(a.observation.images, b.observation.images)
        and (a.observation.valid is None) == (b.observation.valid is None)
        and (a.observation.valid is None or torch.equal(a.observation.valid, b.observation.valid))
        for a, b in zip(one, other, strict=True)
    )


def test_a_run_goes_on_exactly_where_it_stopped(archive):
    """Steps 0 to 9 at once, or 0 to 3, and from 4 on in another process's loader."""
    whole = list(loader(archive).iterate(0, 10))
    again = Archive.open(archive.path)
    parts = list(loader(archive).iterate(0, 4)) + list(loader(again).iterate(4, 10))
    assert len(whole) == 10
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True))
    assert same(loader(archive).batches(1_234_567), loader(again).batches(1_234_567))
    assert not same(whole[0], loader(archive, seed=1).batches(0))


@pytest.mark.parametrize("options", [{"prefetch": 0}, {"prefetch": 5}, {"threads": 3}])
def test_threads_and_prefetching_change_nothing(archive, options):
    ahead = loader(archive, **options).iterate(3, 12)
    for step, batches in enumerate(ahead, start=3):
        assert same(batches, loader(archive).batches(step))


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_share_one_global_batch(archive, world_size):
    """Also where 12 images in 3 modalities do not divide among the ranks."""
    for step in range(6):
        whole = loader(archive).batches(step)
        ranks = [
            loader(archive, rank=rank, world_size=world_size).batches(step)
            for rank in range(world_size)
        ]
        for batch in whole:
            parts = [b for ours in ranks for b in ours if b.modality == batch.modality]
            assert batch.tiles == tuple(tile for part in parts for tile in part.tiles)
            images = torch.cat([part.observation.images for part in parts])
            assert torch.equal(images, batch.observation.images)
            assert {part.stream for part in parts} == {batch.stream}


def test_modalities_march_in_step(archive):
    for batches in loader(archive).iterate(0, 8):
        assert [batch.modality for batch in batches] == ["optical", "multispectral", "sar_complex"]
        assert [len(batch) for batch in batches] == [4, 4, 4]


def test_shares_are_kept(archive):
    """7 : 2 : 1 of 12 images, 1000 steps: 8400, 2400 and 1200."""
    shares = {"optical": 7, "multispectral": 2, "sar_complex": 1}
    draws = loader(archive, shares=shares)._sampler
    counts = dict.fromkeys(archive.streams, 0)
    for step in range(500, 1500):
        for draw in draws.draws(step):
            counts[draw.stream] += len(draw.tiles)
    optical = counts["rgb-dn8-uint8-32px"] + counts["rgb-dn8-uint8-48px"]
    assert optical == pytest.approx(8400, abs=12)  # the two streams' steps may differ by a place
    assert counts["sentinel2-l1c-uint16-32px"] == 2400
    assert counts["airsar-complex64-32px"] == 1200


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_an_epoch_holds_every_tile_of_the_split_once(archive, split):
    stream = archive.streams["sentinel2-l1c-uint16-32px"]
    tiles = stream.indices(split)
    one = loader(archive, batch_size=1, modalities=["multispectral"], split=split)
    seen = [batches[0].tiles[0] for batches in one.iterate(0, len(tiles))]
    assert len(tiles) > 1 and sorted(seen) == tiles.tolist()
    assert one.tiles == {"multispectral": len(tiles)}


def test_images_are_the_normalised_windows_of_the_scene(archive, scenes):
    """Read with another library, cut by hand, normalised by the formula: equal to rounding.

    Sentinel-2: reflectance is DN / 10000, then (x - mean) / std. Cuts are looked for at every
    place of the tile, so no arithmetic of crops is borrowed.
    """
    rasterio = pytest.importorskip("rasterio")
    root, _ = scenes
    stream = archive.streams["sentinel2-l1c-uint16-32px"]
    with rasterio.open(root / "s2.tif") as file:
        scene = file.read() / 1e4
    mean, std = (
        np.array([getattr(c, name) for c in stream.channels])[:, None, None]
        for name in ("mean", "std")
    )
    (batch,) = loader(archive, modalities=["multispectral"], flip=False, turns=False).batches(3)
    assert batch.observation.valid is None
    assert batch.observation.gsd == 10
    assert torch.equal(batch.scale, torch.tensor([c.std for c in stream.channels]))
    for image, tile, provenance in zip(
        batch.observation.images, batch.tiles, batch.provenance, strict=True
    ):
        row, column = stream.table["row"][tile], stream.table["column"][tile]
        assert f"rows {row}:{row + 32}, columns {column}:{column + 32}" in provenance
        window = (scene[:, row : row + 32, column : column + 32] - mean) / std
        cuts = np.lib.stride_tricks.sliding_window_view(window, (24, 24), axis=(1, 2))
        errors = np.abs(cuts - image.numpy()[:, None, None]).max(axis=(0, 3, 4))
        assert errors.min() < 1e-4  # B10: values near 80 in float32


@pytest.mark.parametrize("crop", ["cut", "resized"])
def test_sar_is_cut_and_flipped_but_never_resampled(archive, crop):
    """Each pixel of a crop is one of the tile's complex values, I and Q over the sensor's scale."""
    stream = archive.streams["airsar-complex64-32px"]
    (batch,) = loader(archive, modalities=["sar_complex"], crop=crop).batches(0)
    images = batch.observation.images
    assert batch.observation.channel_names[:2] == ("HH_I", "HH_Q")
    digital, _ = stream.read(batch.tiles)
    scale = np.float32(stream.channels[0].std)
    for image, values in zip(images.numpy(), digital, strict=True):
        measured = np.stack([values[0].real, values[0].imag], axis=-1) / scale
        given = np.moveaxis(image[:2], 0, -1)
        assert set(map(tuple, given.reshape(-1, 2))) <= set(map(tuple, measured.reshape(-1, 2)))


def test_padded_chips_keep_all_their_data(archive):
    """Chips of 40 x 20 pixels, their first 4 rows without data, in 48 px tiles, cut to 24 px."""
    stream = archive.streams["rgb-dn8-uint8-48px"]
    digital, valid = stream.read(range(len(stream)))
    assert (valid.sum(axis=(1, 2)) == 36 * 20).all()
    assert valid[:, 4:40, :20].all()
    assert (digital[:, :, ~valid[0]] == 0).all()
    streams = {}
    for batches in loader(archive, modalities=["optical"], turns=False).iterate(0, 8):
        streams.setdefault(batches[0].stream, batches[0])
    batch = streams[stream.name]
    known = batch.observation.valid
    assert known.shape == (12, 1, 24, 24)
    # 24 of the 40 rows are cut, 4 of them perhaps without data; all 20 columns are there.
    assert (known.sum(dim=(1, 2, 3)) % 20 == 0).all()
    assert known.sum(dim=(1, 2, 3)).min() >= 20 * 20
    assert (batch.observation.images[~known.expand(-1, 3, -1, -1)] == 0).all()


def test_a_loader_left_early_stops_its_thread(archive):
    before = threading.active_count()
    steps = loader(archive).iterate()
    next(steps)
    assert threading.active_count() == before + 1
    steps.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_size": 64}, "crop_size 64 is larger than the 32 px tiles"),
        ({"modalities": ["sar_amplitude"]}, "no train tiles of sar_amplitude"),
        ({"shares": {"optical": 1}}, "each of optical, multispectral, sar_complex"),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to 1"),
        ({"split": "test"}, "split must be one of train, heldout"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(archive, options, message):
    with pytest.raises(ConfigError, match=message):
        loader(archive, **options)


def test_batches_move_to_a_device(archive):
    batch = loader(archive).batches(0)[0].to("meta")
    assert batch.observation.images.device.type == batch.scale.device.type == "meta"
