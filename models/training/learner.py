"""One step of learning: forward in mixed precision, backward, clipping, the optimiser."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.distributed.tensor import DTensor

from unreel.models.objectives import Outcome
from unreel.models.objectives.objective import counted_over, take_rows
from unreel.models.training.average import Average
from unreel.models.training.config import RunConfig, TrainConfig
from unreel.models.training.divergence import objection
from unreel.models.training.model import PretextModel, build_task
from unreel.models.training.optimiser import build_optimiser, learning_rate_share, load_state, state_tensors
from unreel.models.training.parallel import prepare, replicate, shard, withheld
from unreel.models.training.ranks import ALONE, Ranks
from unreel.models.training.sharded import divided
from unreel.models.training.tally import Tally, count
from unreel.pipelines.draws import stream_key
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Learned", "Learner", "autocast"]

_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one step gave.

    Attributes:
        tally: loss and scores over all ranks.
        gradient_norm: of all gradients together, before they are clipped.
        learning_rate: of this step.
        refused: why the weights have not moved; empty where they have.
    """

    tally: Tally
    gradient_norm: float
    learning_rate: float
    refused: str = ""


class Learner:
    """A model and the optimiser that moves it.

    Args:
        model: on the rank's device.
        config: resolved settings.
        ranks: those that train this model together; each is given its own rows of a batch.

    Attributes:
        average: the model that follows, None without `train.ema`.

    Raises:
        ValueError: the batch does not divide by ranks and passes, or a setting needs CUDA.
    """

    def __init__(self, model: PretextModel, config: RunConfig, *, ranks: Ranks = ALONE) -> None:
        _check_division(config, ranks)
        self.average = Average(model, config.train.ema) if config.train.ema else None
        self._config = config
        self._ranks = ranks
        self._device = device = ranks.device(config.train.device)
        self.model = model
        prepare(model, config.train, ranks, device)
        self._spread: nn.Module = model
        self._to_replicate = ranks.size > 1 and config.train.parallel == "ddp"
        if self.average and config.train.parallel == "fsdp":
            shard(self.average.model, ranks, device)
        self._optimiser = build_optimiser(model, config.optimiser)
        self._scaler = GradScaler(device.type, enabled=config.train.amp == "fp16")

    @property
    def evaluated(self) -> PretextModel:
        """The model that is validated: the average, where there is one."""
        return self.average.model if self.average else self.model

    def learn(self, step: int, batch: PretextBatch, *, limit: float = math.inf) -> Learned:
        """Move the weights by step number `step`, from 0.

        Neither they nor the statistics of batch norm move where loss or gradients are not finite on any rank, or the loss
        is more than `limit`.
        """
        self.model.train()
        if self._to_replicate:
            self._replicate(batch)
        rate = self._set_rate(step)
        # Dropout and the like draw what belongs to this step and rank, whatever ran before it.
        torch.manual_seed(self._seed(step))
        self._optimiser.zero_grad(set_to_none=True)
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        tally = self._passes(batch)
        norm = self._clip()
        # With fp16 an overflow is expected: the scaler leaves the step out and lowers its scale, down to 1.
        expected = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        judged = 0.0 if expected else norm
        refused = objection(step, loss=tally.loss, limit=limit, norm=judged, rate=rate)
        if refused:
            _put_back(self.model, statistics)
        else:
            self._scaler.step(self._optimiser)
            self._follow(step)
        self._scaler.update()
        return Learned(tally=tally, gradient_norm=norm, learning_rate=rate, refused=refused)

    def optimiser_tensors(self) -> dict[str, Tensor]:
        """The optimiser's state by `PARAMETER/KEY`."""
        return state_tensors(self._optimiser, self.model)

    def scaler_state(self) -> dict[str, Any]:
        """The state of the fp16 scaler; empty without one."""
        return self._scaler.state_dict()

    def restore(
        self,
        *,
        model: Mapping[str, Tensor],
        average: Mapping[str, Tensor],
        optimiser: Mapping[str, Tensor],
        scaler: dict[str, Any],
    ) -> None:
        """Put back weights, their average, optimiser and scaler; tensors are whole, or laid as the model's."""
        self.model.load_state_dict(divided(model, self.model.state_dict()))
        if self.average:
            own = self.average.model
            own.load_state_dict(divided(average, own.state_dict()))
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

    def _replicate(self, batch: PretextBatch) -> None:
        """Wrap the model in DDP, once; a pass whose gradients are thrown away tells which parameters are used."""
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        with autocast(self._config.train), counted_over(self._ranks.sum):
            outcome = self.model(_split(batch, self._config.train.accumulate)[0])
        torch.autograd.backward(outcome.loss)
        unused = any(p.grad is None for p in self.model.parameters() if p.requires_grad)
        self.model.zero_grad(set_to_none=True)
        _put_back(self.model, statistics)
        anywhere = bool(self._ranks.sum(torch.tensor(float(unused))))
        self._spread = replicate(self.model, self._device, unused=anywhere)
        self._to_replicate = False

    def _passes(self, batch: PretextBatch) -> Tally:
        """Forward and backward over this rank's rows: the mean of all ranks' gradients is that of all answers' mean loss.

        Rows fail on one rank and not on another, and in one pass and not in another, so that the parts' own means do not
        count alike: each counts by its mass. The mass of all passes is known after the last one only; until then each is
        taken for as heavy as the first.
        """
        parts = _split(batch, self._config.train.accumulate)
        done: list[tuple[Outcome, PretextBatch]] = []
        expected: Tensor | None = None
        for part in parts:
            last = len(done) + 1 == len(parts)
            with nullcontext() if last else withheld(self._spread):
                with autocast(self._config.train), counted_over(self._ranks.sum):
                    outcome: Outcome = self._spread(part)
                loss = outcome.loss
                if self._ranks.size * len(parts) > 1:
                    mass = outcome.mass.float()
                    expected = self._expected(mass) * len(parts) if expected is None else expected
                    loss = loss * (mass / expected)
                torch.autograd.backward(self._scaler.scale(loss))
            done.append((outcome, part))
        tally = count(done, self._ranks)
        if len(parts) > 1 and tally.weight and expected is not None:
            self._rescale(float(expected) * self._ranks.size / tally.weight)
        return tally

    def _expected(self, mass: Tensor) -> Tensor:
        """The mean mass of a rank in this pass; 1 where no row was valid, and no gradient counts."""
        mean = self._ranks.sum(mass) / self._ranks.size
        return torch.where(mean > 0, mean, torch.ones_like(mean))

    def _rescale(self, factor: float) -> None:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, factor)

    def _follow(self, step: int) -> None:
        self.model.follow()
        if self.average:
            self.average.follow(self.model, step)

    def _clip(self) -> float:
        self._scaler.unscale_(self._optimiser)
        limit = self._config.optimiser.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def _put_back(model: nn.Module, buffers: list[Tensor]) -> None:
    with torch.no_grad():
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)


def _split(batch: PretextBatch, passes: int) -> list[PretextBatch]:
    if passes == 1:
        return [batch]
    return [take_rows(batch, rows) for rows in torch.arange(len(batch)).chunk(passes)]


def _check_division(config: RunConfig, ranks: Ranks) -> None:
    """Raise ValueError where rows that belong together would be cut by a border of ranks or passes."""
    size, parts = config.train.batch_size, ranks.size * config.train.accumulate
    group = build_task(config.task).needs.aligned
    if size % (parts * group):
        raise ValueError(
            f"train.batch_size {size}: {ranks.size} ranks of {config.train.accumulate} passes (train.accumulate) take "
            f"rows in groups of {group}, so it must be a multiple of {parts * group}"
        )


def autocast(config: TrainConfig) -> AbstractContextManager[None]:
    """Mixed precision as resolved settings ask for it."""
    device = torch.device(config.device).type
    return torch.autocast(device, _DTYPES.get(config.amp), enabled=config.amp in _DTYPES)
