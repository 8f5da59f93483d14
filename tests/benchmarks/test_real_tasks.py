"""The parts of the fine-tuning benchmark that are its own."""

import numpy as np
import pytest
import torch
from benchmarks.aconvnet import SIZE, a_convnet, predict, train_a_convnet
from benchmarks.real_tasks import training_split
from benchmarks.task_data import BORDER, Held, middle, without_clutter

from ringmoe.datasets import Source
from ringmoe.sensors import get_sensor


def chips(brightness):
    """Noise of these medians, `(N, 1, 64, 64)`, a bright object in each."""
    rng = np.random.default_rng(0)
    values = (
        rng.uniform(0.8, 1.2, (len(brightness), 1, 64, 64))
        * np.array(brightness)[:, None, None, None]
    )
    values[:, :, 28:36, 28:36] *= 5
    sensor = get_sensor("sar-amplitude-dn8")
    return Held(
        kind="class",
        classes=("a", "b"),
        sources={"image": Source(sensor, sensor.select(["unknown"]))},
        values=values.astype(np.float32),
        valid=np.ones((len(brightness), 64, 64), bool),
        labels=np.arange(len(brightness)) % 2,
        names=[str(n) for n in range(len(brightness))],
    )


def test_without_clutter_every_border_is_alike():
    """Medians of 10, 20 and 40 become 20; what stands out does so by the same factor."""
    before = chips([10.0, 20.0, 40.0])
    after = without_clutter(before)
    border = after.values[:, 0, :BORDER].reshape(3, -1)
    assert np.median(border, axis=1) == pytest.approx([20.0, 20.0, 20.0], rel=0.05)
    contrasts = [
        data.values[:, 0, 30:34, 30:34].mean((1, 2)) / data.values[:, 0, :8].mean((1, 2))
        for data in (before, after)
    ]
    assert contrasts[0] == pytest.approx(contrasts[1], rel=1e-4)
    assert after[1].label == 1


def test_a_convnet_is_as_published():
    """Maps of 84, 42, 38, 19, 14, 7, 3 and 1; weights k^2 * in * out + out of each convolution."""
    net = a_convnet(10)
    assert net(torch.zeros(2, 1, SIZE, SIZE)).shape == (2, 10)
    sizes = [(5, 1, 16), (5, 16, 32), (6, 32, 64), (5, 64, 128), (3, 128, 10)]
    assert sum(p.numel() for p in net.parameters()) == sum(k * k * a * b + b for k, a, b in sizes)


@pytest.mark.slow
def test_a_convnet_learns():
    """Bright objects on the left or on the right of the middle."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 128, 128)).astype(np.float32)
    labels = np.arange(60) % 2
    for image, label in zip(images, labels, strict=True):
        image[54:74, 40 + 30 * label : 58 + 30 * label] += 4
    net = train_a_convnet(images, labels, classes=2, epochs=12, seed=0, batch_size=20)
    assert (predict(net, images).numpy() == labels).mean() > 0.9


@pytest.mark.slow
def test_floods_in_parts(real_data):
    """One scene in spatial blocks: no tile of the test part touches one of training."""
    from benchmarks.task_data import real_data as load

    data, split = load("floods-1-2", real_data)
    assert list(data.sources) == ["sar_amplitude", "multispectral"]
    places = {
        part: np.array([(data.window(i).row, data.window(i).column) for i in indices])
        for part, indices in split.items()
    }
    apart = np.abs(places["train"][:, None] - places["test"][None]).max(-1)
    assert apart.min() >= 2 * 64


def test_what_is_learnt_is_not_watched():
    parts = {name: np.arange(3) + 3 * n for n, name in enumerate(("train", "validation", "test"))}
    alone = training_split(parts, ["train"])
    both = training_split(parts, ["train", "validation"])
    assert [alone[name].tolist() for name in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [both[name].tolist() for name in parts] == [[0, 1, 2, 3, 4, 5], [], [6, 7, 8]]


def test_the_middle_of_a_chip():
    chip = chips([10.0, 20.0])
    inner = middle(chip, 50)
    assert inner.values.shape == (2, 1, 50, 50) and inner.valid.shape == (2, 50, 50)
    assert (inner.values[1, 0] == chip.values[1, 0, 7:57, 7:57]).all()
