"""Checks of a task's fields: they come from a user's recipe, so a wrong one is told with what would be right."""

from collections.abc import Collection

__all__ = ["check_choice", "check_range", "no_look"]


def check_range(task: object, low: float, high: float, *names: str) -> None:
    """Raise ValueError unless every field of `task` that `names` lists lies in [low, high]."""
    for name in names:
        value = getattr(task, name)
        if not low <= value <= high:
            raise ValueError(f"{name} = {value}: must lie between {low:g} and {high:g}")


def no_look(task: str, kind: str, kinds: Collection[str]) -> ValueError:
    """The error of `look` for a kind of tower that a task has no input for."""
    return ValueError(
        f"task {task} shows nothing to a tower of kind {kind!r}: choose one of {', '.join(kinds)}"
    )


def check_choice(task: object, name: str, choices: Collection[str]) -> None:
    """Raise ValueError unless the field `name` of `task` is one of `choices`."""
    if getattr(task, name) not in choices:
        raise ValueError(f"{name} = {getattr(task, name)!r}: choose one of {', '.join(sorted(choices))}")
