"""A detector that makes no mistake: the true objects of a scene as each tile shows them."""

import numpy as np
import shapely

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.scenes import open_scene, write_raster

LEAST = 1.0  # pixels of an object's part that the detector sees


def blank(path, height, width, **options):
    """A scene that says nothing but which pixel each is: row and column, as 16 bits each."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint16)
    digital = np.stack([rows + 1, columns + 1, np.ones_like(rows)])
    names = ["B02", "B03", "B04"]
    write_raster(path, digital, channel_names=names, nodata=0, cog=False, **options)
    return open_scene(path, "sentinel2-l2a")


class Oracle:
    """The true objects cut to each tile, which it finds by the numbers of the tile's pixels.

    A horizontal box is cut exactly. Of a rotated one the smallest rectangle around what is left is
    given: the least that a detector can know, which has another direction in a corner.
    """

    def __init__(self, scene, truth, *, shuffled=None):
        self.scene, self.truth, self.generator = scene, truth, shuffled
        self.shapes = polygons(truth)
        self.calls = 0

    def __call__(self, observations):
        self.calls += 1
        (seen,) = observations.values()
        images = seen.images.numpy()
        return [self.within(*self.place(image), image.shape[-1]) for image in images]

    def place(self, image):
        """Row and column of the first pixel, undoing calibration and normalisation."""
        means = np.array([channel.mean for channel in self.scene.channels[:2]])
        stds = np.array([channel.std for channel in self.scene.channels[:2]])
        values = image[:2, 0, 0].astype(np.float64) * stds + means
        calibration = self.scene.calibration
        return np.round((values - calibration.offset) / calibration.scale).astype(int) - 1

    def within(self, row, column, size):
        """What a tile shows, in its pixels."""
        window = shapely.box(column, row, column + size, row + size)
        found, which = [], []
        parts = shapely.intersection(self.shapes, window)
        for i in np.flatnonzero(shapely.area(parts) > 0):
            box = self.box(i, self.shapes[i], parts[i])
            if box is not None:
                found.append(box - np.array([column, row, *self.rest(column, row)]))
                which.append(i)
        if self.generator is not None:
            order = self.generator.permutation(len(which))
            found, which = [found[i] for i in order], [which[i] for i in order]
        which = np.array(which, np.int64)
        shape = (len(found), 5 if self.truth.rotated else 4)
        return Objects(
            np.array(found).reshape(shape), self.truth.classes[which], self.truth.scores[which]
        )

    def box(self, i, whole, part):
        left, top, right, bottom = part.bounds
        if min(right - left, bottom - top) < LEAST:
            return None
        if not self.truth.rotated:
            return np.array([left, top, right, bottom])
        if part.area > whole.area - 1e-9:
            return self.truth.boxes[i]
        around = np.array(shapely.oriented_envelope(part).exterior.coords)[:4]
        return boxes.corners_to_cxcywhr(around.reshape(8))

    def rest(self, column, row):
        return (0, 0, 0) if self.truth.rotated else (column, row)


def polygons(objects):
    """Shapely's."""
    form = boxes.cxcywhr_to_corners if objects.rotated else boxes.xyxy_to_corners
    return shapely.polygons(form(objects.boxes).reshape(-1, 4, 2))


def apart(objects):
    """Those that meet none before them."""
    shapes, kept = polygons(objects), []
    for i in range(len(objects)):
        if not shapely.intersects(shapes[i], shapes[kept]).any():
            kept.append(i)
    return objects.take(np.array(kept, np.int64))
