"""The loaders of a run: one for all its tasks, or one for each where they take turns."""

from contextlib import ExitStack
from dataclasses import replace

from unreel.models.training import RunConfig, build_tasks
from unreel.models.training.ranks import Ranks
from unreel.pipelines.loader import FailurePolicy, Loader
from unreel.pipelines.pretext.task import PretextTask
from unreel.pipelines.turns import Turns
from unreel.tools.console import progress
from unreel.tools.data import open_data
from unreel.tools.twin import with_settings

__all__ = ["loaders_in", "measured_backend", "open_loader"]


def open_loader(config: RunConfig, *, split: str, ranks: Ranks) -> Loader | Turns:
    """What gives this rank its part of each step. Raises as `Loader`."""
    tasks: dict[str, PretextTask] = dict(build_tasks(config))
    if split != "train":
        # Held-out batches are always the same: no curriculum.
        tasks = {name: with_settings(task, hard_after=0) for name, task in tasks.items()}
    if config.shares_steps:
        return _open(config, tasks, split, ranks, config.loader.backend)
    weights = {name: config.together.weights.get(name, 1.0) for name in tasks}
    drawn = weights if config.together.mode == "drawn" else None
    return Turns(_open_each(config, tasks, split, ranks), seed=config.train.seed, weights=drawn)


def loaders_in(loader: Loader | Turns) -> list[Loader]:
    """The loader, or those that take turns."""
    return list(loader.loaders.values()) if isinstance(loader, Turns) else [loader]


def measured_backend(config: RunConfig, ranks: Ranks) -> str:
    """What `auto` chooses on rank 0, for all ranks."""
    with open_loader(config, split="train", ranks=replace(ranks, size=1)) as loader:
        return loaders_in(loader)[0].backend.name


def _open_each(
    config: RunConfig, tasks: dict[str, PretextTask], split: str, ranks: Ranks
) -> dict[str, Loader]:
    """A loader for each task, all with the backend that the first one chooses."""
    opened: dict[str, Loader] = {}
    with ExitStack() as stack:
        for name, task in tasks.items():
            backend = next(iter(opened.values())).backend.name if opened else config.loader.backend
            opened[name] = stack.enter_context(_open(config, {name: task}, split, ranks, backend))
        stack.pop_all()
    return opened


def _open(config: RunConfig, tasks: dict[str, PretextTask], split: str, ranks: Ranks, backend: str) -> Loader:
    data = config.data
    # Which samples suit is found out once and kept; on a large data set that takes minutes.
    with progress(None, "selecting samples", show=ranks.leads) as ticker:
        return Loader(
            open_data(data.shards),
            tasks,
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            split=split,
            holdout=data.holdout,
            filters=data.filters,
            # Validation shows each held-out clip as often as any other.
            balance=data.balance or None if split == "train" else None,
            backend=backend,
            threads=config.loader.threads,
            workers=config.loader.workers,
            failures=FailurePolicy(mode=config.loader.failures),
            share_moments=config.together.share_moments,
            device=ranks.device(config.train.device),
            rank=ranks.rank,
            world_size=ranks.size,
            prefetch=config.loader.prefetch,
            progress=ticker.follow,
        )
