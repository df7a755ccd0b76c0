"""Towers that start from weights learned before: of another run, or of an exported tower."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from unreel.models.export.saved import CONFIG, load_tower
from unreel.models.towers import Tower
from unreel.models.training.model import PretextModel
from unreel.models.training.run import RunFolder, load_run

__all__ = ["start_towers"]


def start_towers(model: PretextModel, sources: Mapping[str, str]) -> None:
    """Give towers of `model` the weights that `sources` name; heads and all other towers keep those that they have.

    Args:
        model: on the CPU, before training.
        sources: kind of tower → a run, whose newest good checkpoint is read (its average, where it keeps one), or a folder
            that `unreel export` wrote.

    Raises:
        ValueError: nothing of either is there, it has no tower of this kind, or one of another form.
    """
    for kind, source in sources.items():
        weights = _tower(kind, Path(source)).state_dict()
        try:
            model.towers[kind].load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"start.{kind}: the tower of {source} has another form ({error}); give `towers.{kind}` the settings that it "
                "was trained with"
            ) from error


def _tower(kind: str, source: Path) -> nn.Module:
    towers = _towers(kind, source)
    if kind not in towers:
        raise ValueError(f"start.{kind}: {source} has no such tower, it has {', '.join(sorted(towers))}")
    return towers[kind]


def _towers(kind: str, source: Path) -> Mapping[str, Tower]:
    if RunFolder(source).recipe.is_file():
        return load_run(source).towers
    if (source / CONFIG).is_file():
        tower, saved = load_tower(source)
        return {saved.kind: tower}
    raise ValueError(
        f"start.{kind}: {source} is neither a run (recipe.toml) nor an exported tower ({CONFIG}); `unreel train` and "
        "`unreel export` make one"
    )
