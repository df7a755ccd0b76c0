"""One step of learning: forward in mixed precision, backward, clipping, the optimiser."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from unreel.models.objectives import Outcome
from unreel.models.objectives.objective import counted_over
from unreel.models.training.config import RunConfig, TrainConfig
from unreel.models.training.model import PretextModel
from unreel.models.training.optimiser import build_optimiser, learning_rate_share, load_state, state_tensors
from unreel.models.training.parallel import spread
from unreel.models.training.ranks import ALONE, Ranks
from unreel.models.training.tally import Tally, count
from unreel.pipelines.draws import stream_key
from unreel.pipelines.errors import Diverged
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Learned", "Learner", "autocast"]

_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one step gave: loss and scores over all ranks, the norm of all gradients, the learning rate."""

    tally: Tally
    gradient_norm: float
    learning_rate: float


class Learner:
    """A model and the optimiser that moves it.

    Args:
        model: on the rank's device.
        config: resolved settings.
        ranks: those that train this model together; each is given its own rows of a batch.
    """

    def __init__(self, model: PretextModel, config: RunConfig, *, ranks: Ranks = ALONE) -> None:
        self.model = model
        self._config = config
        self._ranks = ranks
        device = ranks.device(config.train.device)
        self._spread = spread(model, ranks, device)
        self._optimiser = build_optimiser(model, config.optimiser)
        self._scaler = GradScaler(device.type, enabled=config.train.amp == "fp16")

    def learn(self, step: int, batch: PretextBatch) -> Learned:
        """Move the weights by step number `step`, from 0.

        Raises:
            Diverged: the loss or the gradients are not finite, on any rank; the weights have not moved.
        """
        self.model.train()
        rate = self._set_rate(step)
        # Dropout and the like draw what belongs to this step and rank, whatever ran before it.
        torch.manual_seed(self._seed(step))
        self._optimiser.zero_grad(set_to_none=True)
        tally = count([(self._pass(batch), batch)], self._ranks)
        norm = self._clip()
        self._refuse(math.isfinite(tally.loss), step, "loss", tally.loss, rate)
        # With fp16 an overflow is expected: the scaler leaves the step out and lowers its scale, down to 1.
        skips = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        self._refuse(math.isfinite(norm) or skips, step, "norm of the gradients", norm, rate)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return Learned(tally=tally, gradient_norm=norm, learning_rate=rate)

    def optimiser_tensors(self) -> dict[str, Tensor]:
        """The optimiser's state by `PARAMETER/KEY`."""
        return state_tensors(self._optimiser, self.model)

    def scaler_state(self) -> dict[str, Any]:
        """The state of the fp16 scaler; empty without one."""
        return self._scaler.state_dict()

    def restore(
        self, *, model: Mapping[str, Tensor], optimiser: Mapping[str, Tensor], scaler: dict[str, Any]
    ) -> None:
        """Put back weights, optimiser and scaler."""
        self.model.load_state_dict(model)
        load_state(self._optimiser, self.model, optimiser)
        if scaler:
            self._scaler.load_state_dict(scaler)

    def _set_rate(self, step: int) -> float:
        share = learning_rate_share(step, steps=self._config.train.steps, config=self._config.schedule)
        rate = self._config.optimiser.learning_rate * share
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _seed(self, step: int) -> int:
        rank = (self._ranks.rank,) if self._ranks.rank else ()
        return stream_key(self._config.train.seed, "step", step, *rank)[0]

    def _pass(self, batch: PretextBatch) -> Outcome:
        """Forward and backward over some rows."""
        with autocast(self._config.train), counted_over(self._ranks.sum):
            outcome: Outcome = self._spread(batch)
        torch.autograd.backward(self._scaler.scale(self._whole(outcome)))
        return outcome

    def _whole(self, outcome: Outcome) -> Tensor:
        """The loss of this rank's rows, such that the mean of all ranks' is the mean over all answers.

        Rows fail on one rank and not on another, so that the ranks' own means do not count alike.
        """
        if self._ranks.size == 1:
            return outcome.loss
        mass = outcome.mass.float()
        mean = self._ranks.sum(mass) / self._ranks.size
        return outcome.loss * (mass / mean.clamp(min=torch.finfo(torch.float32).tiny))

    def _clip(self) -> float:
        self._scaler.unscale_(self._optimiser)
        limit = self._config.optimiser.clip_norm or math.inf
        return float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def _refuse(self, finite: bool, step: int, what: str, value: float, rate: float) -> None:
        if not finite:
            raise Diverged(
                f"step {step}: the {what} is {value} at learning rate {rate:.3g}; the weights were not moved. "
                "Lower optimiser.learning_rate, set optimiser.clip_norm, or look at the batch"
            )


def autocast(config: TrainConfig) -> AbstractContextManager[None]:
    """Mixed precision as resolved settings ask for it."""
    device = torch.device(config.device).type
    return torch.autocast(device, _DTYPES.get(config.amp), enabled=config.amp in _DTYPES)
