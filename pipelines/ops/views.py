"""From decoded frames to a tower's input: the one place that a fused kernel has to reproduce.

This is the reference in plain torch. Contract: uint8 `[B, T, H, W, 3]` → f32 `[B, T, 3, h, w]`; crop each frame at its
own place, resize with antialiasing to uint8, mirror whole clips, then colour and normalise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.colour import Colour, recolour
from unreel.pipelines.ops.geometry import crop, flip_rows, resize

__all__ = ["Views", "render"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is done to each frame of B clips of T frames; all arrays on the host.

    Attributes:
        top, left: i64 `[B, T]`, where each frame is cut, in pixels.
        crop: (height, width) of the cut, in pixels.
        size: (height, width) of the tower's input, in pixels.
        flip: bool `[B]`, clips that are mirrored left to right.
        colour: what happens to the colours.
    """

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    crop: tuple[int, int]
    size: tuple[int, int]
    flip: NDArray[np.bool_]
    colour: Colour

    def facts(self) -> dict[str, NDArray]:
        """Every decision by name, each `[B, T]` or `[B]`, for an audit and for people."""
        places = {"crop_top": self.top, "crop_left": self.left, "flip": self.flip}
        return places | self.colour.columns()


def render(frames: Tensor, views: Views) -> Tensor:
    """Frames as a tower takes them: uint8 `[B, T, H, W, 3]` → f32 `[B, T, 3, *views.size]`, normalised.

    Raises ValueError when a cut leaves its frame.
    """
    rows, times = frames.shape[:2]
    cut = crop(frames.flatten(0, 1), top=views.top.ravel(), left=views.left.ravel(), size=views.crop)
    clips = resize(cut, views.size).view(rows, times, *views.size, 3)
    return recolour(flip_rows(clips, views.flip), views.colour)
