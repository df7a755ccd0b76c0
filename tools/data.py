"""Which data a command works on: a folder of shards, or several with their weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unreel.shards.remote.web import is_url

if TYPE_CHECKING:
    from unreel.pipelines.mixture import Mixture

__all__ = ["Shards", "data_overrides", "only_folder", "open_data"]

Shards = str | Mapping[str, float]
"""A folder or URL of shards, or several with their weights: a recipe's `data.shards`."""


def data_overrides(named: Sequence[str]) -> list[str]:
    """`--data` as an override of the recipe's `data.shards`.

    Args:
        named: FOLDER or FOLDER=WEIGHT each, 1 where there is no weight.

    Raises:
        ValueError: a weight is no number, or a folder is named twice.
    """
    if not named:
        return []
    folders = [_weighted(text) for text in named]
    if len(folders) == 1:
        return [f"data.shards={folders[0][0]}"]
    if len(dict(folders)) < len(folders):
        raise ValueError(f"--data {' --data '.join(named)}: name each folder once")
    # TOML writes a string as JSON does.
    table = ", ".join(f"{json.dumps(folder, ensure_ascii=False)} = {weight!r}" for folder, weight in folders)
    return [f"data.shards={{{table}}}"]


def open_data(shards: Shards) -> "Mixture":
    """Open the folder, or the folders by weight, of a recipe's `data.shards`.

    Raises:
        ValueError: none is named, or the weights make no mixture.
        CatalogueError: a folder holds no data set.
    """
    from unreel.pipelines.mixture import Mixture
    from unreel.shards.catalogue import Catalogue

    if not shards:
        raise ValueError("the recipe names no shards: add --data FOLDER")
    folders = {shards: 1} if isinstance(shards, str) else shards
    return Mixture([(Catalogue.open(folder), weight) for folder, weight in folders.items()])


def only_folder(shards: Shards) -> str:
    """The folder of a run that was trained on one. Raises ValueError when there are several."""
    if isinstance(shards, str):
        return shards
    raise ValueError(
        f"the run was trained on {', '.join(shards)}: name the one that is meant with --data FOLDER"
    )


def _weighted(text: str) -> tuple[str, float]:
    folder, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return _place(text), 1
    try:
        return _place(folder), float(weight)
    except ValueError as error:
        raise ValueError(f"--data {text}: write FOLDER or FOLDER=WEIGHT, such as clips=0.7") from error


def _place(text: str) -> str:
    """A URL as it is, a folder by its full path: a run may be continued from elsewhere."""
    return text if is_url(text) else str(Path(text).resolve())
