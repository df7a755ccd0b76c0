"""What is done to media on the device, whole batch at once: crop, resize, flip, colour, spectrogram."""

from unreel.pipelines.ops.colour import Colour, recolour
from unreel.pipelines.ops.geometry import crop, flip_rows, resize
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.ops.spectrogram import FEATURES, Sounds, log_mel, log_spectrogram, show
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.ops.yuv import Pictures, PlanarYuv

__all__ = [
    "FEATURES",
    "Colour",
    "Pictures",
    "PlanarYuv",
    "Sounds",
    "Views",
    "crop",
    "denormalise",
    "flip_rows",
    "log_mel",
    "log_spectrogram",
    "recolour",
    "render",
    "resize",
    "show",
]
