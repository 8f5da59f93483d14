"""Losses: exact over any spread of a batch, and equal to other libraries' on one."""

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from tests.tasks.pyramids import CLASSES, SIZE, labels_of, unlabelled_like
from torch.nn import functional as F
from torch.testing import assert_close

from ringmoe.tasks import Change, Classification, Height, Segmentation

TASKS = {
    "classification": Classification(
        classes=CLASSES, class_weights=(1.0, 0.3, 2.5), label_smoothing=0.1
    ),
    "segmentation": Segmentation(
        classes=CLASSES, class_weights=(1.0, 0.3, 2.5), label_smoothing=0.1, dice=0.7
    ),
    "change": Change(dice=0.7),
    "height": Height(),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def output_of(task, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, task.outputs, *(() if task.label_kind == "class" else SIZE))
    scores = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return scores.abs().requires_grad_() if task.name == "height" else scores.requires_grad_()


def whole(task, output, labels) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of a batch in one piece."""
    loss = task.loss(task.sums(output, labels), task.counts(labels))["loss"]
    return loss.detach(), torch.autograd.grad(loss, output)[0]


def added(terms):
    return {key: sum(part[key] for part in terms) for key in terms[0]}


@pytest.mark.parametrize("unlabelled", [False, True])
@every_task
def test_parts_of_a_batch_give_the_loss_and_gradient_of_the_whole(task, unlabelled):
    """Over ranks sums are added; over micro-batches, losses with the counts of the whole step.

    Images 0 and 1, then 2, then none; with the second part's labels taken away in one case.
    """
    output, labels = output_of(task, 3), labels_of(task, 3)
    if unlabelled:
        labels[2] = unlabelled_like(labels[2])
    loss, gradient = whole(task, output, labels)
    assert loss > 0.1 and gradient.abs().max() > 0
    parts = [slice(0, 2), slice(2, 3), slice(3, 3)]
    counts = added([task.counts(labels[part]) for part in parts])
    sums = [task.sums(output[part], labels[part]) for part in parts]
    over_ranks = task.loss(added(sums), counts)["loss"]
    over_micro_batches = sum(task.loss(part, counts)["loss"] for part in sums)
    for found in (over_ranks, over_micro_batches):
        assert_close(found.detach(), loss, atol=1e-10, rtol=1e-10)
        (slope,) = torch.autograd.grad(found, output, retain_graph=True)
        assert_close(slope, gradient, atol=1e-10, rtol=1e-10)


@every_task
def test_counts_and_sums_have_the_same_keys_and_shapes_whatever_the_batch_holds(task):
    def shapes(batch, labels):
        terms = {**task.sums(output_of(task, batch), labels), **task.counts(labels)}
        return {key: value.shape for key, value in terms.items()}

    labels = labels_of(task, 2)
    expected = shapes(2, labels)
    assert shapes(0, labels[:0]) == expected
    assert shapes(2, unlabelled_like(labels)) == expected
    assert all(not value.requires_grad for value in task.counts(labels).values())


@every_task
def test_a_step_without_labels_has_a_loss_and_gradient_of_zero(task):
    output = output_of(task, 2)
    loss, gradient = whole(task, output, unlabelled_like(labels_of(task, 2)))
    assert loss == 0 and not gradient.any()


def test_cross_entropy_is_torchs_mean():
    """torch divides by the weights of the labelled pixels too."""
    for name in ("classification", "segmentation"):
        task = TASKS[name]
        output, labels = output_of(task, 4), labels_of(task, 4)
        expected = F.cross_entropy(
            output,
            labels,
            weight=torch.tensor(task.class_weights).double(),
            ignore_index=-1,
            label_smoothing=0.1,
        )
        found = task.loss(task.sums(output, labels), task.counts(labels))
        assert_close(found.get("cross_entropy", found["loss"]), expected)


@pytest.mark.parametrize("classes", [3, 5])
def test_dice_is_segmentation_models_pytorchs_for_one_image(classes):
    """Theirs is a mean over all K classes with 0 for absent ones, ours over the 3 that are there.

    Theirs computes the score in float32 with an epsilon in the denominator.
    """
    task = Segmentation(classes=tuple("abcde"[:classes]), dice=1.0)
    output, labels = output_of(task, 1), labels_of(Segmentation(classes=CLASSES), 1)
    theirs = DiceLoss("multiclass", ignore_index=-1)(output, labels)
    found = task.loss(task.sums(output, labels), task.counts(labels))["dice"]
    assert found > 0.1
    assert_close(found, theirs.detach() * classes / 3, atol=1e-6, rtol=1e-6)


def test_dice_is_a_mean_over_images_and_their_classes():
    """A perfect image and one of which every pixel is wrong: (0 + 1) / 2."""
    task = Change(dice=1.0)
    labels = torch.tensor([[[0, 0]], [[1, 1]]])
    scores = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    scores[:, 0] = 1e3
    assert_close(
        task.sums(scores, labels)["dice"] / task.counts(labels)["present"],
        torch.tensor(0.5).double(),
    )


def test_height_loss_is_hubers_of_known_pixels():
    """Small errors as half their square over the limit, large ones less half of the limit."""
    task = TASKS["height"]
    output, labels = output_of(task, 2), labels_of(task, 2)
    known = ~labels.isnan()
    assert 0.5 < known.double().mean() < 0.95
    loss, gradient = whole(task, output, labels)
    errors = (output[:, 0][known] - labels[known]).abs().detach()
    assert (errors < task.huber).any() and (errors > task.huber).any()
    small, large = errors.square() / (2 * task.huber), errors - task.huber / 2
    assert_close(loss, torch.where(errors < task.huber, small, large).mean())
    assert not gradient[:, 0][~known].any() and gradient.isfinite().all()


def test_heights_of_zero_mostly_do_not_draw_all_to_zero():
    """Nine pixels of ground and a house of 10 m: the best constant c has 9 c = 3, and is no limit.

    Of the absolute error it is 0, where both heads are saturated and learn no more.
    """
    task, labels = Height(), torch.zeros(1, 1, 10)
    labels[..., 0] = 10.0
    constant = torch.full((), 1 / 3, requires_grad=True)
    task.sums(constant.expand(1, 1, 1, 10), labels)["huber"].backward()
    assert abs(constant.grad.item()) < 1e-6


def test_the_loss_of_bfloat16_scores_is_summed_in_float32():
    """8192 pixels of which each adds log(2): bfloat16 could count no further than 256 of them."""
    task = Change()
    scores = torch.zeros(1, 2, 64, 128, dtype=torch.bfloat16)
    total = task.sums(scores, torch.zeros(1, 64, 128, dtype=torch.int64))["cross_entropy"]
    assert_close(total, torch.tensor(8192 * 0.6931471805599453))
