"""What each task gets of a batch: its rows, its memory, and which of its rows have failed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unreel.pipelines.decode.backend import (
    BatchShape,
    DecodeBackend,
    Decoded,
    batch_shapes,
    check_row,
    colours_of,
    failed,
)
from unreel.pipelines.ops.yuv import PlanarYuv
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample

__all__ = ["Memory", "View", "make_views"]

Memory = Callable[[int, str, tuple[int, ...], torch.dtype], Tensor]
"""(number of the task, what lies there, shape, dtype) → a tensor of any content."""


@dataclass(slots=True)
class View:
    """What one task gets of a batch.

    Attributes:
        shape: of its rows.
        plans: one a row; None where it has none, or its row has failed.
        pictures: RGB, or Y and UV; empty where the task takes no picture.
        sound: None where it takes no sound.
        failures: row → why it could not be decoded.
    """

    shape: BatchShape
    plans: list[Plan | None]
    pictures: tuple[Tensor, ...]
    sound: Tensor | None
    failures: dict[int, DecodeFailed] = field(default_factory=dict)

    def fail(self, row: int, error: DecodeFailed) -> None:
        """The row is done with."""
        self.failures[row], self.plans[row] = error, None

    def check(self, backend: DecodeBackend, samples: Sequence[EncodedSample]) -> None:
        """Hold every row against its sample before a byte is decoded; those that do not fit have failed."""
        for row, (sample, plan) in enumerate(zip(samples, self.plans, strict=True)):
            try:
                if plan is not None:
                    check_row(sample, plan, self.shape, backend.declines(sample.sidecar))
            except DecodeFailed as error:
                self.fail(row, failed(sample, backend.name, error))

    @property
    def tensors(self) -> Iterator[Tensor]:
        """Everything that has rows: pictures, then sound."""
        yield from self.pictures
        if self.sound is not None:
            yield self.sound

    def finish(self, samples: Sequence[EncodedSample]) -> Decoded:
        """What was decoded, zeros in the other rows."""
        for row, plan in enumerate(self.plans):
            if plan is None:
                for values in self.tensors:
                    values[row].zero_()
        frames, yuv = self.pictures[0] if len(self.pictures) == 1 else None, None
        if len(self.pictures) == 2:
            luma, chroma = self.pictures
            yuv = PlanarYuv(luma=luma, chroma=chroma, colours=colours_of(samples))
        return Decoded(frames=frames, yuv=yuv, audio=self.sound, failures=self.failures)


def make_views(
    samples: Sequence[EncodedSample],
    plans: Sequence[Sequence[Plan | None]],
    pixels: str,
    memory: Memory = lambda _number, _name, shape, dtype: torch.zeros(shape, dtype=dtype),
) -> list[View]:
    """A view for each task. Raises ValueError where the rows of a task do not make one batch."""
    views = []
    for number, (shape, wanted) in enumerate(zip(batch_shapes(samples, plans, pixels), plans, strict=True)):
        pictures = (
            memory(number, name, (len(samples), *size), torch.uint8) for name, size in shape.planes.items()
        )
        sound = None
        if shape.sound is not None:
            sound = memory(number, "sound", (len(samples), *shape.sound), torch.float32)
        views.append(View(shape, list(wanted), tuple(pictures), sound))
    return views
