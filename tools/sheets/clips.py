"""What the sheets of tasks about clips and their sound share: a strip of frames, the sound below it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unreel.pipelines.ops.normalise import denormalise
from unreel.tools.drawing import beside, enlarged, heat

__all__ = ["clip_strip", "sound_strip"]


def clip_strip(clip: Tensor, *, side: int, most: int = 8) -> Image.Image:
    """Frames of a clip f32 `[3, T, H, W]` beside each other, evenly chosen where there are more than `most`."""
    times = np.linspace(0, clip.shape[1] - 1, min(most, clip.shape[1])).round().astype(int)
    pictures = denormalise(clip.transpose(0, 1)[times.tolist()]).cpu().numpy()
    return beside([enlarged(picture, side) for picture in pictures], gap=2)


def sound_strip(
    sound: NDArray[np.float32], *, low: float, high: float, width: int, height: int = 60
) -> Image.Image:
    """Features f32 `[bands, columns]` as wide as the clip that they belong to."""
    return heat(sound, low=low, high=high, width=width, height=height)
