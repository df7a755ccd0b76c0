"""How well a task is solved on held-out sources, and on its control."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unreel.models.evaluation.intervals import Estimate, Statistic, bootstrap
from unreel.models.evaluation.scores import auc, balanced_accuracy, mean, skill
from unreel.models.objectives import METRICS, Decisions, Errors, Outcome, Rankings
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["PretextScore", "evaluate", "score_answers"]

Columns = dict[str, NDArray[Any]]
"""What is known of M answers, each `[M, ...]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretextScore:
    """The answers of a trained objective on held-out sources.

    Attributes:
        metric: what `estimate` is, see `METRICS`: balanced accuracy, hit rate or skill.
        estimate: the score over all answers.
        auc: area under the ROC curve; None unless the task is two-way and both answers occur.
        chance: the score of guessing: of a constant answer, of a random candidate, of the trivial prediction.
        decisions: how many answers, by class where there are classes.
        clips: different clips that they are about.
        failures: rows that could not be read, planned or decoded.
        subsets: the score of some of the answers, by what they have in common; of searches also, with a name that begins
            with `against`, the score among some of the candidates.
        subset_chances: chance of each subset, where it has its own.
    """

    metric: str
    estimate: Estimate
    auc: Estimate | None
    chance: float
    decisions: tuple[int, ...]
    clips: int
    failures: int
    subsets: Mapping[str, Estimate] = field(default_factory=dict)
    subset_chances: Mapping[str, float] = field(default_factory=dict)

    @property
    def metric_words(self) -> str:
        """The metric as people call it."""
        return METRICS[self.metric]


@torch.no_grad()
def evaluate(
    objective: nn.Module,
    towers: Mapping[str, nn.Module],
    batches: Iterable[PretextBatch],
    *,
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> PretextScore:
    """Score every valid answer in `batches`, all modules in evaluation mode as `load_run` gives them.

    The source of an answer is that of its row; the partner of an audio-visual negative comes from one more source,
    which the interval does not count.

    Args:
        kinds: key → kind of a sample; the answers about each kind are a subset of that name.

    Raises:
        ValueError: no batch holds a valid answer.
    """
    for module in (objective, *towers.values()):
        module.eval()
    parts, keys, failures, kind = [], set(), 0, Decisions
    for batch in batches:
        outcome = objective(towers, batch)
        kind = type(outcome)
        parts.append(_columns(outcome, batch, kinds))
        keys |= {key for key, valid in zip(batch.keys, batch.valid.tolist(), strict=True) if valid}
        failures += len(batch) - int(batch.valid.sum())
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if not len(columns.get("source", ())):
        raise ValueError(f"no decision to score: all {failures} rows failed; `unreel inspect` shows why")
    return score_answers(kind, columns, clips=len(keys), failures=failures)


def _columns(outcome: Outcome, batch: PretextBatch, kinds: Mapping[str, str]) -> Columns:
    """The valid answers: what their kind's score needs, `source`, `in NAME` for each subset, and of searches among some
    candidates `against NAME` and `chance against NAME`."""
    valid = outcome.valid
    tensors = {name: getattr(outcome, name) for name in _KINDS[type(outcome)].columns}
    tensors |= {f"in {name}": member for name, member in outcome.subsets.items()}
    for name, (hits, chances) in outcome.against.items() if isinstance(outcome, Rankings) else ():
        tensors |= {f"against {name}": hits, f"chance against {name}": chances}
    columns = {name: _host(value[valid]) for name, value in tensors.items()}
    rows = _host(outcome.rows[valid])
    kind = np.array([kinds.get(key, "") for key in batch.keys], dtype=str)[rows]
    columns |= {f"in {name}": kind == name for name in sorted(set(kinds.values()))}
    return columns | {"source": np.array(batch.sources, dtype=str)[rows]}


def _host(value: torch.Tensor) -> NDArray[Any]:
    value = value.detach()
    return (value.float() if value.is_floating_point() else value).cpu().numpy()


def score_answers(kind: type[Outcome], columns: Columns, *, clips: int, failures: int) -> PretextScore:
    """The score of M answers of one kind.

    Args:
        kind: the class of the outcomes.
        columns: as `_columns` gives them, joined over batches.
    """
    rules, sources = _KINDS[kind], columns["source"]
    contests = [name for name in columns if name.startswith("against ")]
    members = {name.removeprefix("in "): member for name, member in columns.items() if name.startswith("in ")}
    return PretextScore(
        metric=kind.metric,
        estimate=bootstrap(rules.statistic(columns), sources),
        auc=_area(columns) if kind is Decisions else None,
        chance=rules.chance(columns),
        decisions=rules.counts(columns),
        clips=clips,
        failures=failures,
        subsets={
            name: bootstrap(rules.statistic({key: value[m] for key, value in columns.items()}), sources[m])
            for name, m in members.items()
            if m.any()
        }
        | {name: bootstrap(mean(columns[name]), sources) for name in contests},
        subset_chances={name: float(columns[f"chance {name}"].mean()) for name in contests},
    )


def _area(columns: Columns) -> Estimate | None:
    logits, targets = columns["logits"], columns["targets"]
    if logits.shape[1] != 2 or len(np.unique(targets)) != 2:
        return None
    return bootstrap(auc(logits[:, 1] - logits[:, 0], targets), columns["source"])


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of outcome is scored."""

    columns: tuple[str, ...]
    statistic: Callable[[Columns], Statistic]
    chance: Callable[[Columns], float]
    counts: Callable[[Columns], tuple[int, ...]]


_KINDS: dict[type[Outcome], _Kind] = {
    Decisions: _Kind(
        columns=("logits", "targets"),
        statistic=lambda c: balanced_accuracy(c["logits"].argmax(axis=1), c["targets"]),
        chance=lambda c: 1 / c["logits"].shape[1],
        counts=lambda c: tuple(np.bincount(c["targets"], minlength=c["logits"].shape[1]).tolist()),
    ),
    Rankings: _Kind(
        columns=("hits", "chances"),
        statistic=lambda c: mean(c["hits"]),
        chance=lambda c: float(c["chances"].mean()),
        counts=lambda c: (len(c["hits"]),),
    ),
    Errors: _Kind(
        columns=("errors", "baselines"),
        statistic=lambda c: skill(c["errors"], c["baselines"]),
        chance=lambda c: 0.0,
        counts=lambda c: (len(c["errors"]),),
    ),
}
