"""Few-shot episodes against scikit-learn, closed forms and chance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from ringmoe.errors import ConfigError, ShapeError
from ringmoe.probing import draw_episode, few_shot, nearest_mean


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_euclidean_is_scikit_learns_nearest_centroid():
    support = torch.randn(5, 3, 7, generator=seeded(0), dtype=torch.float64)
    query = torch.randn(200, 7, generator=seeded(1), dtype=torch.float64)
    labels = np.repeat(np.arange(5), 3)
    theirs = NearestCentroid().fit(support.flatten(0, 1).numpy(), labels).predict(query.numpy())
    assert len(set(theirs)) == 5
    np.testing.assert_array_equal(nearest_mean(support, query, "euclidean").numpy(), theirs)


def test_cosine_is_the_smallest_angle_to_a_mean():
    """In NumPy; and the length of a query has no effect, which it has by Euclidean distance."""
    support = torch.randn(4, 2, 3, generator=seeded(0), dtype=torch.float64) + 1
    query = torch.randn(50, 3, generator=seeded(1), dtype=torch.float64)
    means, x = support.numpy().mean(axis=1), query.numpy()
    angles = np.arccos(
        (x @ means.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    )
    np.testing.assert_array_equal(nearest_mean(support, query).numpy(), angles.argmin(axis=1))
    assert torch.equal(nearest_mean(support, 9 * query), nearest_mean(support, query))
    euclidean = nearest_mean(support, query, "euclidean")
    assert not torch.equal(nearest_mean(support, 9 * query, "euclidean"), euclidean)


@settings(max_examples=50)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_an_episode_takes_different_samples_of_different_classes(ways, shots, queries, seed):
    y = torch.randint(0, 7, (120,), generator=seeded(seed)) * 10
    episode = draw_episode(y, ways, shots, queries, seeded(seed))
    drawn = torch.cat([episode.support, episode.query], dim=1)
    assert drawn.shape == (ways, shots + queries)
    assert len(drawn.unique()) == drawn.numel()
    assert (y[drawn] == y[drawn[:, :1]]).all()
    assert len(y[drawn[:, 0]].unique()) == ways


def test_every_sample_is_drawn_equally_often():
    """600 episodes of 2 of 3 classes and 2 + 2 of 8 samples: each with p = 2/3 * 1/2 = 1/3.

    The count has a mean of 200 and a deviation of 11.5; the bounds are 4.5 deviations away.
    """
    y, generator = torch.arange(3).repeat_interleave(8), seeded(0)
    counts = torch.zeros(24)
    for _ in range(600):
        episode = draw_episode(y, 2, 2, 2, generator)
        counts[torch.cat([episode.support, episode.query], dim=1).flatten()] += 1
    assert (counts - 200).abs().max() < 52


def test_features_that_say_nothing_give_chance_and_its_interval():
    """Each of 400 accuracies is near a mean over 5 * 8 queries of success at 1/5.

    Its deviation is about the binomial one, sqrt(0.2 * 0.8 / 40) = 0.063; the interval is 1.96 / 20
    of it, estimated to 1 / sqrt(2 * 400) = 3.5 %.
    """
    x = torch.randn(300, 6, generator=seeded(0))
    y = torch.arange(300) % 10
    result = few_shot(x, y, ways=5, shots=1, queries=8, episodes=400, generator=seeded(1))
    assert abs(result.accuracy - 0.2) < 0.03
    assert result.interval == pytest.approx(0.063 * 1.96 / 20, rel=0.2)


def test_separate_classes_are_all_found_and_more_shots_help():
    y = torch.arange(200) % 5
    x = torch.eye(5)[y]
    result = few_shot(x, y, ways=5, shots=1, episodes=20, generator=seeded(0))
    assert (result.accuracy, result.interval, result.episodes) == (1.0, 0.0, 20)
    noisy = x + 0.7 * torch.randn(200, 5, generator=seeded(0))
    one, five = (
        few_shot(noisy, y, ways=5, shots=k, episodes=100, generator=seeded(1)) for k in (1, 5)
    )
    assert one.accuracy + one.interval < five.accuracy - five.interval


def test_the_interval_is_that_of_the_episodes_accuracies():
    """Drawn again with the same seed, scored by scikit-learn."""
    x = torch.randn(100, 4, generator=seeded(0), dtype=torch.float64)
    y = torch.arange(100) % 4
    x[:, 0] += y
    result = few_shot(
        x, y, ways=3, shots=2, queries=5, episodes=30, distance="euclidean", generator=seeded(5)
    )
    generator, scores = seeded(5), []
    for _ in range(30):
        episode = draw_episode(y, 3, 2, 5, generator)
        support, query = episode.support.flatten(), episode.query.flatten()
        model = NearestCentroid().fit(x[support].numpy(), y[support].numpy())
        scores.append(model.score(x[query].numpy(), y[query].numpy()))
    assert result.accuracy == pytest.approx(np.mean(scores))
    assert result.interval == pytest.approx(1.96 * np.std(scores, ddof=1) / np.sqrt(30))


def test_what_cannot_be_drawn_is_refused():
    x, y = torch.randn(20, 3), torch.arange(20) % 4
    with pytest.raises(ConfigError, match="need 4 classes of 16 samples, found 0 of 4"):
        few_shot(x, y, ways=4, shots=1)
    with pytest.raises(ConfigError, match="at least 2 ways, 1 shot and 1 query"):
        few_shot(x, y, ways=4, shots=0, queries=1)
    with pytest.raises(ConfigError, match="at least 2 for an interval"):
        few_shot(x, y, ways=2, shots=1, queries=1, episodes=1)
    with pytest.raises(ConfigError, match="cosine or euclidean"):
        few_shot(x, y, ways=2, shots=1, queries=1, distance="manhattan")
    with pytest.raises(ShapeError):
        few_shot(x, y[:3], ways=2, shots=1)
