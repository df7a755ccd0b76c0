"""Findings: each factor by each encoder, beside its controls, on the sources that were held out."""

import numpy as np
import pytest

from unreel.models.evaluation.features import Features
from unreel.models.evaluation.transfer import find_knowledge


def features(seed: int, sources: range, times: int = 4) -> Features:
    """An encoder that knows height, phase and law, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    count = len(sources)
    y, phase = rng.random((2, count, times)).astype("f4")
    law = rng.choice(["fall", "swing"], count)
    knows = rng.normal(size=(count, times, 16)).astype("f4")
    knows[..., 0] += 5 * y
    knows[..., 1] += 3 * np.sin(2 * np.pi * phase)
    knows[..., 2] += 3 * np.cos(2 * np.pi * phase)
    knows[..., 3] += 4 * (law == "fall")[:, None]
    y[0, -1] = np.nan
    return Features(
        values={"trained": knows, "random": rng.normal(size=(count, times, 16)).astype("f4")},
        sources=np.array([f"s{n}" for n in sources]),
        tracks={"y": y, "phase": phase, "still": np.ones((count, times), "f4")},
        labels={
            "law": law,
            "number": np.array([str(n) for n in sources]),
            "constant": np.array(["a"] * count),
        },
    )


def test_findings_name_what_is_known_and_what_is_not() -> None:
    found = {
        (f.factor, f.method): f for f in find_knowledge(features(0, range(90)), features(1, range(90, 150)))
    }
    assert set(found) == {("y", "ridge"), ("phase", "ridge"), ("law", "logistic"), ("law", "knn")}
    for finding in found.values():
        assert finding.estimates["trained"].exceeds(finding.chance)
        assert not finding.estimates["random"].exceeds(finding.chance)
        assert finding.gains["random"].exceeds(0.0)
        assert finding.estimates["trained"].sources == 60
    height, law = found["y", "ridge"], found["law", "logistic"]
    assert height.estimates["trained"].samples == 60 * 4 - 1, "the unknown moment is left out"
    assert height.train_samples == 90 * 4 - 1
    assert (law.chance, law.classes, law.estimates["trained"].samples) == (0.5, 2, 60)


def test_gain_is_the_difference_of_the_values() -> None:
    finding = find_knowledge(features(0, range(30)), features(1, range(30, 60)))[0]
    values = {name: estimate.value for name, estimate in finding.estimates.items()}
    assert finding.gains["random"].value == pytest.approx(values["trained"] - values["random"])


def test_clips_hold_mean_and_spread_over_time() -> None:
    known = features(0, range(5))
    assert known.clips("trained").shape == (5, 32)
    assert features(0, range(5), times=1).clips("trained").shape == (5, 16)
