"""Sentences about a run, computed from its numbers: what was learned, and plainly what was not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING, Final, Literal

from unreel.tools.about import about

if TYPE_CHECKING:
    from unreel.models.evaluation import Estimate, Finding, PretextScore
    from unreel.tools.evaluation import Evaluation, Knowledge

__all__ = [
    "Verdict",
    "judge_knowledge",
    "judge_pretext",
    "number",
    "percent",
    "plus_minus",
]

CONTROLS: Final = {"untrained": "untrained towers", "low-level": "8x8 thumbnails"}
"""Encoder → what a head that learns alone is put on."""

_TRAINED, _UNTRAINED = "trained", "untrained"

_ERRORS: Final = 3.0
"""Standard errors that a difference has to have before it is called one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence.

    Attributes:
        level: `good`; `bad` where something was not learned or a control failed; `open` where it cannot be said.
        text: the sentence.
    """

    level: Literal["good", "bad", "open"]
    text: str


def percent(value: float) -> str:
    """`71.2 %`."""
    return f"{100 * value:.1f}\u202f%"


def number(value: float | None, digits: int = 3) -> str:
    """`0.712`, or a dash for what is not known."""
    if value is None:
        return "\u2013"
    # Adding 0.0 takes the sign off a zero that was rounded from below.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def plus_minus(estimate: "Estimate") -> str:
    """`71.2 % ± 1.4`: a share and its standard error, in per cent."""
    if estimate.standard_error is None:
        return percent(estimate.value)
    return f"{percent(estimate.value)} ± {100 * estimate.standard_error:.1f}"


def judge_pretext(evaluation: "Evaluation") -> list[Verdict]:
    """Is the task solved above chance, at chance where it has to be, and better than without training the towers?"""
    score, twin = evaluation.pretext, evaluation.on_twin
    missing = "There is no object-less twin of these clips: a cue beside the content cannot be ruled out."
    return [
        _above_chance(evaluation.task, score),
        _twin_at_chance(twin, learned=_learned(score)) if twin is not None else Verdict("open", missing),
        *(_above_control(score, CONTROLS[name], control) for name, control in evaluation.controls.items()),
    ]


def judge_knowledge(knowledge: "Knowledge") -> list[Verdict]:
    """Which factors do features know better than before training, and which not?"""
    probes = [finding for finding in knowledge.findings if finding.method != "knn"]
    findings = sorted(probes, key=lambda finding: -finding.gains[_UNTRAINED].value)
    if not findings:
        text = f"The data set names no label or track that the {knowledge.tower} tower's features could be asked for."
        return [Verdict("open", text)]
    better = [f for f in findings if f.gains[_UNTRAINED].exceeds(0.0, standard_errors=_ERRORS)]
    worse = [f for f in findings if _reversed_exceeds(f.gains[_UNTRAINED])]
    same = [f for f in findings if f not in better and f not in worse]
    return [
        *_list(better, "good", f"The {knowledge.tower} tower knows more than before training:"),
        *_list(same, "open", f"No more than before training, within {_ERRORS:g} standard errors:"),
        *_list(worse, "bad", "Less than before training:"),
    ]


def _above_chance(task: str, score: "PretextScore") -> Verdict:
    accuracy = score.estimate
    text = (
        f"{about(task).title}: {plus_minus(accuracy)} {score.metric_words} on {accuracy.sources:,} held-out sources "
        f"(chance {percent(score.chance)})"
    )
    if _learned(score):
        return Verdict("good", f"{text}.")
    return Verdict(
        "bad", f"{text}. That is not above chance by {_ERRORS:g} standard errors: the task is not learned."
    )


def _twin_at_chance(twin: "PretextScore", *, learned: bool) -> Verdict:
    accuracy = twin.estimate
    text = f"{plus_minus(accuracy)} on the object-less twin"
    error = accuracy.standard_error
    if error is None:
        return Verdict("open", f"{text}; one source says nothing about its error.")
    if abs(accuracy.value - twin.chance) > _ERRORS * error:
        return Verdict(
            "bad", f"{text}. That is not chance: part of the answer comes from something beside the objects."
        )
    meaning = ": the answer comes from the objects" if learned else ""
    return Verdict("good", f"{text}, which is chance{meaning}.")


def _above_control(score: "PretextScore", name: str, control: "PretextScore") -> Verdict:
    """Decisions of both are on the same sources, so that errors added up as if independent are on the safe side."""
    text = f"{plus_minus(control.estimate)} when the head alone learns, on {name}"
    errors = [each.estimate.standard_error for each in (score, control)]
    gain = score.estimate.value - control.estimate.value
    if None in errors:
        return Verdict("open", f"{text}; one source says nothing about the error of the difference.")
    if gain > _ERRORS * hypot(*(error or 0.0 for error in errors)):
        return Verdict("good", f"{text}: training the towers is worth {100 * gain:.1f} points.")
    return Verdict(
        "bad", f"{text}. Training the towers brought no more than that, within {_ERRORS:g} standard errors."
    )


def _learned(score: "PretextScore") -> bool:
    return score.estimate.exceeds(score.chance, standard_errors=_ERRORS)


def _reversed_exceeds(gain: "Estimate") -> bool:
    return gain.standard_error is not None and gain.value < -_ERRORS * gain.standard_error


def _list(
    findings: Sequence["Finding"], level: Literal["good", "bad", "open"], opening: str
) -> Iterable[Verdict]:
    """One sentence about all of `findings`; none when there are none."""
    if findings:
        yield Verdict(level, f"{opening} {'; '.join(_compare(finding) for finding in findings)}.")


def _compare(finding: "Finding") -> str:
    """`height y (R² 0.91 against 0.80)`."""
    trained, other = finding.estimates[_TRAINED], finding.estimates[_UNTRAINED]
    if finding.classes:
        return f"{finding.factor} ({percent(trained.value)} against {percent(other.value)})"
    return f"{finding.factor} (R² {number(trained.value, 2)} against {number(other.value, 2)})"
