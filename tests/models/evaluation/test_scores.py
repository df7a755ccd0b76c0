"""Scores: equal to scikit-learn's, with and without weights, and defined where a class is missing."""

import numpy as np
import pytest
from sklearn import metrics

from unreel.models.evaluation.scores import auc, balanced_accuracy, r_squared


@pytest.fixture
def weights() -> np.ndarray:
    """All ones, and three resamplings that leave samples out."""
    drawn = np.random.default_rng(0).integers(0, 3, (3, 60))
    return np.concatenate([np.ones((1, 60)), drawn]).astype(float)


def test_balanced_accuracy_equals_scikit_learn(weights: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    targets = rng.choice(["fall", "swing", "spin"], 60, p=[0.7, 0.2, 0.1])
    predicted = np.where(rng.random(60) < 0.6, targets, "fall")
    expected = [metrics.balanced_accuracy_score(targets, predicted, sample_weight=w) for w in weights]
    assert balanced_accuracy(predicted, targets)(weights) == pytest.approx(expected)


def test_constant_answer_is_at_chance_whatever_the_mix() -> None:
    targets = np.array([1] * 10 + [0] * 30)
    assert balanced_accuracy(np.zeros(40), targets)(np.ones((1, 40))) == pytest.approx(0.5)


def test_classes_that_weights_leave_out_do_not_count() -> None:
    statistic = balanced_accuracy(np.array([0, 1]), np.array([0, 0]))
    assert statistic(np.array([[1.0, 1.0], [1.0, 0.0]])) == pytest.approx([0.5, 1.0])
    both = balanced_accuracy(np.array([0, 0]), np.array([0, 1]))
    assert both(np.array([[1.0, 0.0]])) == pytest.approx([1.0])


def test_auc_equals_scikit_learn_with_ties(weights: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 2, 60)
    scores = np.round(targets * 0.5 + rng.normal(size=60), 1)
    assert len(np.unique(scores)) < 60
    expected = [metrics.roc_auc_score(targets, scores, sample_weight=w) for w in weights]
    assert auc(scores, targets)(weights) == pytest.approx(expected)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auc([0.1, 0.2], [1, 1])(np.ones((1, 2))))


@pytest.mark.parametrize("outputs", [1, 2])
def test_r_squared_equals_scikit_learn(weights: np.ndarray, outputs: int) -> None:
    rng = np.random.default_rng(3)
    truth = 100 + rng.normal(size=(60, outputs))
    predicted = truth + 0.5 * rng.normal(size=(60, outputs))
    expected = [
        metrics.r2_score(truth, predicted, sample_weight=w, multioutput="variance_weighted") for w in weights
    ]
    assert r_squared(predicted.squeeze(), truth.squeeze())(weights) == pytest.approx(expected)
