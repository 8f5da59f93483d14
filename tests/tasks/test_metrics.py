"""Metrics against scikit-learn and NumPy, over batches of different sizes."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from tests.tasks.pyramids import CLASSES, SIZE, labels_of

from ringmoe.tasks import Change, Classification, Height, Segmentation


def in_parts(task, output, labels) -> dict[str, float]:
    """The first image, then the others."""
    metrics = task.metrics()
    for part in (slice(0, 1), slice(1, None)):
        metrics.update(output[part], labels[part])
    return {key: value.numpy() for key, value in metrics.compute().items()}


def scores(task, batch: int, labels: torch.Tensor) -> torch.Tensor:
    """Random scores that favour the truth a little."""
    generator = torch.Generator().manual_seed(3)
    shape = (batch, len(task.classes), *labels.shape[1:])
    truth = torch.nn.functional.one_hot(labels.clamp(min=0), len(task.classes)).movedim(-1, 1)
    return torch.randn(shape, generator=generator) + truth


@pytest.mark.parametrize(
    "task",
    [
        Classification(classes=CLASSES),
        Segmentation(classes=CLASSES),
        Segmentation(classes=(*CLASSES, "absent")),
    ],
    ids=["classification", "segmentation", "absent class"],
)
def test_class_metrics_are_scikit_learns(task):
    """Over labelled pixels alone. A class that is in neither truth nor prediction is left out."""
    labels = labels_of(Classification(classes=CLASSES), 50)
    if task.name == "segmentation":
        labels = labels_of(Segmentation(classes=CLASSES), 3)
    output = scores(task, len(labels), labels)
    if len(task.classes) == 4:
        output[:, 3] = -100
    found = in_parts(task, output, labels)
    known = labels.numpy() != -1
    truth, predicted = labels.numpy()[known], output.argmax(1).numpy()[known]
    assert known.all() == (task.name == "classification")
    expected = {
        "overall_accuracy": sk.accuracy_score(truth, predicted),
        "mean_accuracy": sk.balanced_accuracy_score(truth, predicted),
        "mf1": sk.f1_score(truth, predicted, average="macro"),
        "miou": sk.jaccard_score(truth, predicted, average="macro"),
    }
    for name in set(expected) & set(found):
        assert found[name] == pytest.approx(expected[name], abs=1e-6), name
    assert task.best in found
    assert set(found) >= {"overall_accuracy", "mean_accuracy", "confusion_matrix"}
    assert ("miou" in found) == (task.name == "segmentation")
    confusion = sk.confusion_matrix(truth, predicted, labels=range(len(task.classes)))
    np.testing.assert_array_equal(found["confusion_matrix"], confusion)


def test_a_class_that_is_predicted_but_never_true_counts_with_zero():
    """Truth a a a b, predicted a a c b: IoU 2/3, 1, 0; the mean over three classes is 5/9."""
    task = Segmentation(classes=tuple("abcd"))
    labels = torch.tensor([[[0, 0, 0, 1]]])
    output = torch.nn.functional.one_hot(torch.tensor([[[0, 0, 2, 1]]]), 4).movedim(-1, 1).float()
    metrics = task.metrics()
    metrics.update(output, labels)
    found = metrics.compute()
    assert found["miou"].item() == pytest.approx(5 / 9)
    assert found["mean_accuracy"].item() == pytest.approx((2 / 3 + 1 + 0) / 3)


@pytest.mark.parametrize("method", ["bit", "difference"])
def test_change_metrics_are_those_of_the_changed_class(method):
    task = Change(method=method)
    labels = labels_of(task, 3)
    output = scores(task, 3, labels)
    found = in_parts(task, output, labels)
    known = labels.numpy() != -1
    truth, predicted = labels.numpy()[known], output.argmax(1).numpy()[known]
    expected = {
        "f1": sk.f1_score(truth, predicted),
        "iou": sk.jaccard_score(truth, predicted),
        "precision": sk.precision_score(truth, predicted),
        "recall": sk.recall_score(truth, predicted),
        "overall_accuracy": sk.accuracy_score(truth, predicted),
    }
    assert set(found) == {*expected, "confusion_matrix"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
    np.testing.assert_array_equal(found["confusion_matrix"], sk.confusion_matrix(truth, predicted))


@pytest.mark.parametrize("floor", [0.5, 5.0])
def test_height_metrics_are_their_formulas(floor):
    """In NumPy float64; a quarter of the heights is 0, some predictions are below the floor."""
    task = Height(floor=floor)
    labels = labels_of(task, 3)
    noise = torch.randn(labels.shape, generator=torch.Generator().manual_seed(4))
    output = (labels.nan_to_num(7.0) * noise.mul(0.3).exp())[:, None] + 0.2
    found = in_parts(task, output, labels)
    truth, predicted = labels.numpy().ravel(), output.numpy().ravel()
    known = ~np.isnan(truth)
    assert ((truth == 0) & known).any()
    t, p = truth[known], predicted[known]
    expected = {"rmse": np.sqrt(np.mean((p - t) ** 2)), "mae": np.mean(np.abs(p - t))}
    t, p = t[t > floor], np.maximum(p[t > floor], floor)
    ratio = np.maximum(p / t, t / p)
    expected |= {
        "rel": np.mean(np.abs(p - t) / t),
        "rmse_log": np.sqrt(np.mean((np.log(p) - np.log(t)) ** 2)),
        **{f"delta{k}": np.mean(ratio < 1.25**k) for k in (1, 2, 3)},
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-10), name
    assert found["delta1"] < found["delta2"] < found["delta3"] < 1


def test_height_metrics_that_agree_on_the_first_batch_may_differ_later():
    """Ratios of 1 first, then of 1.4 and 1.7: delta1 1/3, delta2 2/3, delta3 1."""
    metrics = Height().metrics()
    truth = torch.full((1, 1, 1), 10.0)
    for ratio in (1.0, 1.4, 1.7):
        metrics.update(truth[:, None] * ratio, truth)
    found = metrics.compute()
    assert [found[f"delta{k}"].item() for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_metrics_without_a_pixel_above_the_floor_are_nan():
    """All ground: RMSE is defined (2 m everywhere), ratios are not."""
    metrics = Height().metrics()
    metrics.update(torch.full((1, 1, *SIZE), 2.0), torch.zeros(1, *SIZE))
    found = {key: value.item() for key, value in metrics.compute().items()}
    assert found["rmse"] == found["mae"] == 2.0
    assert all(math.isnan(found[key]) for key in found if key not in ("rmse", "mae"))
