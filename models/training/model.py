"""From settings to modules: the pretext tasks, the towers and the objectives of a run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
import torch
from torch import nn

from unreel.models.objectives import OBJECTIVES, Objective, Outcome
from unreel.models.towers import Tower, build_tower, trunk_of
from unreel.models.training.config import RunConfig
from unreel.pipelines import pretext
from unreel.pipelines.draws import stream_key
from unreel.pipelines.pretext.task import PretextBatch, TrainableTask

__all__ = [
    "PretextModel",
    "build_model",
    "build_task",
    "build_tasks",
    "objectives_of",
    "only",
    "towers_of",
    "trunks",
]


T = TypeVar("T")


class PretextModel(nn.Module):
    """The towers of a run and the objective, or by task the objectives, that train them."""

    def __init__(self, towers: Mapping[str, Tower], objective: Objective | Mapping[str, Objective]) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.objective: nn.Module = (
            objective if isinstance(objective, Objective) else nn.ModuleDict(objective)
        )

    def forward(self, batch: PretextBatch, task: str = "") -> Outcome:
        """What the objective of `task` finds on its batch; without several tasks its name says nothing."""
        return self.objective_of(task)(dict(self.towers.items()), batch)

    def objective_of(self, task: str) -> Objective:
        """The objective of one task."""
        found = self.objective[task] if isinstance(self.objective, nn.ModuleDict) else self.objective
        return cast(Objective, found)

    def follow(self) -> None:
        """A step has moved the weights; what follows them slowly moves here."""
        several = isinstance(self.objective, nn.ModuleDict)
        for objective in self.objective.children() if several else [self.objective]:
            cast(Objective, objective).follow(dict(self.towers.items()))


def build_tasks(config: RunConfig) -> dict[str, TrainableTask]:
    """The pretext tasks of a run, by name. Raises as `build_task`."""
    if not config.tasks:
        return {name: build_task(settings) for name, settings in config.named_tasks.items()}
    return {name: build_task(settings, f"tasks.{name}") for name, settings in config.tasks.items()}


def build_task(settings: Mapping[str, Any], section: str = "task") -> TrainableTask:
    """The pretext task that a recipe's `section` describes. Raises ValueError on what it does not know."""
    name, fields = _split_name(settings, section)
    if name not in pretext.TASKS:
        raise ValueError(f"task {name!r}: choose one of {', '.join(sorted(pretext.TASKS))}")
    try:
        return msgspec.convert(fields, pretext.TASKS[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"task {name!r}: {error}") from error


def build_model(config: RunConfig, *, seed: int | None = None) -> PretextModel:
    """New towers and objectives on the CPU, with weights drawn from `seed`, by default the run's.

    Of several tasks each tower and each objective draws for itself, so that a task finds the same weights alone.

    Raises ValueError where `objectives_of` does, and for a tower that does not exist.
    """
    kinds, settings = objectives_of(config), config.named_objectives
    seed = config.train.seed if seed is None else seed

    def drawn(*name: str) -> None:
        if config.tasks:
            torch.manual_seed(stream_key(seed, "weights", *name)[0])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        towers: dict[str, Tower] = {}
        for kind in _in_order(config, kinds):
            drawn("tower", kind)
            towers[kind] = _tower(kind, config.towers[kind], towers)
        objectives: dict[str, Objective] = {}
        for name, objective in kinds.items():
            drawn("objective", name)
            objectives[name] = objective(towers, **settings[name])
        model = PretextModel(towers, objectives if config.tasks else next(iter(objectives.values())))
    _lay_out(model)
    return model


def _in_order(config: RunConfig, objectives: Mapping[str, type[Objective]]) -> list[str]:
    """Kinds of towers, as the objectives name them, each after the one that it stands on."""
    named = dict.fromkeys(kind for objective in objectives.values() for kind in objective.towers)
    ordered = dict.fromkeys(part for kind in named for part in reversed(trunks(config, kind)))
    return list(ordered)


def _lay_out(model: nn.Module) -> None:
    """Channels last where that is quicker: `Module.to` would refuse weights of convolutions over time."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def objectives_of(config: RunConfig) -> dict[str, type[Objective]]:
    """The objective of each task. Raises ValueError when there is none, or when they train other towers."""
    found = {}
    for name, settings in config.named_tasks.items():
        task = str(settings["name"])
        if task not in OBJECTIVES:
            raise ValueError(f"objective {task!r}: choose one of {', '.join(sorted(OBJECTIVES))}")
        if config.tasks and hasattr(nn.ModuleDict(), name):
            raise ValueError(f"task {name!r}: this word is taken, choose another name")
        found[name] = OBJECTIVES[task]
    trained = {kind for name in found for kind in towers_of(config, name)}
    if trained != set(config.towers):
        named = f"task {config.task['name']!r} trains" if config.task else f"tasks {', '.join(found)} train"
        raise ValueError(f"{named} the towers {sorted(trained)}, the recipe has {sorted(config.towers)}")
    return found


def towers_of(config: RunConfig, task: str) -> list[str]:
    """Kinds of the towers that a task trains: those that its objective takes, and those that they stand on."""
    objective = OBJECTIVES[str(config.named_tasks[task]["name"])]
    return list(dict.fromkeys(part for kind in objective.towers for part in trunks(config, kind)))


def only(config: RunConfig, tasks: Sequence[str]) -> RunConfig:
    """The run with some of its tasks, and with the towers that they train: all else stays, the first weights as well.

    A task alone has no weight of its own, which would only change what is clipped.

    Raises:
        ValueError: the run has no such task.
    """
    for name in tasks:
        if name not in config.named_tasks:
            raise ValueError(f"task {name!r}: the run has {', '.join(config.named_tasks)}")
    if not config.tasks:
        return config
    weights = config.together.weights if len(tasks) > 1 else {}
    kinds = {kind for name in tasks for kind in towers_of(config, name)}
    return msgspec.structs.replace(
        config,
        tasks={name: config.tasks[name] for name in tasks},
        objectives={name: config.objectives[name] for name in tasks if name in config.objectives},
        together=msgspec.structs.replace(
            config.together, weights={name: weights[name] for name in tasks if name in weights}
        ),
        towers=_kept(config.towers, kinds),
        start=_kept(config.start, kinds),
    )


def _kept(sections: Mapping[str, T], kinds: Collection[str]) -> dict[str, T]:
    return {kind: settings for kind, settings in sections.items() if kind in kinds}


def trunks(config: RunConfig, kind: str) -> list[str]:
    """The kind itself, and that of the tower that it stands on. Raises ValueError where two stand on each other."""
    found = [kind]
    while below := trunk_of(found[-1], str(config.towers.get(found[-1], {}).get("name", ""))):
        if below in found:
            raise ValueError(f"towers {' and '.join(found)} stand on each other: one has to stand by itself")
        found.append(below)
    return found


def _tower(kind: str, settings: Mapping[str, Any], towers: Mapping[str, Tower]) -> Tower:
    name, arguments = _split_name(settings, f"towers.{kind}")
    below = trunk_of(kind, name)
    return build_tower(kind, name, *([towers[below]] if below else []), **arguments)


def _split_name(settings: Mapping[str, Any], section: str) -> tuple[str, dict[str, Any]]:
    if "name" not in settings:
        raise ValueError(f"section {section!r} has no 'name'")
    return str(settings["name"]), {key: value for key, value in settings.items() if key != "name"}
