"""What frozen features know: probes and nearest neighbours for every factor, each encoder beside its controls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.models.evaluation.features import Features
from unreel.models.evaluation.intervals import Estimate, Statistic, bootstrap
from unreel.models.evaluation.knn import knn_predict
from unreel.models.evaluation.probe import FOLDS, Examples, classify, regress
from unreel.models.evaluation.scores import balanced_accuracy, difference, r_squared

__all__ = ["Finding", "find_knowledge"]

_CLASSES: Final = range(2, 51)
_CYCLIC: Final = frozenset({"phase"})
"""Tracks in [0, 1) whose ends meet: they are regressed as sine and cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What each encoder's features say of one factor, on held-out sources.

    Attributes:
        factor: name of the track or label.
        method: `ridge` (of each moment), `logistic` or `knn` (of whole clips).
        metric: `R²` or `balanced accuracy`.
        chance: what no knowledge gives.
        classes: number of classes; 0 for a track.
        estimates: encoder → the metric.
        gains: other encoder → trained minus other, paired over sources.
        train_samples, train_sources: what the probe learned from.
    """

    factor: str
    method: str
    metric: str
    chance: float
    classes: int
    estimates: Mapping[str, Estimate]
    gains: Mapping[str, Estimate]
    train_samples: int
    train_sources: int


def find_knowledge(train: Features, test: Features, *, trained: str = "trained") -> list[Finding]:
    """Probe every track and every label that both sides know; `trained` is the encoder that the others are held against.

    Left out are tracks that do not vary, and labels with one class, with more than 50, with a class that only one side
    has, or with one that fewer than four training sources show.
    """
    tracks = [name for name in train.tracks if all(_varies(side, name) for side in (train, test))]
    labels = [
        name for name in train.labels if name in test.labels and _classes(train, test, name) in _CLASSES
    ]
    findings = [_track(train, test, name, trained) for name in tracks]
    for name in labels:
        findings += [
            _label(train, test, name, trained, "logistic", classify),
            _label(train, test, name, trained, "knn", _neighbours),
        ]
    return findings


def _track(train: Features, test: Features, name: str, trained: str) -> Finding:
    known = _moment_examples(train, name), _moment_examples(test, name)
    predicted = {encoder: regress(*(side(encoder) for side in known)) for encoder in train.values}
    left, right = (side(trained) for side in known)
    scores = {encoder: r_squared(values, right.y) for encoder, values in predicted.items()}
    return _finding(name, "ridge", scores, trained, train=left, test=right, classes=0)


def _label(
    train: Features,
    test: Features,
    name: str,
    trained: str,
    method: str,
    predict: Callable[[Examples, Examples], NDArray],
) -> Finding:
    known = _clip_examples(train, name), _clip_examples(test, name)
    predicted = {encoder: predict(*(side(encoder) for side in known)) for encoder in train.values}
    left, right = (side(trained) for side in known)
    scores = {encoder: balanced_accuracy(values, right.y) for encoder, values in predicted.items()}
    classes = len(np.unique(left.y))
    return _finding(name, method, scores, trained, train=left, test=right, classes=classes)


def _finding(
    factor: str,
    method: str,
    scores: Mapping[str, Statistic],
    trained: str,
    *,
    train: Examples,
    test: Examples,
    classes: int,
) -> Finding:
    others = [encoder for encoder in scores if encoder != trained]
    gains = {other: bootstrap(difference(scores[trained], scores[other]), test.sources) for other in others}
    return Finding(
        factor=factor,
        method=method,
        metric="balanced accuracy" if classes else "R²",
        chance=1 / classes if classes else 0.0,
        classes=classes,
        estimates={encoder: bootstrap(score, test.sources) for encoder, score in scores.items()},
        gains=gains,
        train_samples=len(train),
        train_sources=len(np.unique(train.sources)),
    )


def _neighbours(train: Examples, test: Examples) -> NDArray:
    """Cosine after the mean of the training rows is taken off: features that share a large offset are all alike."""
    centre = train.x.mean(axis=0)
    return knn_predict(train.x - centre, train.y, test.x - centre)


def _moment_examples(features: Features, name: str) -> Callable[[str], Examples]:
    """Rows whose track is known, one a moment."""
    times = features.tracks[name].shape[1]
    values = features.tracks[name].ravel()
    known = ~np.isnan(values)
    sources = np.repeat(features.sources, times)[known]
    y = _circle(values[known]) if name in _CYCLIC else values[known]
    return lambda encoder: Examples(x=features.moments(encoder)[known], y=y, sources=sources)


def _clip_examples(features: Features, name: str) -> Callable[[str], Examples]:
    """Rows whose label is known, one a clip."""
    y = features.labels[name]
    known = y != ""
    return lambda encoder: Examples(
        x=features.clips(encoder)[known], y=y[known], sources=features.sources[known]
    )


def _circle(phase: NDArray[np.float32]) -> NDArray[np.float32]:
    angle = 2 * np.pi * phase
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _varies(features: Features, name: str) -> bool:
    values = features.tracks.get(name, np.empty(0))
    known = values[~np.isnan(values)]
    return len(known) > 1 and float(np.ptp(known)) > 0


def _classes(train: Features, test: Features, name: str) -> int:
    """Classes of a label that both sides have in full and that enough training sources show; else 0."""
    sides = [set(features.labels[name].tolist()) - {""} for features in (train, test)]
    shown = [len(set(train.sources[train.labels[name] == label].tolist())) for label in sides[0]]
    return len(sides[0]) if sides[0] == sides[1] and min(shown, default=0) >= FOLDS else 0
