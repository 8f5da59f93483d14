"""The published benchmarks of objects, over tiny files in their real layouts."""

import numpy as np
import pytest
from tests.datasets.published_files import corners, edges, write_benchmark

from ringmoe.datasets import BENCHMARKS, published
from ringmoe.errors import ConfigError, DatasetError

KINDS = [(name, kind) for name, benchmark in BENCHMARKS.items() for kind in benchmark.forms]


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[f"{n}-{k}" for n, k in KINDS])
def test_everything_is_found(name, kind, tmp_path, caplog):
    """Rotated boxes are compared by the corners they cover, whichever edge is called first."""
    truth = write_benchmark(name, tmp_path)
    parts = published(name, tmp_path, kind)
    assert list(parts) == list(truth) == list(BENCHMARKS[name].parts)
    assert not caplog.records
    for part, data in parts.items():
        assert data.classes == tuple(BENCHMARKS[name].classes) and data.problems == ()
        assert len(data) == len(truth[part])
        for index, objects in enumerate(truth[part].values()):
            example = data[index]
            assert [data.classes[c] for c in example.label.classes] == [kind for kind, _ in objects]
            assert not example.label.ignored.any()
            for found, (_, box) in zip(example.label.boxes, objects, strict=True):
                if kind == "boxes":
                    np.testing.assert_allclose(found, edges(box), atol=2e-4)
                else:
                    pair = [np.array(corners(tuple(b))).reshape(4, 2) for b in (found, box)]
                    gaps = np.linalg.norm(pair[0][:, None] - pair[1], axis=-1)
                    assert gaps.min(1).max() < 1e-2
    names = [name for data in parts.values() for name in data.names]
    assert len(set(names)) == len(names)


def test_tiles_and_sequences(tmp_path):
    write_benchmark("DOTA-v1.0", tmp_path / "dota")
    tiles = published("DOTA-v1.0", tmp_path / "dota", tile_size=32)["train"]
    assert len(tiles) == 12 and tiles[0].size == (32, 32)
    write_benchmark("AIR-MOT", tmp_path / "mot")
    data = published("AIR-MOT", tmp_path / "mot")["train"]
    assert data.names == ("100/000001", "100/000002", "100/000003")
    assert data[0].label.ids.tolist() == [1, 2, 3]


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no benchmark 'COCO': expected one of DIOR, DIOR-R"):
        published("COCO", tmp_path)
    with pytest.raises(ConfigError, match="DIOR: has boxes, got kind 'rotated-boxes'"):
        published("DIOR", tmp_path, "rotated-boxes")
    with pytest.raises(DatasetError, match="JPEGImages-trainval: there is no such file or folder"):
        published("DIOR", tmp_path)
    write_benchmark("DIOR", tmp_path)
    listed = tmp_path / "ImageSets" / "Main" / "test.txt"
    listed.write_text(listed.read_text() + "99999\n")
    (problem,) = published("DIOR", tmp_path)["test"].problems
    assert str(problem).startswith(f"{listed}: it lists 99999, of which there is neither image nor")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("")
    with pytest.raises(DatasetError, match="no labelled image in the validation part of DIOR"):
        published("DIOR", tmp_path)
