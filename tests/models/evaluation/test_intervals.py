"""Intervals: they cover the truth when clips of a source are alike, where the naive interval does not."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.models.evaluation.intervals import Estimate, bootstrap
from unreel.models.evaluation.scores import balanced_accuracy, difference


def mean_of(values: NDArray) -> object:
    return lambda weights: weights @ values / weights.sum(axis=1)


def clustered(rng: np.random.Generator, sources: int = 40, each: int = 10) -> tuple[NDArray, NDArray]:
    """Values of true mean 0 whose sources differ as much as their samples do."""
    values = rng.normal(size=(sources, 1)) + rng.normal(size=(sources, each))
    return values.ravel(), np.repeat([f"source-{n}" for n in range(sources)], each)


def test_interval_covers_the_truth_of_clustered_data() -> None:
    rng = np.random.default_rng(1)
    by_source = by_sample = 0
    for trial in range(200):
        values, sources = clustered(rng)
        low, high = bootstrap(mean_of(values), sources, replicates=300, seed=trial).interval
        by_source += low <= 0 <= high
        naive = bootstrap(mean_of(values), np.arange(len(values)), replicates=300, seed=trial)
        by_sample += naive.interval[0] <= 0 <= naive.interval[1]
    assert 0.90 <= by_source / 200 <= 0.99
    assert by_sample / 200 < 0.75, "resampling clips as if they were independent must be seen to fail"


def test_standard_error_is_that_of_the_sources_means() -> None:
    values, sources = clustered(np.random.default_rng(2))
    estimate = bootstrap(mean_of(values), sources, replicates=4000)
    means = values.reshape(40, 10).mean(axis=1)
    assert estimate.standard_error == pytest.approx(means.std() / math.sqrt(40), rel=0.05)
    assert (estimate.samples, estimate.sources) == (400, 40)
    assert estimate.value == pytest.approx(values.mean())


def test_same_seed_same_interval_and_order_of_samples_does_not_matter() -> None:
    values, sources = clustered(np.random.default_rng(3))
    order = np.random.default_rng(4).permutation(len(values))
    first = bootstrap(mean_of(values), sources)
    assert bootstrap(mean_of(values), sources) == first
    shuffled = bootstrap(mean_of(values[order]), sources[order])
    assert shuffled.interval == pytest.approx(first.interval)
    assert bootstrap(mean_of(values), sources, seed=1).interval != first.interval


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(5)
    values, sources = clustered(rng)
    better = values + 0.1 + 0.01 * rng.normal(size=values.shape)
    paired = bootstrap(difference(mean_of(better), mean_of(values)), sources)
    assert paired.interval[0] > 0.09
    assert paired.standard_error < bootstrap(mean_of(values), sources).standard_error / 20


def test_one_source_has_a_value_and_no_error() -> None:
    estimate = bootstrap(mean_of(np.array([1.0, 2.0])), ["a", "a"])
    assert estimate.value == 1.5
    assert estimate.standard_error is None and estimate.interval is None
    assert not estimate.exceeds(0.0)


def test_no_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        bootstrap(mean_of(np.empty(0)), [])


def test_exceeds_counts_standard_errors() -> None:
    estimate = Estimate(value=0.6, standard_error=0.03, interval=(0.54, 0.66), samples=9, sources=9)
    assert estimate.exceeds(0.5) and not estimate.exceeds(0.52)
    assert estimate.exceeds(0.52, standard_errors=2)


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    predicted, targets = rng.integers(0, 2, (2, 100))
    sources = rng.integers(0, 20, 100)
    whole = bootstrap(balanced_accuracy(predicted, targets), sources)
    monkeypatch.setattr("unreel.models.evaluation.intervals._CHUNK", 700)
    assert bootstrap(balanced_accuracy(predicted, targets), sources) == whole
