"""Small scenes and models whose maps are known."""

import numpy as np
import rasterio
import torch
from affine import Affine

from ringmoe.probing import observe
from ringmoe.scenes import open_scene, write_raster

PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
CLASSES = ("water", "forest", "field", "town")
CLASS_MAP = {"kind": "classes", "classes": CLASSES}
TILES = {"tile_size": 32, "overlap": 8}


def make_scene(path, height, width, *, seed=0, crs="EPSG:32633", transform=PLACE, **options):
    """Three bands of Sentinel-2 numbers, smooth enough for areas to be larger than a pixel."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(100, 3000, (3, -(-height // 4), -(-width // 4)), dtype=np.uint16)
    digital = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    write_raster(
        path,
        options.pop("change", lambda values: values)(digital),
        crs=crs,
        transform=transform,
        channel_names=["B02", "B03", "B04"],
        nodata=options.pop("nodata", 0),
        cog=False,
        **options,
    )
    return open_scene(path, "sentinel2-l2a")


def one_pixel(observations):
    """Scores of four classes that depend on the pixel alone, `(B, 4, h, w)`."""
    images = sum(o.images for o in observations.values())
    first, second, third = images[:, :3].unbind(1)
    return torch.stack([first, second, third, 0.3 * (first - second * third)], dim=1)


def first_band(observations):
    """A value: the first band as it enters the model, `(B, 1, h, w)`."""
    return next(iter(observations.values())).images[:, :1]


class Smoothed(torch.nn.Module):
    """A model that looks around: a random 9 x 9 convolution; scores depend on the tile's border."""

    def __init__(self, classes=4):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, classes, 9, padding=4)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, observations):
        return self.layer(next(iter(observations.values())).images)


def direct(model, *scenes):
    """The model's scores on whole scenes at once, `(K, H, W)`, and where all hold data."""
    observations, valid = {}, []
    for i, scene in enumerate(scenes):
        raster = scene.read()
        names = [channel.name for channel in scene.channels]
        observations[str(i)] = observe(
            raster.values[None], scene.sensor, channels=names, valid=raster.valid[None, None]
        )
        valid.append(raster.valid)
    with torch.inference_mode():
        return model(observations)[0].numpy(), np.logical_and.reduce(valid)


def read(path):
    """All bands of a file."""
    with rasterio.open(path) as dataset:
        return dataset.read()
