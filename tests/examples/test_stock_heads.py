"""The examples of stock heads run as they stand: they learn, and predict for every pixel."""

import importlib.util
import re
from pathlib import Path

import pytest

from ringmoe.simulation import LAND_COVER, OBJECT_CLASSES

pytestmark = pytest.mark.slow  # some seconds in all

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, capsys: pytest.CaptureFixture):
    """What `main` of an example returns, once its three losses have been seen to fall."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.main()
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    return result


@pytest.mark.slow
def test_upernet_of_segmentation_models_pytorch(capsys):
    classes = run("segmentation_upernet", capsys)
    assert classes.shape == (2, 96, 96)
    assert int(classes.min()) >= 0 and int(classes.max()) < len(LAND_COVER)


def test_feature_pyramid_of_torchvision(capsys):
    heights = run("height_fpn", capsys)
    assert heights.shape == (2, 1, 96, 96)
    assert heights.isfinite().all()


@pytest.mark.slow
def test_faster_rcnn_of_torchvision(capsys):
    found = run("detection_faster_rcnn", capsys)
    assert set(found) == {"boxes", "labels", "scores"}
    assert found["boxes"].shape[1] == 4
    assert float(found["boxes"].min()) >= 0 and float(found["boxes"].max()) <= 128
    assert set(found["labels"].tolist()) <= set(range(1, 1 + len(OBJECT_CLASSES)))
