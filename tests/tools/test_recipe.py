"""Recipes: the shipped ones are whole, and every mistake is named with the nearest right word."""

from pathlib import Path

import pytest

from unreel.models.training import build_model, build_tasks
from unreel.models.training.config import format_toml, parse_config
from unreel.pipelines.pretext import TASKS
from unreel.tools.recipe import read_recipe, shipped_recipes

RECIPE = """
[task]
name = "shuffle_and_learn"
tuples = 2

[towers.frame]
name = "tiny"
channels = [8, 16]

[train]
steps = 5
batch_size = 4
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The path of a small recipe."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return str(path)


def test_the_shipped_ones_are_these() -> None:
    names = [*TASKS, "together"]
    assert shipped_recipes() == sorted(name + size for name in names for size in ("", "_tiny"))


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_makes_a_task_and_a_model(name: str) -> None:
    config = read_recipe(name)
    tasks = build_tasks(config)
    assert [task.name for task in tasks.values()] == [task["name"] for task in config.named_tasks.values()]
    assert set(build_model(config).towers) == set(config.towers)


def test_every_default_is_written_out_and_read_back(recipe: str) -> None:
    config = read_recipe(recipe)
    assert config.task["tuples"] == 2
    assert config.task["tau_max_seconds"] == 1.0
    assert config.towers["frame"] == {
        "name": "tiny",
        "channels": [8, 16],
        "embed_dim": 128,
        "grid": 4,
        "pooling": "mean",
        "standardise": True,
        "keep_colour": False,
        "norm": "batch",
    }
    assert config.objective["head"] == "hidden"
    assert parse_config(format_toml(config)) == config


def test_overrides_are_toml_or_else_text(recipe: str) -> None:
    overrides = [
        "train.steps=7",
        "task.tau_max_seconds=2",
        "towers.frame.channels=[4]",
        "data.shards=/some/folder",
        "objective.head=linear",
        "task.flip = 0.25",
    ]
    config = read_recipe(recipe, overrides=overrides)
    assert config.train.steps == 7
    assert config.task["tau_max_seconds"] == 2
    assert config.towers["frame"]["channels"] == [4]
    assert config.data.shards == "/some/folder"
    assert config.objective["head"] == "linear"
    assert config.task["flip"] == 0.25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=3", "unknown key 'step' in section 'train': did you mean 'steps'?"),
        ("trian.steps=3", "unknown key 'trian' at the top: did you mean 'train'?"),
        ("task.tau_max=1", "unknown key 'tau_max' in section 'task': did you mean 'tau_max_seconds'?"),
        ("towers.frame.grids=2", "unknown key 'grids' in section 'towers.frame': did you mean 'grid'?"),
        ("objective.heads=1", "unknown key 'heads' in section 'objective': did you mean 'head'?"),
        ("loader.zzz=1", "unknown key 'zzz' in section 'loader': known are backend, threads"),
        ("train.steps=many", "train.steps: Expected `int`, got `str`"),
        ("train.steps=0", "train.steps: Expected `int` >= 1"),
        ("train.steps=1.5", "train.steps: Expected `int`, got `float`"),
        ("optimiser.name=lion", "optimiser.name: Invalid enum value 'lion'"),
        ("task.tuples=few", "tuples"),
        ("task.name=nothing", f"task 'nothing': choose one of {', '.join(sorted(TASKS))}"),
        ("towers.frame.name=huge", "frame tower 'huge': choose one of "),
        ("towers.frame.grid=big", "towers.frame.grid: Expected `int`, got `str`"),
        ("towers.frame.pooling=median", "towers.frame.pooling: Invalid enum value 'median'"),
        ("objective.head=cubic", "objective.head: Invalid enum value 'cubic'"),
        ("train=3", "write section.key=value"),
        ("train.steps", "write section.key=value"),
        ("train.steps.more=3", "steps: Expected a section, got `int`"),
    ],
)
def test_mistakes_are_named(recipe: str, override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_recipe(recipe, overrides=[override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task = 3", "task: Expected a section, got `int`"),
        ("[task", "not TOML"),
        (
            "[towers.frame]\ngrid = 2\n[task]\nname = 'shuffle_and_learn'",
            "section 'towers.frame' has no 'name'",
        ),
        ("[train]\nsteps = 1", "section 'task' has no 'name'"),
        (
            "[task]\nname = 'shuffle_and_learn'\n[train]\nsteps = 1\nbatch_size = 1",
            "trains the towers ['frame'], the recipe has []",
        ),
    ],
)
def test_a_broken_recipe_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_recipe(str(path))
    assert message in str(caught.value)


def test_a_name_that_is_nothing_lists_the_shipped_ones() -> None:
    with pytest.raises(
        ValueError,
        match="recipe 'shuffle': no such file, and not one of " + ", ".join(shipped_recipes()),
    ):
        read_recipe("shuffle")
