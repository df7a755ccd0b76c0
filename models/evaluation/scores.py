"""The statistics that evaluation reports, as functions of sample weights, so that a bootstrap costs no loop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unreel.models.evaluation.intervals import Statistic

__all__ = ["auc", "balanced_accuracy", "difference", "mean", "r_squared", "skill"]


def balanced_accuracy(predicted: ArrayLike, targets: ArrayLike) -> Statistic:
    """Mean of the classes' recalls, in [0, 1]: chance is 1 / classes whatever the class mix.

    Args:
        predicted, targets: class names or numbers `[N]`. Classes that the weights leave out do not enter the mean.
    """
    predicted, targets = np.asarray(predicted), np.asarray(targets)
    member = (targets[:, None] == np.unique(targets)).astype(np.float64)
    hits = member * (predicted == targets)[:, None]

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        support = weights @ member
        present = support > 0
        recall = np.divide(weights @ hits, support, out=np.zeros_like(support), where=present)
        return recall.sum(axis=1) / present.sum(axis=1)

    return statistic


def auc(scores: ArrayLike, targets: ArrayLike) -> Statistic:
    """Area under the ROC curve: the chance that a positive (target 1) scores above a negative, ties counted half.

    Args:
        scores: float `[N]`, larger = more likely positive.
        targets: int `[N]`, 0 or 1. The statistic is NaN where the weights leave a class out.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(targets) == 1
    order = np.argsort(scores, kind="stable")
    levels = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        ranked, is_positive = weights[:, order], positive[order]
        above = np.add.reduceat(ranked * is_positive, levels, axis=1)
        below = np.add.reduceat(ranked * ~is_positive, levels, axis=1)
        wins = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        pairs = above.sum(axis=1) * below.sum(axis=1)
        return np.divide(wins, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)

    return statistic


def r_squared(predicted: ArrayLike, truth: ArrayLike) -> Statistic:
    """Share of the variance that a prediction explains: 1 - residual / total; below 0 it is worse than the mean.

    Args:
        predicted, truth: float `[N]` or `[N, k]`; of k outputs the squares are added up before the ratio.
    """
    truth = _columns(truth)
    residual = ((truth - _columns(predicted)) ** 2).sum(axis=1)
    # Centred first: the weighted variance below would lose digits on values far from 0.
    centred = truth - truth.mean(axis=0)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights @ (centred**2).sum(axis=1)
        total -= ((weights @ centred) ** 2).sum(axis=1) / weights.sum(axis=1)
        return 1 - np.divide(weights @ residual, total, out=np.full_like(total, np.nan), where=total > 0)

    return statistic


def mean(values: ArrayLike) -> Statistic:
    """Mean of `values`, float `[N]`."""
    array = np.asarray(values, np.float64)
    return lambda weights: weights @ array / weights.sum(axis=1)


def skill(errors: ArrayLike, baselines: ArrayLike) -> Statistic:
    """1 - mean error / mean error of a baseline, each float `[N]` (Murphy's skill score): 0 is no better than it."""
    error, baseline = np.asarray(errors, np.float64), np.asarray(baselines, np.float64)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights @ baseline
        return 1 - np.divide(weights @ error, total, out=np.full_like(total, np.nan), where=total > 0)

    return statistic


def difference(first: Statistic, second: Statistic) -> Statistic:
    """`first` minus `second` on the same samples: its bootstrap is paired."""
    return lambda weights: first(weights) - second(weights)


def _columns(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array
