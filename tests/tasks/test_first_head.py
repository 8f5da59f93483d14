"""A head that begins as a linear probe: scikit-learn's scores, before the first step."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.tasks.labelled import make_backbone, settings, write_backbone, write_images

from ringmoe.datasets import Example, Image, LabelledLoader, Source
from ringmoe.errors import ConfigError
from ringmoe.sensors import get_sensor
from ringmoe.tasks import Classification, TaskModel, TaskSource, finetune, first_head
from ringmoe.tasks.first_head import begin_with_probe

RGB = get_sensor("rgb-dn8")


class Tints:
    """Noise whose red grows with the class, of three."""

    kind, names = "class", tuple(map(str, range(30)))

    def __init__(self, *more):
        self.classes = ("low", "middle", "high", *more)
        self.sources = {"image": Source(RGB, RGB.channels)}

    def __len__(self):
        return 30

    def __getitem__(self, index):
        values = np.random.default_rng(index).uniform(0, 80, (3, 32, 32)).astype(np.float32)
        values[0] += 80 * (index % 3)
        return Example(str(index), {"image": Image(values, np.ones((32, 32), bool))}, index % 3)


def test_the_head_scores_as_scikit_learn(monkeypatch):
    """Standardised features, the L2 weight that was chosen; a fourth class has no image."""
    torch.manual_seed(0)
    data = Tints("none")
    task = Classification(classes=data.classes, pooling="all")
    source = TaskSource("rgb-dn8", ("red", "green", "blue"))
    model = TaskModel(make_backbone(), task, {"image": source})
    backbone = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    given, chosen = {}, []
    inputs, choose = first_head._inputs, first_head.choose_l2

    def kept(*words):
        given["x"], given["y"] = inputs(*words)
        return given["x"], given["y"]

    def noted(x, y):
        chosen.append(choose(x, y).setting)
        return choose(x, y)

    monkeypatch.setattr(first_head, "_inputs", kept)
    monkeypatch.setattr(first_head, "choose_l2", noted)
    loader = LabelledLoader(data, np.arange(30), batch_size=8, crop_size=32, augment=False)
    begin_with_probe(model, loader)
    x, y = given["x"].double().numpy(), given["y"].numpy()
    assert x.shape == (30, 2 * sum(model.backbone.config.widths))
    scaled = StandardScaler().fit_transform(x)
    oracle = LogisticRegression(C=1 / (chosen[0] * 30), tol=1e-8, max_iter=10_000).fit(scaled, y)
    found = model.head.classify(given["x"])
    shares = found[:, :3].softmax(1).detach().numpy()
    np.testing.assert_allclose(shares, oracle.predict_proba(scaled), atol=2e-3)
    assert (found.argmax(1).numpy() == oracle.predict(scaled)).all()
    assert all(torch.equal(backbone[name], v) for name, v in model.backbone.state_dict().items())


@pytest.mark.slow
def test_a_run_begins_there(tmp_path):
    """After a step at no learning rate to speak of the run scores as the probe; maps have none."""
    start = write_backbone(tmp_path / "start")
    changes = {"steps": 1, "warmup_steps": 0, "learning_rate": 1e-9, "options": {"pooling": "all"}}
    split = {"train": range(24), "validation": range(24, 30)}
    scores = {}
    for first in (False, True):
        config = settings(start, tmp_path / str(first), probe_first=first, **changes)
        run = finetune("classification", config, Tints(), split=split, progress=False)
        scores[first] = (run.run_dir / "validation.jsonl").read_text()
    assert '"overall_accuracy": 1.0' in scores[True]
    assert '"overall_accuracy": 1.0' not in scores[False]
    config = settings(start, tmp_path / "mask", probe_first=True)
    with pytest.raises(ConfigError, match=r"probe_first: .* segmentation has no linear head"):
        finetune("segmentation", config, write_images(tmp_path / "data"), progress=False)
