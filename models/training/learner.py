"""One step of learning: gradients, clipping, the optimiser, and what is refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.distributed.tensor import DTensor

from unreel.models.objectives.objective import counted_over
from unreel.models.training.average import Average
from unreel.models.training.backward import Backward, autocast, split
from unreel.models.training.config import RunConfig
from unreel.models.training.divergence import objection
from unreel.models.training.model import PretextModel, build_tasks
from unreel.models.training.optimiser import build_optimiser, learning_rate_share, load_state, state_tensors
from unreel.models.training.parallel import prepare, replicate, shard
from unreel.models.training.ranks import ALONE, Ranks
from unreel.models.training.sharded import divided
from unreel.models.training.tally import Tally
from unreel.pipelines.draws import stream_key
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Learned", "Learner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one step gave.

    Attributes:
        loss: of all tasks by their weights, over all ranks.
        tallies: losses and scores of each task, over all ranks.
        gradient_norm: of all gradients together, before they are clipped.
        learning_rate: of this step.
        at_trunk: each task's gradient at the towers that tasks share, where it was measured; see `GradientsApart`.
        refused: why the weights have not moved; empty where they have.
    """

    loss: float
    tallies: Mapping[str, Tally]
    gradient_norm: float
    learning_rate: float
    at_trunk: Mapping[str, float] = field(default_factory=dict)
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
        self._to_replicate = ranks.size > 1 and config.train.parallel == "ddp"
        if self.average and config.train.parallel == "fsdp":
            shard(self.average.model, ranks, device)
        self._optimiser = build_optimiser(model, config.optimiser)
        self._scaler = GradScaler(device.type, enabled=config.train.amp == "fp16")
        self._backward = Backward(model, config, ranks, self._scaler)

    @property
    def evaluated(self) -> PretextModel:
        """The model that is validated: the average, where there is one."""
        return self.average.model if self.average else self.model

    def learn(self, step: int, batches: Mapping[str, PretextBatch], *, limit: float = math.inf) -> Learned:
        """Move the weights by step number `step`, from 0, of one batch or of one a task.

        Neither they nor the statistics of batch norm move where loss or gradients are not finite on any rank, or the loss
        is more than `limit`.
        """
        self.model.train()
        if self._to_replicate:
            self._replicate(batches)
        rate = self._set_rate(step)
        # Dropout and the like draw what belongs to this step and rank, whatever ran before it.
        torch.manual_seed(self._seed(step))
        self._optimiser.zero_grad(set_to_none=True)
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        found = self._backward.run(batches, measured=self._measures(step))
        loss = self._loss(found.tallies)
        norm = self._clip()
        # With fp16 an overflow is expected: the scaler leaves the step out and lowers its scale, down to 1.
        expected = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        judged = 0.0 if expected else norm
        refused = objection(step, loss=loss, limit=limit, norm=judged, rate=rate)
        if refused:
            _put_back(self.model, statistics)
        else:
            self._scaler.step(self._optimiser)
            self._follow(step)
        self._scaler.update()
        return Learned(
            loss=loss,
            tallies=found.tallies,
            gradient_norm=norm,
            learning_rate=rate,
            at_trunk=found.at_trunk,
            refused=refused,
        )

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

    def _measures(self, step: int) -> bool:
        """Whether gradients are taken task by task: where each step has one task, in as many steps as there are tasks."""
        every, tasks = self._config.together.gradients_every, len(self._config.tasks)
        return tasks > 1 and every > 0 and step % every < (1 if self._config.shares_steps else tasks)

    def _loss(self, tallies: Mapping[str, Tally]) -> float:
        return sum(self._config.weight_of(task) * tally.loss for task, tally in tallies.items())

    def _replicate(self, batches: Mapping[str, PretextBatch]) -> None:
        """Wrap the model in DDP, once."""
        # A pass of one task leaves the heads of the others without gradients.
        unused = len(self._config.tasks) > 1 or self._leaves_unused(*next(iter(batches.items())))
        self._backward.spread = replicate(self.model, self._device, unused=unused)
        self._to_replicate = False

    def _leaves_unused(self, task: str, batch: PretextBatch) -> bool:
        """Whether some parameters get no gradient, as a pass tells whose gradients are thrown away."""
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        with autocast(self._config.train), counted_over(self._ranks.sum):
            outcome = self.model(split(batch, self._config.train.accumulate)[0], task)
        torch.autograd.backward(outcome.loss)
        unused = any(p.grad is None for p in self.model.parameters() if p.requires_grad)
        self.model.zero_grad(set_to_none=True)
        _put_back(self.model, statistics)
        return bool(self._ranks.sum(torch.tensor(float(unused))))

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


def _check_division(config: RunConfig, ranks: Ranks) -> None:
    """Raise ValueError where rows that belong together would be cut by a border of ranks or passes."""
    size, parts = config.train.batch_size, ranks.size * config.train.accumulate
    group = math.lcm(*(task.needs.aligned for task in build_tasks(config).values()))
    if size % (parts * group):
        raise ValueError(
            f"train.batch_size {size}: {ranks.size} ranks of {config.train.accumulate} passes (train.accumulate) take "
            f"rows in groups of {group}, so it must be a multiple of {parts * group}"
        )
