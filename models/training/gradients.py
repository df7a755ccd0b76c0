"""What each task asks of the towers that tasks share: the norms of its gradients there, and the cosines between them."""

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Final, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

from unreel.models.towers import Tower
from unreel.models.training.config import RunConfig
from unreel.models.training.model import PretextModel, towers_of
from unreel.models.training.ranks import Ranks
from unreel.models.training.scores import TASK

__all__ = ["GradientsApart", "Snapshot", "shared_weights", "snapshot"]

Snapshot = dict[Parameter, Tensor]
"""Gradients by parameter, of those that have one."""

_NORM: Final = "gradient_norm"
_COSINE: Final = "cosine"


def shared_weights(model: PretextModel, config: RunConfig) -> dict[str, list[Parameter]]:
    """The weights of each tower that more than one task trains, by its kind."""
    trained = [kind for task in config.tasks for kind in towers_of(config, task)]
    shared = sorted({kind for kind in trained if trained.count(kind) > 1})
    # Without the tower that it may stand on, which is a kind of its own.
    return {kind: list(cast(Tower, model.towers[kind]).stages.parameters()) for kind in shared}


def snapshot(weights: Iterable[Parameter]) -> Snapshot:
    """A copy of what the gradients are now."""
    return {weight: weight.grad.clone() for weight in weights if weight.grad is not None}


class GradientsApart:
    """The gradients of one step at the shared towers, task by task.

    Args:
        weights: see `shared_weights`.
    """

    def __init__(self, weights: Mapping[str, list[Parameter]]) -> None:
        self._weights = weights
        self._found: dict[str, dict[str, Snapshot]] = {}

    def add(self, task: str, before: Mapping[Parameter, Tensor]) -> None:
        """The gradients are those of `task` more than they were `before`."""
        self._found[task] = {
            kind: {
                weight: weight.grad - before[weight] if weight in before else weight.grad.clone()
                for weight in weights
                if weight.grad is not None
            }
            for kind, weights in self._weights.items()
        }

    def numbers(self, ranks: Ranks, *, scale: float) -> dict[str, float]:
        """`task/NAME/gradient_norm/KIND`, and `cosine/KIND/NAME/OTHER` of each two tasks that both train the tower.

        Args:
            scale: by which all gradients are too large.
        """
        numbers: dict[str, float] = {}
        for kind in self._weights:
            found = {task: kinds[kind] for task, kinds in self._found.items()}
            norms = {task: math.sqrt(_product(each, each, ranks)) for task, each in found.items()}
            trained = {task: norm for task, norm in norms.items() if norm}
            numbers |= {f"{TASK}/{task}/{_NORM}/{kind}": norm / scale for task, norm in trained.items()}
            numbers |= {
                f"{_COSINE}/{kind}/{one}/{other}": _product(found[one], found[other], ranks)
                / (trained[one] * trained[other])
                for one, other in combinations(trained, 2)
            }
        return numbers


def _product(one: Snapshot, other: Snapshot, ranks: Ranks) -> float:
    """The scalar product of two gradients, over the parts of all ranks where they lie in parts."""
    both = [(value, other[weight]) for weight, value in one.items() if weight in other]
    products = [(_local(a).double() * _local(b).double()).sum().cpu() for a, b in both]
    total = torch.stack(products).sum() if products else torch.zeros((), dtype=torch.float64)
    in_parts = any(isinstance(value, DTensor) for value, _ in both)
    return float(ranks.sum(total) if in_parts else total)


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value
