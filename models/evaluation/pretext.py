"""How well a task is solved on held-out sources, and on its control."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unreel.models.evaluation.intervals import Estimate, bootstrap
from unreel.models.evaluation.scores import auc, balanced_accuracy
from unreel.models.objectives import Outcome
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["PretextScore", "evaluate", "score_decisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PretextScore:
    """The decisions of a trained objective on held-out sources.

    Attributes:
        balanced_accuracy: mean of the classes' recalls.
        auc: area under the ROC curve; None unless the task is two-way and both answers occur.
        chance: balanced accuracy of a constant answer, 1 / classes.
        decisions: how many decisions, by class.
        clips: different clips that they are about.
        failures: rows that could not be read, planned or decoded.
    """

    balanced_accuracy: Estimate
    auc: Estimate | None
    chance: float
    decisions: tuple[int, ...]
    clips: int
    failures: int


@torch.no_grad()
def evaluate(
    objective: nn.Module, towers: Mapping[str, nn.Module], batches: Iterable[PretextBatch]
) -> PretextScore:
    """Score every valid decision in `batches`, all modules in evaluation mode as `load_run` gives them.

    The source of a decision is that of its row; the partner of an audio-visual negative comes from one more source,
    which the interval does not count.

    Raises:
        ValueError: no batch holds a valid decision.
    """
    for module in (objective, *towers.values()):
        module.eval()
    parts, keys, failures = [], set(), 0
    for batch in batches:
        parts.append(_decisions(objective(towers, batch), batch))
        keys |= {key for key, valid in zip(batch.keys, batch.valid.tolist(), strict=True) if valid}
        failures += len(batch) - int(batch.valid.sum())
    logits, targets, sources = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(targets):
        raise ValueError(f"no decision to score: all {failures} rows failed; `unreel inspect` shows why")
    return score_decisions(logits, targets, sources, clips=len(keys), failures=failures)


def _decisions(outcome: Outcome, batch: PretextBatch) -> tuple[NDArray, NDArray, NDArray]:
    """Logits f32 `[M, classes]`, targets i64 `[M]` and sources str `[M]` of the valid decisions."""
    valid = outcome.valid.cpu().numpy()
    rows = outcome.rows.cpu().numpy()[valid]
    sources = np.array(batch.sources, dtype=str)[rows]
    return outcome.logits.float().cpu().numpy()[valid], outcome.targets.cpu().numpy()[valid], sources


def score_decisions(
    logits: NDArray, targets: NDArray, sources: NDArray, *, clips: int, failures: int
) -> PretextScore:
    """The score of M decisions: logits f32 `[M, classes]`, targets i64 `[M]`, sources str `[M]`."""
    classes = logits.shape[1]
    predicted = logits.argmax(axis=1)
    two_way = classes == 2 and len(np.unique(targets)) == 2
    return PretextScore(
        balanced_accuracy=bootstrap(balanced_accuracy(predicted, targets), sources),
        auc=bootstrap(auc(logits[:, 1] - logits[:, 0], targets), sources) if two_way else None,
        chance=1 / classes,
        decisions=tuple(np.bincount(targets, minlength=classes).tolist()),
        clips=clips,
        failures=failures,
    )
