"""The pretext question asked of towers that nobody trained: only a head learns, on their frozen embeddings."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.evaluation.pretext import PretextScore, score_answers
from unreel.models.objectives import Decisions
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Frozen", "evaluate_readouts"]

_EPOCHS: Final = 40
_BATCH: Final = 256
_LEARNING_RATE: Final = 1e-3
_WEIGHT_DECAY: Final = 0.05
_STOP_SHARE: Final = 5
"""One training source in five does not teach the head; it says after which epoch to stop."""

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Frozen:
    """Towers in evaluation mode, and a newly made objective whose attribute `head` decides on what they say."""

    objective: nn.Module
    towers: Mapping[str, nn.Module]


@dataclass(frozen=True, slots=True)
class _Decisions:
    """What a head is given for M decisions: its inputs, each float `[M, ...]`, targets i64 `[M]`, sources str `[M]`."""

    inputs: Inputs
    targets: Tensor
    sources: NDArray[np.str_]
    keys: frozenset[str]
    failures: int


@dataclass(slots=True)
class _Gathered:
    """The decisions of one model, batch by batch."""

    inputs: list[Inputs] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    sources: list[NDArray[np.str_]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    failures: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.targets))

    def joined(self) -> _Decisions:
        if not len(self):
            raise ValueError(f"no decision to learn from or to score: all {self.failures} rows failed")
        inputs = tuple(torch.cat(columns) for columns in zip(*self.inputs, strict=True))
        sources = np.concatenate(self.sources)
        return _Decisions(inputs, torch.cat(self.targets), sources, frozenset(self.keys), self.failures)


def evaluate_readouts(
    models: Mapping[str, Frozen],
    *,
    train: Iterable[PretextBatch],
    test: Iterable[PretextBatch],
    decisions: int = 4000,
) -> dict[str, PretextScore]:
    """Score a task for each of `models` when the towers stay as they are and a copy of the head learns alone.

    Both classes weigh equally; inputs are standardised; the epoch with the least loss on those training sources that
    do not teach is kept. All models see the same batches.

    Args:
        train, test: batches of training and of held-out sources.
        decisions: so many of them teach; `train` is not read further.

    Raises:
        ValueError: a side holds no valid decision.
    """
    taught = _gather(models, train, enough=decisions)
    asked = _gather(models, test, enough=None)
    return {name: _score(models[name].objective, taught[name], asked[name]) for name in models}


def _score(objective: nn.Module, taught: _Decisions, asked: _Decisions) -> PretextScore:
    moments = [(values.mean(0), values.std(0).clamp(min=1e-6)) for values in taught.inputs]
    taught, asked = (replace(side, inputs=_standardised(side.inputs, moments)) for side in (taught, asked))
    with _one_thread():
        head = _train(copy.deepcopy(cast(nn.Module, objective.head)), taught)
    with torch.no_grad():
        logits = head(*asked.inputs).numpy()
    columns = {"logits": logits, "targets": asked.targets.numpy(), "source": asked.sources}
    return score_answers(Decisions, columns, clips=len(asked.keys), failures=asked.failures)


def _standardised(inputs: Inputs, moments: list[tuple[Tensor, Tensor]]) -> Inputs:
    return tuple((values - mean) / std for values, (mean, std) in zip(inputs, moments, strict=True))


@torch.no_grad()
def _gather(
    models: Mapping[str, Frozen], batches: Iterable[PretextBatch], *, enough: int | None
) -> dict[str, _Decisions]:
    """The valid decisions of each model, until there are `enough`."""
    gathered = {name: _Gathered() for name in models}
    for batch in batches:
        for name, model in models.items():
            _add(gathered[name], model, batch)
        if enough is not None and min(map(len, gathered.values())) >= enough:
            break
    return {name: parts.joined() for name, parts in gathered.items()}


def _add(gathered: _Gathered, model: Frozen, batch: PretextBatch) -> None:
    with _caught(cast(nn.Module, model.objective.head)) as caught:
        outcome = model.objective(model.towers, batch)
    rows = outcome.rows[outcome.valid].tolist()
    gathered.inputs.append(tuple(values[outcome.valid].float().cpu() for values in caught[0]))
    gathered.targets.append(outcome.targets[outcome.valid].cpu())
    gathered.sources.append(np.array([batch.sources[row] for row in rows], dtype=str))
    gathered.keys.update(batch.keys[row] for row in rows)
    gathered.failures += len(batch) - int(batch.valid.sum())


@contextmanager
def _caught(head: nn.Module) -> Iterator[list[Inputs]]:
    """The inputs of each call of `head`, while inside."""
    caught: list[Inputs] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs))
    try:
        yield caught
    finally:
        hook.remove()


@contextmanager
def _one_thread() -> Iterator[None]:
    """A head is so small that threads would only wait for each other: 20 ms a step instead of 2 on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(head: nn.Module, taught: _Decisions) -> nn.Module:
    """The head after its best epoch."""
    generator = torch.Generator().manual_seed(0)
    stopping = torch.from_numpy(np.unique(taught.sources, return_inverse=True)[1] % _STOP_SHARE == 0)
    teaching, judging = torch.nonzero(~stopping).flatten(), torch.nonzero(stopping).flatten()
    optimiser = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    best, state = float("inf"), copy.deepcopy(head.state_dict())
    for _ in range(_EPOCHS):
        shuffled = teaching[torch.randperm(len(teaching), generator=generator)]
        for start in range(0, len(shuffled), _BATCH):
            optimiser.zero_grad()
            torch.autograd.backward(_loss(head, taught, shuffled[start : start + _BATCH]))
            optimiser.step()
        with torch.no_grad():
            loss = float(_loss(head, taught, judging))
        if loss < best:
            best, state = loss, copy.deepcopy(head.state_dict())
    head.load_state_dict(state)
    return head


def _loss(head: nn.Module, taught: _Decisions, rows: Tensor) -> Tensor:
    """Cross-entropy that weighs the classes equally."""
    targets = taught.targets[rows]
    logits = head(*(values[rows] for values in taught.inputs))
    counts = torch.bincount(targets, minlength=logits.shape[1]).clamp(min=1)
    return functional.cross_entropy(logits, targets, weight=1 / counts.float())
