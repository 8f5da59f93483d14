"""What frozen features are worth: pooled and dense features, linear probe, neighbours, episodes."""

from ringmoe.probing.episodes import (
    Episode,
    FewShotResult,
    draw_episode,
    few_shot,
    nearest_mean,
)
from ringmoe.probing.features import dense_features, moments, pooled_features
from ringmoe.probing.inputs import fit_to, observe
from ringmoe.probing.linear import LinearClassifier, choose_l2, fit_linear, linear_probe
from ringmoe.probing.neighbours import choose_k, nearest_neighbours, vote
from ringmoe.probing.result import Choice, ProbeResult, last_fifth
from ringmoe.probing.statistics import image_statistics, neighbourhood_statistics

__all__ = [
    "Choice",
    "Episode",
    "FewShotResult",
    "LinearClassifier",
    "ProbeResult",
    "choose_k",
    "choose_l2",
    "dense_features",
    "draw_episode",
    "few_shot",
    "fit_linear",
    "fit_to",
    "image_statistics",
    "last_fifth",
    "linear_probe",
    "moments",
    "nearest_mean",
    "nearest_neighbours",
    "neighbourhood_statistics",
    "observe",
    "pooled_features",
    "vote",
]
