"""Weighted nearest neighbours on frozen features: what a representation says without anything trained on it."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NEIGHBOURS", "TEMPERATURE", "knn_predict"]

NEIGHBOURS: Final = 200
TEMPERATURE: Final = 0.07
"""As published: Wu, Xiong, Yu, Lin, "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018."""


def knn_predict(
    train: NDArray[np.float32],
    labels: ArrayLike,
    test: NDArray[np.float32],
    *,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> NDArray:
    """The class with the most votes among the nearest training rows by cosine.

    A neighbour of similarity s votes with exp(s / temperature).

    Args:
        train: f32 `[N, D]`. labels: `[N]`, class names or numbers.
        test: f32 `[M, D]`.
        neighbours: K; all N rows vote where there are fewer.

    Returns:
        `[M]`, of the labels' type.
    """
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    similarity = _unit(test) @ _unit(train).T
    count = min(neighbours, len(train))
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    votes = np.exp((np.take_along_axis(similarity, nearest, axis=1) - 1) / temperature)
    ballots = np.zeros((len(test), len(classes)))
    np.add.at(ballots, (np.arange(len(test))[:, None], codes[nearest]), votes)
    return classes[ballots.argmax(axis=1)]


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays."""
    values = rows.astype(np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float64).tiny)
