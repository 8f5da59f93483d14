"""CLEAR MOT, identity and HOTA scores of one sequence, as sums that add up over sequences.

They agree with TrackEval (Luiten and Hoffhues, github.com/JonathonLuiten/TrackEval). Sources:
Bernardin and Stiefelhagen (2008) for CLEAR MOT; Ristani et al. (2016) for identity, IDF1; Luiten
et al., HOTA (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

Sums = dict[str, np.ndarray]

MATCH = 0.5  # the similarity from which an object counts as found, except in HOTA
ALPHAS = np.arange(0.05, 0.99, 0.05)  # HOTA is the mean over these
_EPS = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Frame:
    """What one frame of a sequence has of one class.

    Attributes:
        truth: `(G,)` int64: of each object its identity, each at most once.
        tracks: `(D,)` int64: of each detection its track, each at most once.
        similarity: `(G, D)` in [0, 1]; sparse, for most pairs are far apart.
    """

    truth: np.ndarray
    tracks: np.ndarray
    similarity: csr_array


def matched(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the assignment of the largest sum; pairs that score 0 are left out."""
    rows, columns = linear_sum_assignment(score, maximize=True)
    kept = score[rows, columns] > _EPS
    return rows[kept], columns[kept]


def sequence_sums(frames: Sequence[Frame]) -> Sums:
    """All sums of a sequence, its frames in order of time."""
    truth, frames_truth = _numbered([frame.truth for frame in frames])
    tracks, frames_tracks = _numbered([frame.tracks for frame in frames])
    numbered = [
        Frame(*ids, frame.similarity)
        for ids, frame in zip(zip(frames_truth, frames_tracks, strict=True), frames, strict=True)
    ]
    return {
        "truth": truth.sum(),
        "tracks": tracks.sum(),
        **clear_sums(numbered, truth),
        **identity_and_hota_sums(numbered, truth, tracks),
    }


def clear_sums(frames: Sequence[Frame], truth: np.ndarray) -> Sums:
    """Matches frame by frame, where an object keeps its track if it can.

    Args:
        frames: With identities from 0.
        truth: In how many frames each object is.
    """
    last = np.full(len(truth), -1)  # of each object the track that it had last
    now = np.full(len(truth), -1)  # that of the last frame with objects and detections
    found, starts = np.zeros(len(truth), int), np.zeros(len(truth), int)
    switches, similarities = 0, 0.0
    for frame in frames:
        if not len(frame.truth) or not len(frame.tracks):
            continue
        similarity = frame.similarity.toarray()
        keeps = frame.tracks == now[frame.truth][:, None]
        score = np.where(similarity < MATCH - _EPS, 0.0, 1000.0 * keeps + similarity)
        rows, columns = matched(score)
        objects, tracks = frame.truth[rows], frame.tracks[columns]
        switches += int(((last[objects] >= 0) & (last[objects] != tracks)).sum())
        starts[objects[now[objects] < 0]] += 1
        found[objects] += 1
        last[objects] = tracks
        now[:] = -1
        now[objects] = tracks
        similarities += similarity[rows, columns].sum()
    share = found / truth
    return {
        "found": found.sum(),
        "similarity": np.float64(similarities),
        "id_switches": np.int64(switches),
        "fragmentations": np.maximum(starts - 1, 0).sum(),
        "mostly_tracked": (share > 0.8).sum(),
        "mostly_lost": (share < 0.2).sum(),
    }


def identity_and_hota_sums(frames: Sequence[Frame], truth: np.ndarray, tracks: np.ndarray) -> Sums:
    """Detections under the best one-to-one match of identities, and HOTA's sums at each alpha.

    Args:
        frames: With identities from 0.
        truth: In how many frames each object is.
        tracks: In how many frames each track is.
    """
    together = np.zeros((len(truth), len(tracks)))  # in how many frames they match
    potential = np.zeros((len(truth), len(tracks)))
    for frame in frames:
        similarity, pairs = frame.similarity.toarray(), np.ix_(frame.truth, frame.tracks)
        union = similarity.sum(0) + similarity.sum(1)[:, None] - similarity
        potential[pairs] += np.where(union > _EPS, similarity / np.maximum(union, _EPS), 0.0)
        together[pairs] += similarity >= MATCH
    rows, columns = linear_sum_assignment(together, maximize=True)
    alignment = potential / (truth[:, None] + tracks - potential)

    both, similarities = [np.zeros(0, int)], [np.zeros(0)]
    for frame in frames:
        similarity = frame.similarity.toarray()
        score = alignment[np.ix_(frame.truth, frame.tracks)] * similarity
        own, other = linear_sum_assignment(score, maximize=True)
        both.append(frame.truth[own] * len(tracks) + frame.tracks[other])
        similarities.append(similarity[own, other])
    hota = _hota_sums(np.concatenate(both), np.concatenate(similarities), truth, tracks)
    return {"identified": together[rows, columns].sum(), **hota}


def _hota_sums(
    both: np.ndarray, similarity: np.ndarray, truth: np.ndarray, tracks: np.ndarray
) -> Sums:
    """Of all pairs that were matched: `both` is the object's number times tracks plus track's."""
    found, associated, located = np.zeros((3, len(ALPHAS)))
    for a, alpha in enumerate(ALPHAS):
        kept = similarity >= alpha - _EPS
        pairs, count = np.unique(both[kept], return_counts=True)
        either = truth[pairs // len(tracks)] + tracks[pairs % len(tracks)] - count
        found[a] = kept.sum()
        associated[a] = (count * count / either).sum()
        located[a] = similarity[kept].sum()
    return {"hota_found": found, "hota_associated": associated, "hota_located": located}


def _numbered(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """How often each identity comes, and the same identities numbered from 0."""
    joined = np.concatenate([np.zeros(0, np.int64), *ids])
    _, numbers, counts = np.unique(joined, return_inverse=True, return_counts=True)
    return counts, np.split(numbers, np.cumsum([len(one) for one in ids])[:-1])
