"""The tasks of one loader: their names, and what they ask of samples together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import lcm
from typing import Any, Final

from unreel.pipelines.pretext.task import Needs, PretextTask

__all__ = ["Tasks", "name_tasks", "unite_needs"]

Tasks = PretextTask | Mapping[str, PretextTask] | Sequence[PretextTask]
"""One task, several by names of the caller's, or several by their own names."""

_TOGETHER: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "audio": any,
    "min_seconds": max,
    "min_scene_seconds": max,
    "min_size": lambda sizes: (max(height for height, _ in sizes), max(width for _, width in sizes)),
    "min_motion": max,
    "min_sound": max,
    "group": lambda groups: lcm(*groups),
    "distinct_sources": any,
    "source_pairs": any,
}
"""Need → the least that meets it for every task; `video` and `image` are decided together."""


def name_tasks(tasks: Tasks) -> dict[str, PretextTask]:
    """The tasks by name, in their order.

    Raises:
        ValueError: there is none, or two have one name.
    """
    if isinstance(tasks, Mapping):
        named = dict(tasks)
    else:
        listed = list(tasks) if isinstance(tasks, Sequence) else [tasks]
        named = {task.name: task for task in listed}
        if len(named) < len(listed):
            found = ", ".join(task.name for task in listed)
            raise ValueError(
                f'tasks {found}: two of one name; give a mapping of your names, {{"first": ...}}'
            )
    if not named:
        raise ValueError("no task is named: a loader takes one, or several")
    return named


def unite_needs(tasks: Mapping[str, PretextTask]) -> Needs:
    """What a sample must have for all tasks, and what all of them ask of rows beside each other.

    Raises:
        ValueError: two tasks ask for what no sample, or no batch, can give both; names them.
    """
    needs = {name: task.needs for name, task in tasks.items()}
    if len(needs) == 1:
        return next(iter(needs.values()))
    _check_pairs(needs)
    values = _pictures(needs)
    for name in (field.name for field in fields(Needs) if field.name not in values):
        values[name] = _TOGETHER[name]([getattr(need, name) for need in needs.values()])
    return Needs(**values)


def _pictures(needs: Mapping[str, Needs]) -> dict[str, Any]:
    """Videos, still pictures, or either: a task that takes either gives way to one that does not."""
    moving = [name for name, need in needs.items() if need.video and not need.image]
    still = [name for name, need in needs.items() if need.image and not need.video]
    if moving and still:
        raise ValueError(
            f"tasks {moving[0]} and {still[0]} cannot share a decode: {moving[0]} takes videos and {still[0]} still "
            "pictures, and no sample has both"
        )
    return {
        "video": not still and any(need.video for need in needs.values()),
        "image": not moving and any(need.image for need in needs.values()),
    }


def _check_pairs(needs: Mapping[str, Needs]) -> None:
    paired = [name for name, need in needs.items() if need.source_pairs]
    single = [name for name, need in needs.items() if need.distinct_sources and not need.source_pairs]
    if paired and single:
        raise ValueError(
            f"tasks {paired[0]} and {single[0]} cannot share a decode: {paired[0]} asks for pairs of rows of one source "
            f"(source_pairs), and {single[0]} for rows of different sources (distinct_sources)"
        )
