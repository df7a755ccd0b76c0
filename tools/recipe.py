"""Recipes: TOML → the settings of a run, strictly: nothing unknown, nothing of the wrong type, every default filled in."""

import difflib
import inspect
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, cast

import msgspec

from unreel.models.objectives import OBJECTIVES
from unreel.models.towers import tower_builder
from unreel.models.training import RunConfig, build_task
from unreel.models.training.model import objectives_of
from unreel.pipelines import pretext
from unreel.tools.settings import parse_setting

__all__ = ["compose", "read_recipe", "recipe_text", "shipped_recipes"]

Table = dict[str, Any]


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with unreel."""
    files = resources.files("unreel.tools.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def recipe_text(recipe: str) -> str:
    """The text of a recipe: a path, or the name of a shipped one. Raises ValueError when it is neither."""
    if recipe in shipped_recipes():
        return (resources.files("unreel.tools.recipes") / f"{recipe}.toml").read_text(encoding="utf-8")
    if Path(recipe).is_file():
        return Path(recipe).read_text(encoding="utf-8")
    raise ValueError(f"recipe {recipe!r}: no such file, and not one of {', '.join(shipped_recipes())}")


def read_recipe(recipe: str, *, overrides: Sequence[str] = ()) -> RunConfig:
    """The settings of a run from a recipe and `section.key=value` overrides.

    Raises:
        ValueError: the recipe is no TOML, a key is unknown, or a value has the wrong type; the message names it.
    """
    try:
        table = tomllib.loads(recipe_text(recipe))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"recipe {recipe}: not TOML: {error}") from error
    for override in overrides:
        _override(table, override)
    try:
        return compose(table)
    except ValueError as error:
        raise ValueError(f"recipe {recipe}: {error}") from error


def compose(table: Table) -> RunConfig:
    """Check a recipe's table and fill in the defaults of its task, its towers and its objective.

    Raises ValueError for whatever `read_recipe` names.
    """
    _check_keys("", table, RunConfig.__struct_fields__)
    for section, kind in _record_sections().items():
        _check_keys(section, _section(table, section), kind.__struct_fields__)
    towers = {kind: _filled_tower(kind, settings) for kind, settings in _section(table, "towers").items()}
    filled = _filled_several(table) if table.get("tasks") else _filled_one(table)
    config = _convert({**table, **filled, "towers": towers}, RunConfig, "")
    objectives_of(config)
    return config


def _filled_one(table: Table) -> Table:
    task = _filled_task("task", _section(table, "task"))
    return {"task": task, "objective": _filled_objective("objective", task, _section(table, "objective"))}


def _filled_several(table: Table) -> Table:
    """Each of `tasks` and its objective, where `objectives` says nothing of it as well."""
    tasks = {
        name: _filled_task(f"tasks.{name}", _convert(settings, dict, f"tasks.{name}"))
        for name, settings in _section(table, "tasks").items()
    }
    given = _section(table, "objectives")
    _check_keys("objectives", given, tasks)
    objectives = {
        name: _filled_objective(f"objectives.{name}", task, _section(given, name))
        for name, task in tasks.items()
    }
    return {"tasks": tasks, "objectives": objectives}


def _record_sections() -> dict[str, type[msgspec.Struct]]:
    hints = typing.get_type_hints(RunConfig)
    return {
        name: hint
        for name, hint in hints.items()
        if inspect.isclass(hint) and issubclass(hint, msgspec.Struct)
    }


def _section(table: Table, name: str) -> Table:
    return cast(Table, _convert(table.get(name, {}), dict, name))


def _filled_task(section: str, settings: Table) -> Table:
    name = settings.get("name")
    if name in pretext.TASKS:
        _check_keys(section, settings, ("name", *inspect.signature(pretext.TASKS[name]).parameters))
    return {"name": name, **_plain(asdict(cast(Any, build_task(settings, section))))}


def _filled_objective(section: str, task: Table, settings: Table) -> Table:
    return _filled(section, OBJECTIVES[task["name"]], settings)


def _filled_tower(kind: str, tower: object) -> Table:
    section = f"towers.{kind}"
    settings = _convert(tower, dict, section)
    if "name" not in settings:
        raise ValueError(f"section {section!r} has no 'name'")
    builder = tower_builder(kind, str(settings["name"]))
    arguments = {key: value for key, value in settings.items() if key != "name"}
    return {"name": settings["name"], **_filled(section, builder, arguments)}


def _filled(section: str, function: Callable[..., object], settings: Table) -> Table:
    """The keyword arguments of `function`: what `settings` says, of the annotated types, and defaults for the rest."""
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    _check_keys(section, settings, known)
    given = {key: _convert(value, hints[key], f"{section}.{key}") for key, value in settings.items()}
    return _plain({**known, **given})


def _check_keys(section: str, settings: Table, known: Iterable[str]) -> None:
    """Raise ValueError for the first key that is not known, naming the nearest one that is."""
    choices = list(known)
    for key in settings:
        if key not in choices:
            near = difflib.get_close_matches(key, choices, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(choices) or 'none'}"
            raise ValueError(
                f"unknown key {key!r} {f'in section {section!r}' if section else 'at the top'}: {hint}"
            )


def _convert(value: object, kind: Any, place: str) -> Any:
    """`value` as `kind`. Raises ValueError that names the place, the expected and the found type."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).replace("`object`", "a section").partition(" - at `$")
        inside = path.removesuffix("`").lstrip(".")
        raise ValueError(f"{'.'.join(filter(None, (place, inside)))}: {what}") from error


def _plain(settings: Mapping[str, object]) -> Table:
    return cast(Table, msgspec.to_builtins(dict(settings)))


def _override(table: Table, override: str) -> None:
    """Put `section.key=value` into the table; the value is TOML, or else text."""
    form, example = "section.key=value", "train.steps=200"
    path, value = parse_setting(override, form=form, example=example)
    *sections, key = path.split(".")
    if not sections or not key:
        raise ValueError(f"--set {override!r}: write {form}, such as {example}")
    for name in sections:
        table[name] = _convert(table.get(name, {}), dict, name)
        table = table[name]
    table[key] = value
