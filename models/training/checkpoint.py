"""Checkpoints: one folder a generation, safetensors and JSON, committed by a rename, verified before it is read.

    checkpoints/step-00000100/model.safetensors      weights and buffers
                              average.safetensors    the same of their average, where one is kept
                              optimizer.safetensors  the optimiser's state, by `PARAMETER/KEY`; where it lies in parts on
                              optimizer/*            several ranks, a file a rank instead, see `sharded.py`
                              state.json             everything that is not a tensor
                              manifest.json          bytes and SHA-256 of all of these

The newest checkpoint is the complete one of the highest step; no file points to it and no clock decides it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec
import safetensors.torch
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from unreel.models.training.ranks import Ranks
from unreel.models.training.sharded import save_parts
from unreel.pipelines.errors import CheckpointError

__all__ = [
    "Checkpoint",
    "newest_checkpoint",
    "prune",
    "read_checkpoint",
    "save_checkpoint",
    "save_divided",
    "steps_saved",
]

SCHEMA: Final = 1
_NEEDED: Final = ("model.safetensors", "state.json")
_OPTIMISER: Final = "optimizer.safetensors"
_PARTS: Final = "optimizer"
_MANIFEST: Final = "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
_DRAFT: Final = ".draft-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A generation that was verified.

    Attributes:
        step: steps that were completed.
        model: weights and buffers by name, on the CPU.
        optimiser: see `state_tensors`; of one that was read, empty where it lies in parts.
        parts: folder of those parts, of one that was read.
        state: the JSON text of everything else.
        average: as `model`, of the average of the weights; empty where none is kept.
    """

    step: int
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    state: bytes
    average: Mapping[str, Tensor] = field(default_factory=dict)
    parts: Path | None = None

    def copied(self) -> "Checkpoint":
        """The same in memory of its own, which training does not change: the host's, but for parts, which stay where they are."""
        return replace(
            self,
            model=_copied(self.model),
            optimiser=_copied(self.optimiser),
            average=_copied(self.average),
        )


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a generation below `folder`: all of it durable under a draft name, then one rename. Returns its path."""
    draft = _begin(folder, checkpoint.step)
    _write_tensors(draft / _OPTIMISER, checkpoint.optimiser)
    return _finish(draft, checkpoint)


def save_divided(folder: Path, checkpoint: Checkpoint, ranks: Ranks) -> None:
    """As `save_checkpoint`, of an optimiser that lies in parts: every rank writes its own, rank 0 the rest and the name."""
    draft = Path(ranks.led(lambda: str(_begin(folder, checkpoint.step))))
    save_parts(draft / _PARTS, checkpoint.optimiser, ranks)
    ranks.led(lambda: str(_finish(draft, checkpoint)))


def _begin(folder: Path, step: int) -> Path:
    for leftover in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(leftover)
    draft = folder / f"{_DRAFT}step-{step:08d}"
    draft.mkdir(parents=True)
    return draft


def _finish(draft: Path, checkpoint: Checkpoint) -> Path:
    _write_tensors(draft / "model.safetensors", checkpoint.model)
    if checkpoint.average:
        _write_tensors(draft / "average.safetensors", checkpoint.average)
    (draft / "state.json").write_bytes(checkpoint.state)
    (draft / _MANIFEST).write_bytes(_manifest(draft, checkpoint.step))
    for path in (*draft.rglob("*"), draft):
        _sync(path)
    folder, final = draft.parent, draft.with_name(draft.name.removeprefix(_DRAFT))
    if final.exists():
        # A damaged generation that this run resumed before; a good one is older.
        shutil.rmtree(final)
    draft.rename(final)
    _sync(folder)
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Verify a generation, then read it.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one that was written; the message says which.
    """
    verify(path)
    average, parts = path / "average.safetensors", path / _PARTS
    return Checkpoint(
        step=_step_of(path),
        model=safetensors.torch.load_file(path / "model.safetensors"),
        optimiser=safetensors.torch.load_file(path / _OPTIMISER) if not parts.exists() else {},
        state=(path / "state.json").read_bytes(),
        average=safetensors.torch.load_file(average) if average.exists() else {},
        parts=parts if parts.exists() else None,
    )


def verify(path: Path) -> None:
    """Hold every byte of a generation against its manifest. Raises CheckpointError on any difference."""
    missing = [name for name in (*_NEEDED, _MANIFEST) if not (path / name).is_file()]
    if not (path / _PARTS).is_dir() and not (path / _OPTIMISER).is_file():
        missing.append(_OPTIMISER)
    if missing:
        raise CheckpointError(f"checkpoint {path}: {', '.join(missing)} missing")
    written = (path / _MANIFEST).read_bytes()
    # The manifest is a function of the files and the folder's name, so that a flipped bit of its own shows as well.
    if written != _manifest(path, _step_of(path)):
        raise CheckpointError(f"checkpoint {path}: {_culprit(path, written)}")


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[CheckpointError]]:
    """The good generation of the highest step, None if there is none at all, and what is wrong with newer ones.

    Raises:
        CheckpointError: there are generations and all of them are damaged.
    """
    damaged: list[CheckpointError] = []
    for step in reversed(steps_saved(folder)):
        try:
            return read_checkpoint(folder / f"step-{step:08d}"), damaged
        except CheckpointError as error:
            damaged.append(error)
    if damaged:
        raise CheckpointError("no good checkpoint is left: " + "; ".join(map(str, damaged)))
    return None, damaged


def steps_saved(folder: Path) -> list[int]:
    """Steps of all generations below `folder`, ascending, damaged ones included."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("step-*"))
    return sorted(int(name[1]) for name in names if name)


def prune(folder: Path, *, keep: int, newest: int, every: int = 0) -> None:
    """Remove all but the last `keep` generations up to step `newest`, once that one has been read back.

    Those of steps that `every` divides stay.
    """
    verify(folder / f"step-{newest:08d}")
    older = [step for step in steps_saved(folder) if step <= newest]
    for step in (step for step in older[:-keep] if not every or step % every):
        shutil.rmtree(folder / f"step-{step:08d}")


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # safetensors stores rows in order; channels-last weights are laid out anew and put back when they are loaded.
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(plain, path)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: _copy(tensor.detach()) for name, tensor in tensors.items()}


def _copy(tensor: Tensor) -> Tensor:
    if isinstance(tensor, DTensor):
        return tensor.clone()
    return tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)


def _manifest(path: Path, step: int) -> bytes:
    files_in = (file for file in path.rglob("*") if file.is_file())
    names = sorted(file.relative_to(path).as_posix() for file in files_in if file.name != _MANIFEST)
    files = {name: {"bytes": (path / name).stat().st_size, "sha256": _sha256(path / name)} for name in names}
    return msgspec.json.format(
        msgspec.json.encode({"schema": SCHEMA, "step": step, "files": files}), indent=2
    )


def _culprit(path: Path, written: bytes) -> str:
    try:
        stated = msgspec.json.decode(written)["files"]
        present = msgspec.json.decode(_manifest(path, _step_of(path)))["files"]
        wrong = [name for name in {**stated, **present} if stated.get(name) != present.get(name)]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return "manifest.json is damaged"
    return f"not what manifest.json says: {', '.join(wrong)}" if wrong else "manifest.json is damaged"


def _step_of(path: Path) -> int:
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise CheckpointError(f"checkpoint {path}: the name should be step- and eight digits")
    return int(name[1])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
