"""What `unreel eval` finds of a run: one record, `eval.json`; of several tasks one each, `eval-NAME.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from unreel.models.evaluation import Estimate, Finding, PretextScore

__all__ = [
    "LOW_LEVEL",
    "TRAINED",
    "UNTRAINED",
    "Evaluation",
    "Knowledge",
    "evaluation_path",
    "read_evaluation",
    "read_evaluations",
    "write_evaluation",
]

TRAINED: Final = "trained"
UNTRAINED: Final = "untrained"
LOW_LEVEL: Final = "low-level"
"""The encoders: the run's tower, the same tower with its first weights and calibrated batch norm, an 8x8 grid of means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the features of one tower know.

    Attributes:
        tower: its kind, `frame` or `audio`.
        train_clips, test_clips: clips that probes learn from and that they are tested on.
        failures: clips on either side that could not be decoded.
        findings: one entry for each factor and method.
    """

    tower: str
    train_clips: int
    test_clips: int
    failures: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `unreel eval` found of a run.

    Attributes:
        run, data, twin: folders.
        step: of the checkpoint.
        task: its name.
        pretext: the task on held-out sources, half of the decisions of each class.
        on_twin: the same on the object-less twin; None without one.
        controls: encoder → the same with that encoder frozen in the place of the towers, where the head alone learned.
        knowledge: probes and neighbours, a tower each.
        name: what a recipe of several tasks calls it; else empty.
        abilities: quantity → contestant → estimate: what the towers can do beyond the question, see `tools/abilities`.
        seconds: that the evaluation took.
    """

    run: str
    data: str
    twin: str | None
    step: int
    task: str
    pretext: PretextScore
    on_twin: PretextScore | None
    controls: Mapping[str, PretextScore]
    knowledge: tuple[Knowledge, ...]
    seconds: float
    name: str = ""
    abilities: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)


def evaluation_path(run: Path, name: str = "") -> Path:
    """Where the evaluation of a run lies, of one task among several where it is named."""
    return run / (f"eval-{name}.json" if name else "eval.json")


def read_evaluations(run: Path) -> dict[str, Evaluation]:
    """Those of a run that are there, by `Evaluation.name`. Raises as `read_evaluation`."""
    found = [read_evaluation(path) for path in sorted(run.glob("eval*.json"))]
    return {evaluation.name: evaluation for evaluation in found}


def read_evaluation(path: Path) -> Evaluation:
    """Read `eval.json`. Raises ValueError when the file is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not an evaluation ({error}); write it anew with `unreel eval`") from error


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write `eval.json`; numbers that are not known are null."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")
