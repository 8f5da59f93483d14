"""What was found in overlapping tiles as the objects of a scene, each once.

A tile sees an object whole, or cut by its edge. A box that ends at an *inner* edge of its tile (one
where the scene goes on) may be cut; all others are whole. Then, class by class:

1. A cut box that lies in a whole one of another tile is a part of that object and is dropped.
2. Cut boxes that are left, of different tiles, are one object if they agree where both tiles look;
   they are joined, and take up cut boxes that lie in them as in 1. Tips of a rotated object may
   agree with one another alone: what is joined of them goes for the larger one that it lies in.
3. What is left goes through non-maximum suppression in the scene's pixels, whole boxes first.

An object that is no longer and no wider than the overlap, less twice `MARGIN`, is whole in at least
one tile: of the tiles that begin before it, the last is followed by one that begins within it or
after, at most a tile less the overlap away. Hence the rules are exact for such objects, if the
detector is: each of them appears once, as it is. Larger ones are put together from their parts,
which is exact for horizontal boxes; a rotated one takes direction and width of its largest parts.
Without any overlap nothing can be known to be one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.deployment.windows import Axis

MARGIN = 4.0  # pixels between a box and the edge that cuts it, which detectors do not hit exactly
COVERED = 0.4  # of a cut box in a whole one; under 0.5, as a triangle fills half of its box
ASKEW = 0.1  # sine of the angle between two pieces that have one direction
AGREE = 0.5  # intersection over union, where both tiles look, of parts of one object

Array = np.ndarray
Pairs = tuple[Array, Array]


def merge(found: Objects, tiles: Array, rows: Axis, columns: Axis, nms_threshold: float) -> Objects:
    """Merge the objects of all tiles.

    The result does not depend on the order in which they are given.

    Args:
        found: With scores, in pixels of the scene.
        tiles: `(N, 2)` int: the row and the column of the tile in which each was found.
        rows: The rows of tiles.
        columns: The columns of tiles.
        nms_threshold: Intersection over union above which the lower score of a class is dropped.

    Returns:
        By falling score.
    """
    seen = _views(tiles, rows, columns)
    parts = _Parts(found, seen, _is_cut(found, seen)).sorted()
    parts = _joined(parts.take(~_covered(parts)))
    parts = parts.take(~_covered(parts)).sorted()
    boxes_, classes, rank = map(
        torch.from_numpy, (parts.objects.boxes, parts.objects.classes, -np.arange(len(parts.cut)))
    )
    kept = parts.take(boxes.nms(boxes_, rank, nms_threshold, classes).numpy())
    return kept.objects.take(np.argsort(-kept.scores, kind="stable"))


@dataclass(frozen=True, eq=False)
class _Parts:
    """Detections with the part of the scene in which each was looked for.

    Attributes:
        objects: The detections.
        seen: `(N, 4)` xyxy of the tile; its outer edges lie beyond the scene's.
        cut: `(N,)` bool: may go on outside of the tile.
    """

    objects: Objects
    seen: Array
    cut: Array

    def take(self, which: Array) -> _Parts:
        return _Parts(self.objects.take(which), self.seen[which], self.cut[which])

    def sorted(self) -> _Parts:
        """Whole ones first, then by falling score; what is equal by where it lies."""
        keys = [*self.objects.boxes.T[::-1], self.objects.classes, -self.scores, self.cut]
        return self.take(np.lexsort(keys))

    @property
    def scores(self) -> Array:
        assert self.objects.scores is not None
        return self.objects.scores

    def shapes(self) -> Array:
        return _shapes(self.objects.boxes)

    def same_class_elsewhere(self, pairs: Pairs) -> Pairs:
        """Those pairs that are of one class and of different tiles."""
        a, b = pairs
        classes = self.objects.classes
        fits = (classes[a] == classes[b]) & (self.seen[a] != self.seen[b]).any(axis=1)
        return a[fits], b[fits]


def _views(tiles: Array, rows: Axis, columns: Axis) -> Array:
    """What each tile shows of the scene, without an end where the scene has none."""
    edges = []
    for number, axis in ((1, columns), (0, rows)):
        starts = np.array(axis.starts)[tiles[:, number]]
        stops = starts + axis.tile_size
        beyond = axis.length + axis.tile_size  # further than any box reaches
        first, last = tiles[:, number] == 0, tiles[:, number] == len(axis.starts) - 1
        edges += [np.where(first, -beyond, starts), np.where(last, 2 * beyond, stops)]
    left, right, top, bottom = edges
    return np.stack([left, top, right, bottom], axis=1).astype(np.float64)


def _is_cut(found: Objects, seen: Array) -> Array:
    around = boxes.enclosing(_corners(found.boxes))
    before = around[:, :2] < seen[:, :2] + MARGIN
    after = around[:, 2:] > seen[:, 2:] - MARGIN
    return np.any(before | after, axis=1)


def _covered(parts: _Parts) -> Array:
    """Which are cut, and known whole from another tile; or joined, rotated, and a part of more."""
    shapes, covered = parts.shapes(), np.zeros(len(parts.cut), bool)
    joined = np.isnan(parts.seen[:, 0]) & parts.objects.rotated
    some, whole = np.flatnonzero(parts.cut | joined), np.flatnonzero(~parts.cut)
    near = shapely.STRtree(shapes[whole]).query(shapes[some], predicate="intersects")
    a, b = parts.same_class_elsewhere((some[near[0]], whole[near[1]]))
    area = shapely.area(shapes)
    share = shapely.area(shapely.intersection(shapes[a], shapes[b])) / area[a]
    covered[a[(share >= COVERED) & (parts.cut[a] | (area[a] < area[b]))]] = True
    return covered


def _joined(parts: _Parts) -> _Parts:
    """The same with the parts of one object put together, under the highest of their scores.

    What was put together counts as whole, and as of no tile.
    """
    candidates = np.flatnonzero(parts.cut)
    shapes = parts.shapes()[candidates]
    near = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    a, b = parts.same_class_elsewhere((candidates[near[0]], candidates[near[1]]))
    agree = _agreement(parts, a, b) >= AGREE
    count = len(parts.cut)
    links = csr_array((np.ones(agree.sum(), bool), (a[agree], b[agree])), shape=(count, count))
    group = connected_components(links, directed=False)[1]
    _, first, size = np.unique(group, return_index=True, return_counts=True)
    together, seen, cut = parts.objects.boxes.copy(), parts.seen.copy(), parts.cut.copy()
    for one in np.flatnonzero(size > 1):
        seen[first[one]], cut[first[one]] = np.nan, False
        together[first[one]] = _around(parts.objects.boxes[group == one], parts.seen[group == one])
    joined = Objects(together, parts.objects.classes, parts.scores)
    # The first of a group has its highest score, as parts are sorted.
    return _Parts(joined, seen, cut).take(first)


def _agreement(parts: _Parts, a: Array, b: Array) -> Array:
    """Intersection over union of pairs within what both of their tiles show."""
    low = np.maximum(parts.seen[a, :2], parts.seen[b, :2])
    high = np.minimum(parts.seen[a, 2:], parts.seen[b, 2:])
    shared = shapely.box(*low.T, *np.maximum(low, high).T)
    shapes = parts.shapes()
    ours, theirs = shapely.intersection(shapes[a], shared), shapely.intersection(shapes[b], shared)
    common = shapely.area(shapely.intersection(ours, theirs))
    union = shapely.area(ours) + shapely.area(theirs) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _around(pieces: Array, seen: Array) -> Array:
    """The box around pieces, each counted as far as its tile shows it.

    A rotated one has the direction of the largest piece. Its width is that of pieces at least half
    as large that have this direction: the box around a tip or a corner that lies askew sticks out
    at the sides.
    """
    if pieces.shape[1] == 4:
        return np.concatenate([pieces[:, :2].min(axis=0), pieces[:, 2:].max(axis=0)])
    areas, angle = boxes.area(pieces), pieces[boxes.area(pieces).argmax(), 4]
    axes = np.array([[np.cos(angle), -np.sin(angle)], [-np.sin(angle), -np.cos(angle)]])
    shown = shapely.intersection(_shapes(pieces), shapely.box(*seen.T))
    points, of = shapely.get_coordinates(shown, return_index=True)
    along, across = axes @ points.T
    alike = np.abs(np.sin(pieces[:, 4] - angle)) <= ASKEW
    across = across[(alike & (areas >= areas.max() / 2))[of]]
    low, high = (np.array([f(along), f(across)]) for f in (np.min, np.max))
    return boxes.canonical([*((low + high) / 2 @ axes), *(high - low), angle])


def _shapes(array: Array) -> Array:
    """Polygons of boxes of either form."""
    return shapely.polygons(_corners(array).reshape(-1, 4, 2))


def _corners(array: Array) -> Array:
    """`(N, 8)` of boxes of either form."""
    return (boxes.xyxy_to_corners if array.shape[1] == 4 else boxes.cxcywhr_to_corners)(array)
