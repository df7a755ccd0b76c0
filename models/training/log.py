"""Who hears of a run: the files of metrics and of warnings, TensorBoard, and whatever else listens."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from torch.utils.tensorboard import SummaryWriter

__all__ = [
    "GRADIENTS",
    "LOADER",
    "Listener",
    "MetricsFile",
    "Row",
    "TensorBoard",
    "WarningsFile",
    "read_metrics",
]


LOADER: Final = "loader"
"""Split of the rows that say where the loader's time went."""

GRADIENTS: Final = "gradients"
"""Split of the rows that say what each of several tasks asks of the towers that they share."""


@dataclass(frozen=True, slots=True)
class Row:
    """One logged step.

    Attributes:
        step: completed steps.
        split: `train` or `val`, `LOADER` or `GRADIENTS`.
        numbers: `loss`, `balanced_accuracy` and others, by name.
    """

    step: int
    split: str
    numbers: Mapping[str, float]

    def flat(self) -> dict[str, Any]:
        """As it stands in the file: `step`, `split` and each number by its name."""
        return {"step": self.step, "split": self.split, **self.numbers}


class Listener(Protocol):
    """Hears of a run while it goes on."""

    def row(self, row: Row) -> None:
        """A row of the log is there."""

    def warn(self, text: str) -> None:
        """Something that a person should know, in a sentence."""

    def close(self) -> None:
        """The run is over."""


class MetricsFile:
    """`metrics.jsonl`: one JSON object a line, flushed as it is written; NaN is written as null.

    Args:
        path: the file; rows of steps after `start` are removed, since a resumed run writes them again.
    """

    def __init__(self, path: Path, *, start: int) -> None:
        kept = [row for row in read_metrics(path) if row["step"] <= start] if path.exists() else []
        draft = path.with_suffix(".draft")
        draft.write_bytes(b"".join(map(_line, kept)))
        draft.replace(path)
        self._file = path.open("ab")

    def row(self, row: Row) -> None:
        # Where the loader's time went is no metric of learning, and another one in every run.
        if row.split != LOADER:
            self._file.write(_line(row.flat()))
            self._file.flush()

    def warn(self, text: str) -> None:
        """Warnings are no metrics."""

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


class WarningsFile:
    """`warnings.jsonl`: what a person should know, with the step of the last row before it; those of all sessions stay."""

    def __init__(self, path: Path, *, start: int) -> None:
        self._path, self._step = path, start

    def row(self, row: Row) -> None:
        self._step = row.step

    def warn(self, text: str) -> None:
        with self._path.open("ab") as file:
            file.write(_line({"step": self._step, "text": text}))

    def close(self) -> None:
        """Nothing stays open."""


class TensorBoard:
    """The same numbers as scalars `SPLIT/NAME`, and warnings as text."""

    def __init__(self, folder: Path, *, start: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=start + 1)
        self._step = start

    def row(self, row: Row) -> None:
        self._step = row.step
        for name, value in row.numbers.items():
            self._writer.add_scalar(f"{row.split}/{name}", value, row.step)

    def warn(self, text: str) -> None:
        self._writer.add_text("warnings", text, self._step)

    def close(self) -> None:
        self._writer.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a metrics file, or of one of warnings; a last line that a kill cut short is left out."""
    lines = path.read_bytes().split(b"\n")
    return [msgspec.json.decode(line) for line in lines[:-1]]


def _line(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"
