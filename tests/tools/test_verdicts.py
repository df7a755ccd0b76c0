"""Sentences follow the numbers: above chance or not, at chance or not, more than before or not."""

import pytest

from unreel.models.evaluation import Estimate, Finding, PretextScore
from unreel.tools.about import about
from unreel.tools.evaluation import Evaluation, Knowledge
from unreel.tools.verdicts import judge_knowledge, judge_pretext, number, percent, plus_minus


def estimate(value: float, error: float | None = 0.01) -> Estimate:
    interval = None if error is None else (value - 2 * error, value + 2 * error)
    return Estimate(value=value, standard_error=error, interval=interval, samples=640, sources=60)


def score(value: float, error: float | None = 0.01) -> PretextScore:
    accuracy = estimate(value, error)
    return PretextScore(
        metric="balanced_accuracy",
        estimate=accuracy,
        auc=None,
        chance=0.5,
        decisions=(320, 320),
        clips=80,
        failures=0,
    )


def evaluation(
    value: float, *, twin: float | None = None, controls: dict[str, PretextScore] | None = None
) -> Evaluation:
    return Evaluation(
        run="r",
        data="d",
        twin=None,
        step=1,
        task="shuffle_and_learn",
        pretext=score(value),
        on_twin=None if twin is None else score(twin),
        controls=controls or {},
        knowledge=(),
        seconds=1.0,
    )


def test_above_chance_and_at_chance_on_the_twin() -> None:
    held_out, twin = judge_pretext(evaluation(0.712, twin=0.503))
    assert held_out.level == twin.level == "good"
    assert "71.2\u202f% ± 1.0 balanced accuracy on 60 held-out sources (chance 50.0\u202f%)" in held_out.text
    assert (
        "50.3\u202f% ± 1.0 on the object-less twin, which is chance: the answer comes from the objects"
        in twin.text
    )


def test_not_above_chance_is_said_plainly() -> None:
    held_out, twin = judge_pretext(evaluation(0.525, twin=0.5))
    assert held_out.level == "bad" and "not above chance by 3 standard errors" in held_out.text
    assert "comes from the objects" not in twin.text


@pytest.mark.parametrize("value", [0.56, 0.44])
def test_a_twin_that_is_not_at_chance_fails(value: float) -> None:
    twin = judge_pretext(evaluation(0.7, twin=value))[1]
    assert twin.level == "bad" and "something beside the objects" in twin.text


def test_no_twin_is_said() -> None:
    assert judge_pretext(evaluation(0.7))[1].level == "open"


@pytest.mark.parametrize(
    ("control", "level"), [(score(0.6), "good"), (score(0.68), "bad"), (score(0.6, None), "open")]
)
def test_controls_without_training_are_compared(control: PretextScore, level: str) -> None:
    verdict = judge_pretext(evaluation(0.7, controls={"untrained": control}))[2]
    assert verdict.level == level and "untrained towers" in verdict.text


def finding(factor: str, gain: float, classes: int = 0) -> Finding:
    return Finding(
        factor=factor,
        method="logistic" if classes else "ridge",
        metric="R²",
        chance=0.0,
        classes=classes,
        estimates={"trained": estimate(0.5 + gain), "untrained": estimate(0.5)},
        gains={"untrained": estimate(gain)},
        train_samples=1,
        train_sources=1,
    )


def test_factors_are_sorted_into_more_no_more_and_less() -> None:
    findings = (finding("y", 0.2), finding("law", 0.01, classes=6), finding("shape", -0.2, classes=6))
    knowledge = Knowledge(tower="frame", train_clips=1, test_clips=1, failures=0, findings=findings)
    more, same, less = judge_knowledge(knowledge)
    assert (more.level, same.level, less.level) == ("good", "open", "bad")
    assert "y (R² 0.70 against 0.50)" in more.text
    assert "law (51.0\u202f% against 50.0\u202f%)" in same.text and "shape" in less.text


def test_no_factor_is_said() -> None:
    knowledge = Knowledge(tower="audio", train_clips=0, test_clips=0, failures=0, findings=())
    (verdict,) = judge_knowledge(knowledge)
    assert verdict.level == "open" and "no label or track" in verdict.text


def test_numbers_in_words() -> None:
    assert percent(0.5) == "50.0\u202f%"
    assert plus_minus(estimate(0.5, None)) == "50.0\u202f%"
    assert (number(-0.0001, 2), number(-0.5, 1), number(None)) == ("0.00", "\u22120.5", "\u2013")
    assert about("time_travel").title == "Time travel"
