"""Checkpoints: one folder a generation, safetensors and JSON, committed by a rename, verified before it is read.

    checkpoints/step-00000100/model.safetensors      weights and buffers
                              average.safetensors    the same of their average, where one is kept
                              optimizer.safetensors  the optimiser's state, by `PARAMETER/KEY`
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

from unreel.pipelines.errors import CheckpointError

__all__ = ["Checkpoint", "newest_checkpoint", "prune", "read_checkpoint", "save_checkpoint", "steps_saved"]

SCHEMA: Final = 1
_NEEDED: Final = ("model.safetensors", "optimizer.safetensors", "state.json")
_MANIFEST: Final = "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
_DRAFT: Final = ".draft-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A generation that was verified.

    Attributes:
        step: steps that were completed.
        model: weights and buffers by name, on the CPU.
        optimiser: see `state_tensors`.
        state: the JSON text of everything else.
        average: as `model`, of the average of the weights; empty where none is kept.
    """

    step: int
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    state: bytes
    average: Mapping[str, Tensor] = field(default_factory=dict)

    def copied(self) -> "Checkpoint":
        """The same in host memory of its own, which training does not change."""
        return replace(
            self,
            model=_copied(self.model),
            optimiser=_copied(self.optimiser),
            average=_copied(self.average),
        )


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a generation below `folder`: all of it durable under a draft name, then one rename. Returns its path."""
    final = folder / f"step-{checkpoint.step:08d}"
    draft = folder / f"{_DRAFT}{final.name}"
    for leftover in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(leftover)
    draft.mkdir(parents=True)
    _write_tensors(draft / "model.safetensors", checkpoint.model)
    _write_tensors(draft / "optimizer.safetensors", checkpoint.optimiser)
    if checkpoint.average:
        _write_tensors(draft / "average.safetensors", checkpoint.average)
    (draft / "state.json").write_bytes(checkpoint.state)
    (draft / _MANIFEST).write_bytes(_manifest(draft, checkpoint.step))
    for path in (*draft.iterdir(), draft):
        _sync(path)
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
    average = path / "average.safetensors"
    return Checkpoint(
        step=_step_of(path),
        model=safetensors.torch.load_file(path / "model.safetensors"),
        optimiser=safetensors.torch.load_file(path / "optimizer.safetensors"),
        state=(path / "state.json").read_bytes(),
        average=safetensors.torch.load_file(average) if average.exists() else {},
    )


def verify(path: Path) -> None:
    """Hold every byte of a generation against its manifest. Raises CheckpointError on any difference."""
    missing = [name for name in (*_NEEDED, _MANIFEST) if not (path / name).is_file()]
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


def prune(folder: Path, *, keep: int, newest: int) -> None:
    """Remove all but the last `keep` generations up to step `newest`, once that one has been read back."""
    verify(folder / f"step-{newest:08d}")
    older = [step for step in steps_saved(folder) if step <= newest]
    for step in older[:-keep]:
        shutil.rmtree(folder / f"step-{step:08d}")


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # safetensors stores rows in order; channels-last weights are laid out anew and put back when they are loaded.
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(plain, path)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _manifest(path: Path, step: int) -> bytes:
    names = sorted(file.name for file in path.iterdir() if file.name != _MANIFEST)
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
