"""What the sheets of several tasks share: where a row comes from, its pictures, words about decibels."""

import textwrap
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, DIM, INK, Line

__all__ = ["SIDE", "decibels", "folded", "origin", "visible"]

SIDE: Final = 150
"""Longer side of a frame on a sheet, in pixels."""


def origin(batch: PretextBatch, row: int, reason: str | None) -> list[Line]:
    """Key and source of a row, and why it is not valid."""
    lines: list[Line] = [(batch.keys[row] or "not read", INK), (f"source {batch.sources[row]}", DIM)]
    if reason:
        lines += [(text, BAD) for text in folded(f"not valid, {reason}", 64)]
    elif not batch.valid[row]:
        lines.append(("not valid: its partner failed or has the same source", BAD))
    return lines


def visible(frames: Tensor) -> NDArray[np.uint8]:
    """Frames as a tower takes them, float `[T, 3, H, W]` → u8 `[T, H, W, 3]`; differences come out about grey."""
    return denormalise(frames).cpu().numpy()


def folded(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters."""
    return textwrap.wrap(text, width)


def decibels(level: float) -> float:
    """RMS level in [0, 1] → dB of full scale."""
    return float(20 * np.log10(max(level, 1e-6)))
