"""Nearest neighbours against the formula written out."""

import math

import numpy as np

from unreel.models.evaluation.knn import knn_predict


def brute_force(train: np.ndarray, labels: list[str], row: np.ndarray, k: int, temperature: float) -> str:
    cosines = [float(row @ t / (np.linalg.norm(row) * np.linalg.norm(t))) for t in train]
    nearest = sorted(range(len(train)), key=lambda i: -cosines[i])[:k]
    votes = dict.fromkeys(sorted(set(labels)), 0.0)
    for index in nearest:
        votes[labels[index]] += math.exp(cosines[index] / temperature)
    return max(votes, key=lambda name: votes[name])


def test_equals_the_formula() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(50, 6)).astype("f4"), rng.normal(size=(20, 6)).astype("f4")
    labels = rng.choice(["a", "b", "c"], 50).tolist()
    for k, temperature in ((1, 0.07), (7, 0.07), (20, 0.5)):
        expected = [brute_force(train, labels, row, k, temperature) for row in test]
        predicted = knn_predict(train, labels, test, neighbours=k, temperature=temperature)
        assert predicted.tolist() == expected


def test_more_neighbours_than_rows_lets_all_vote() -> None:
    train = np.eye(3, dtype="f4")
    labels = ["x", "x", "y"]
    test = np.array([[0.0, 0.0, 1.0]], "f4")
    assert knn_predict(train, labels, test, neighbours=200).tolist() == ["y"]
    assert knn_predict(train, labels, test, neighbours=200, temperature=100.0).tolist() == ["x"]


def test_length_of_a_feature_does_not_matter() -> None:
    train = np.array([[100.0, 1.0], [0.0, 0.1]], "f4")
    assert knn_predict(train, [0, 1], np.array([[0.01, 1.0]], "f4"), neighbours=1).tolist() == [1]


def test_a_feature_of_zeros_is_no_error() -> None:
    assert knn_predict(np.eye(2, dtype="f4"), [3, 4], np.zeros((1, 2), "f4")).shape == (1,)
