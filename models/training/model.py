"""From settings to modules: the pretext task, the towers and the objective of a run."""

from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import nn

from unreel.models.objectives import OBJECTIVES, Objective, Outcome
from unreel.models.towers import Tower, build_tower
from unreel.models.training.config import RunConfig
from unreel.pipelines import pretext
from unreel.pipelines.pretext.task import PretextBatch, TrainableTask

__all__ = ["PretextModel", "build_model", "build_task", "objective_of"]


class PretextModel(nn.Module):
    """The towers of a run and the objective that trains them."""

    def __init__(self, towers: Mapping[str, Tower], objective: Objective) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.objective = objective

    def forward(self, batch: PretextBatch) -> Outcome:
        return self.objective(dict(self.towers.items()), batch)

    def follow(self) -> None:
        """A step has moved the weights; what follows them slowly moves here."""
        self.objective.follow(dict(self.towers.items()))


def build_task(settings: Mapping[str, Any]) -> TrainableTask:
    """The pretext task that a recipe's section `task` describes. Raises ValueError on what it does not know."""
    name, fields = _split_name(settings, "task")
    if name not in pretext.TASKS:
        raise ValueError(f"task {name!r}: choose one of {', '.join(sorted(pretext.TASKS))}")
    try:
        return msgspec.convert(fields, pretext.TASKS[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"task {name!r}: {error}") from error


def build_model(config: RunConfig, *, seed: int | None = None) -> PretextModel:
    """New towers and objective on the CPU, with weights drawn from `seed`, by default the run's.

    Raises ValueError where `objective_of` does, and for a tower that does not exist.
    """
    objective = objective_of(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed if seed is None else seed)
        towers = {kind: _tower(kind, config.towers[kind]) for kind in objective.towers}
        model = PretextModel(towers, objective(towers, **config.objective))
    _lay_out(model)
    return model


def _lay_out(model: nn.Module) -> None:
    """Channels last where that is quicker: `Module.to` would refuse weights of convolutions over time."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def objective_of(config: RunConfig) -> type[Objective]:
    """The objective of the run's task. Raises ValueError when there is none, or when it trains other towers."""
    name = str(config.task["name"])
    if name not in OBJECTIVES:
        raise ValueError(f"objective {name!r}: choose one of {', '.join(sorted(OBJECTIVES))}")
    objective = OBJECTIVES[name]
    if set(objective.towers) != set(config.towers):
        raise ValueError(
            f"task {name!r} trains the towers {sorted(objective.towers)}, the recipe has {sorted(config.towers)}"
        )
    return objective


def _tower(kind: str, settings: Mapping[str, Any]) -> Tower:
    name, arguments = _split_name(settings, f"towers.{kind}")
    return build_tower(kind, name, **arguments)


def _split_name(settings: Mapping[str, Any], section: str) -> tuple[str, dict[str, Any]]:
    if "name" not in settings:
        raise ValueError(f"section {section!r} has no 'name'")
    return str(settings["name"]), {key: value for key, value in settings.items() if key != "name"}
