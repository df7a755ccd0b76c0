"""A tower in a folder: `model.safetensors` with its weights, and `config.json` with what builds it and what it takes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
from safetensors.torch import load_file, save_file

from unreel.models.towers import Tower, build_tower
from unreel.pipelines.ops.normalise import MEAN, STD
from unreel.pipelines.pretext.task import Look

__all__ = ["CONFIG", "WEIGHTS", "SavedTower", "load_tower", "save_tower"]

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"

_FORMAT: Final = 1


class SavedTower(msgspec.Struct, frozen=True, kw_only=True):
    """`config.json`.

    Attributes:
        format: of this file; a reader refuses a later one.
        kind, name, settings: what `build_tower` takes.
        embed_dim: length of an embedding.
        inputs: shape of each input as text, and what its values are.
        look: how the tower saw samples in its task, see `Look`.
        mean, std: of red, green and blue in [0, 1], by which pictures are normalised.
        task: name of the pretext task.
        step: training steps.
        unreel: version that wrote it.
    """

    format: int = _FORMAT
    kind: str
    name: str
    settings: dict[str, Any]
    embed_dim: int
    inputs: list[dict[str, str]]
    look: dict[str, Any]
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    task: str
    step: int
    unreel: str

    def sample_look(self) -> Look:
        """The record as the pipelines take it."""
        return Look(**self.look)


def save_tower(
    tower: Tower,
    folder: Path,
    *,
    recipe: Mapping[str, Any],
    look: Look,
    task: str,
    step: int,
    version: str,
) -> SavedTower:
    """Write a tower's weights and config into `folder`.

    Args:
        recipe: the table of the run's recipe that describes the tower: `name` and its settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = SavedTower(
        kind=tower.kind,
        name=str(recipe["name"]),
        settings={key: value for key, value in recipe.items() if key != "name"},
        embed_dim=tower.embed_dim,
        inputs=[{"shape": spec.shape, "values": spec.values} for spec in tower.inputs],
        look=asdict(look),
        task=task,
        step=step,
        unreel=version,
    )
    tensors = {name: value.detach().cpu().contiguous() for name, value in tower.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")
    return saved


def load_tower(folder: Path | str) -> tuple[Tower, SavedTower]:
    """The tower of a folder that `save_tower` wrote, on the CPU in evaluation mode, and its config.

    Raises:
        ValueError: the folder holds no tower, one of a later format, or weights of another tower.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder}: no exported tower ({CONFIG} and {WEIGHTS}); `unreel export` writes one")
    try:
        saved = msgspec.json.decode((folder / CONFIG).read_bytes(), type=SavedTower)
    except msgspec.DecodeError as error:
        raise ValueError(f"{folder / CONFIG}: not the config of an exported tower ({error})") from error
    if saved.format > _FORMAT:
        raise ValueError(f"{folder / CONFIG}: format {saved.format}, this version reads up to {_FORMAT}")
    tower = build_tower(saved.kind, saved.name, **saved.settings)
    try:
        tower.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise ValueError(
            f"{folder / WEIGHTS}: not the weights of {saved.kind} tower {saved.name}: {error}"
        ) from error
    return tower.eval(), saved
