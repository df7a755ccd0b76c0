"""Forward and backward over the tasks of a step, each in its passes: the gradients are then those of all their losses."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from unreel.models.objectives import Outcome
from unreel.models.objectives.objective import counted_over, take_rows
from unreel.models.training.config import RunConfig, TrainConfig
from unreel.models.training.gradients import GradientsApart, Snapshot, shared_weights, snapshot
from unreel.models.training.model import PretextModel
from unreel.models.training.parallel import withheld
from unreel.models.training.ranks import Ranks
from unreel.models.training.tally import Tally, count
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Backward", "Found", "autocast", "split"]

_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found.

    Attributes:
        tallies: by task, over all ranks.
        at_trunk: numbers of each task's gradient at the shared towers, see `GradientsApart`; empty where not measured.
    """

    tallies: Mapping[str, Tally]
    at_trunk: Mapping[str, float] = field(default_factory=dict)


class Backward:
    """Adds up the gradients of a step.

    Args:
        model: whose gradients.
        config: resolved settings.
        ranks: those that train together.
        scaler: of fp16.

    Attributes:
        spread: what is called in the place of the model, such as its DDP.
    """

    def __init__(self, model: PretextModel, config: RunConfig, ranks: Ranks, scaler: GradScaler) -> None:
        self.spread: nn.Module = model
        self._model, self._config, self._ranks, self._scaler = model, config, ranks, scaler
        self._shared = shared_weights(model, config)

    def run(self, batches: Mapping[str, PretextBatch], *, measured: bool = False) -> Found:
        """Forward and backward over this rank's rows: the mean of all ranks' gradients is that of all answers' mean loss,
        of several tasks of the sum of these by their weights.

        Args:
            measured: find each task's gradient at the shared towers as well, where there are some.
        """
        # Of each task by itself when the ranks' gradients are joined: else once, in the last pass of all.
        apart = len(batches) > 1 and (measured or self._config.train.accumulate > 1)
        tallies, gradients = {}, GradientsApart(self._shared)
        for number, (task, batch) in enumerate(batches.items(), start=1):
            before = snapshot(self._model.parameters()) if apart else {}
            tallies[task] = self._passes(task, batch, before, join=apart or number == len(batches))
            if measured:
                gradients.add(task, before)
        numbers = gradients.numbers(self._ranks, scale=self._scaler.get_scale()) if measured else {}
        return Found(tallies, numbers)

    def _passes(self, task: str, batch: PretextBatch, before: Snapshot, *, join: bool) -> Tally:
        """The passes of one task.

        Rows fail on one rank and not on another, and in one pass and not in another, so that the parts' own means do not
        count alike: each counts by its mass. The mass of all passes is known after the last one only; until then each is
        taken for as heavy as the first.
        """
        parts = split(batch, self._config.train.accumulate)
        done: list[tuple[Outcome, PretextBatch]] = []
        expected: Tensor | None = None
        for part in parts:
            last = join and len(done) + 1 == len(parts)
            with nullcontext() if last else withheld(self.spread):
                with autocast(self._config.train), counted_over(self._ranks.sum):
                    outcome: Outcome = self.spread(part, task)
                loss = self._weighed(outcome.loss, task)
                if self._ranks.size * len(parts) > 1:
                    mass = outcome.mass.float()
                    expected = self._expected(mass) * len(parts) if expected is None else expected
                    loss = loss * (mass / expected)
                torch.autograd.backward(self._scaler.scale(loss))
            done.append((outcome, part))
        tally = count(done, self._ranks)
        if len(parts) > 1 and tally.weight and expected is not None:
            self._rescale(float(expected) * self._ranks.size / tally.weight, before)
        return tally

    def _weighed(self, loss: Tensor, task: str) -> Tensor:
        weight = self._config.weight_of(task)
        return loss if weight == 1 else loss * weight

    def _expected(self, mass: Tensor) -> Tensor:
        """The mean mass of a rank in this pass; 1 where no row was valid, and no gradient counts."""
        mean = self._ranks.sum(mass) / self._ranks.size
        return torch.where(mean > 0, mean, torch.ones_like(mean))

    def _rescale(self, factor: float, before: Snapshot) -> None:
        """Multiply what was added to the gradients `before`."""
        gradients = {weight: weight.grad for weight in self._model.parameters() if weight.grad is not None}
        torch._foreach_mul_(list(gradients.values()), factor)
        for weight, earlier in before.items():
            gradients[weight].add_(earlier, alpha=1 - factor)


def split(batch: PretextBatch, passes: int) -> list[PretextBatch]:
    """The batch in so many parts of equally many rows."""
    if passes == 1:
        return [batch]
    return [take_rows(batch, rows) for rows in torch.arange(len(batch)).chunk(passes)]


def autocast(config: TrainConfig) -> AbstractContextManager[None]:
    """Mixed precision as resolved settings ask for it."""
    device = torch.device(config.device).type
    return torch.autocast(device, _DTYPES.get(config.amp), enabled=config.amp in _DTYPES)
