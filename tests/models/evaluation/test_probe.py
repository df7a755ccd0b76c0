"""Probes: they find a planted linear factor and nothing in noise, and held-out sources choose nothing."""

import numpy as np
import pytest

from unreel.models.evaluation.intervals import bootstrap
from unreel.models.evaluation.probe import Examples, classify, regress
from unreel.models.evaluation.scores import balanced_accuracy, r_squared


def draw(rng: np.random.Generator, sources: int, start: int, planted: bool) -> tuple[np.ndarray, ...]:
    """Features of 4 moments a source, a factor in [0, 1] and the source names; per-source offsets are a nuisance."""
    factor = rng.random((sources, 4)).ravel()
    x = rng.normal(size=(4 * sources, 24)) + np.repeat(rng.normal(size=(sources, 24)), 4, axis=0)
    if planted:
        x += 6 * factor[:, None] * np.linspace(-1, 1, 24)
    names = np.repeat([f"s{start + n}" for n in range(sources)], 4)
    return x.astype("f4"), factor, names


def sides(planted: bool) -> tuple[Examples, Examples]:
    rng = np.random.default_rng(0)
    columns = [draw(rng, count, start, planted) for count, start in ((80, 0), (40, 80))]
    train, test = (Examples(x=x, y=y, sources=names) for x, y, names in columns)
    return train, test


def test_ridge_finds_what_is_planted_and_nothing_in_noise() -> None:
    found = {}
    for planted in (True, False):
        train, test = sides(planted)
        found[planted] = bootstrap(r_squared(regress(train, test), test.y), test.sources)
    assert found[True].value > 0.6
    assert abs(found[False].value) < 0.1
    assert not found[False].exceeds(0.0)


def test_ridge_takes_several_outputs() -> None:
    train, test = sides(planted=True)
    pair = [Examples(x=e.x, y=np.stack([e.y, -e.y], axis=1), sources=e.sources) for e in (train, test)]
    predicted = regress(*pair)
    assert predicted.shape == (160, 2)
    assert predicted[:, 1] == pytest.approx(-predicted[:, 0], abs=1e-4)


def test_logistic_finds_classes_and_stays_at_chance_in_noise() -> None:
    accuracy = {}
    for planted in (True, False):
        train, test = sides(planted)
        named = [
            Examples(x=e.x, y=np.array(["low", "high"])[(e.y > 0.8).astype(int)], sources=e.sources)
            for e in (train, test)
        ]
        predicted = classify(*named)
        accuracy[planted] = bootstrap(balanced_accuracy(predicted, named[1].y), test.sources)
    assert accuracy[True].value > 0.8
    assert not accuracy[False].exceeds(0.5)


def test_one_training_source_is_an_error_that_says_so() -> None:
    train, test = sides(planted=True)
    alone = Examples(x=train.x[:4], y=train.y[:4], sources=train.sources[:4])
    with pytest.raises(ValueError, match="at least 2 training sources"):
        regress(alone, test)


def test_a_part_in_which_nothing_varies_is_no_error() -> None:
    train, test = sides(planted=True)
    first = np.isin(train.sources, [f"s{n}" for n in range(20)])
    rare = Examples(x=train.x, y=np.where(first, train.y, 0.0), sources=train.sources)
    assert np.isfinite(regress(rare, test)).all()
