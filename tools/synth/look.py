"""What is seen: shapes as signed distances, materials as patterns in two colours, backgrounds as still fields.

Everything is a formula of coordinates, evaluated for many frames at once: there are no sprites to resample, and edges
are smooth at any size and angle.
"""

import colorsys
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.tools.synth.dice import Dice

__all__ = ["BACKGROUNDS", "OUTREACH", "SHAPES", "TEXTURES", "Palette", "paint_background", "palette"]

Field = NDArray[np.floating]

OUTREACH: Final = 1.36
"""No shape reaches further than this from its centre, in radii of the disc."""


def _disc(u: Field, v: Field) -> Field:
    return np.hypot(u, v) - 1


def _square(u: Field, v: Field) -> Field:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.9)


def _triangle(u: Field, v: Field) -> Field:
    slope = np.float32(math.sqrt(0.75)) * np.abs(u) + v / 2
    return np.maximum(slope, -v) - np.float32(0.66)


def _star(u: Field, v: Field) -> Field:
    tip, notch, half = 1.32, 0.62, math.pi / 5
    angle = np.abs(np.mod(np.arctan2(u, v) + half, 2 * half) - half)
    distance = np.hypot(u, v)
    along, across = distance * np.cos(half - angle), distance * np.sin(half - angle)
    edge_x, edge_y = tip * math.cos(half) - notch, tip * math.sin(half)
    return ((along - notch) * edge_y - across * edge_x) / np.float32(math.hypot(edge_x, edge_y))


def _ring(u: Field, v: Field) -> Field:
    return np.abs(np.hypot(u, v) - np.float32(0.78)) - np.float32(0.34)


def _cross(u: Field, v: Field) -> Field:
    a, b, long, short = np.abs(u), np.abs(v), np.float32(1.15), np.float32(0.42)
    return np.minimum(np.maximum(a - long, b - short), np.maximum(b - long, a - short))


SHAPES: Final[Mapping[str, Callable[[Field, Field], Field]]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}
"""Shape → signed distance to its outline at (u, v), in radii: negative inside. v points up."""


def _solid(u: Field, v: Field) -> Field:
    return np.float32(0.5) - np.float32(0.45) * (v - u / 2)


def _stripes(u: Field, v: Field) -> Field:
    return np.float32(0.5) + 2 * np.sin(np.float32(7.5) * u)


def _checks(u: Field, v: Field) -> Field:
    return np.float32(0.5) + 4 * np.sin(np.float32(5.2) * u) * np.sin(np.float32(5.2) * v)


def _dots(u: Field, v: Field) -> Field:
    cell = np.float32(0.62)
    return np.float32(2.2) - np.hypot(u - cell * np.rint(u / cell), v - cell * np.rint(v / cell)) * 9


def _grain(u: Field, v: Field) -> Field:
    ripple = np.sin(11 * u + 4 * np.sin(9 * v)) * np.sin(12 * v + 5 * np.sin(8 * u))
    return np.float32(0.5) + np.float32(1.2) * ripple


def _rings(u: Field, v: Field) -> Field:
    return np.float32(0.5) + 2 * np.cos(np.float32(10) * np.hypot(u, v))


TEXTURES: Final[Mapping[str, Callable[[Field, Field], Field]]] = {
    "solid": _solid,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "grain": _grain,
    "rings": _rings,
}
"""Texture → share of the second colour at (u, v), to be clipped to [0, 1]."""


@dataclass(frozen=True)
class Palette:
    """The two colours of a texture, each RGB in [0, 1]."""

    first: tuple[float, float, float]
    second: tuple[float, float, float]


def palette(hue: float) -> Palette:
    """Bright colours of one hue: lighter than any background, so that objects stand out in grey, too."""
    return Palette(colorsys.hsv_to_rgb(hue % 1, 0.4, 1.0), colorsys.hsv_to_rgb((hue + 0.02) % 1, 0.95, 0.85))


def _clouds(dice: Dice, height: int, width: int) -> Field:
    return _periodic_noise(dice, height, width, 1.7)


def _grit(dice: Dice, height: int, width: int) -> Field:
    return _periodic_noise(dice, height, width, 0.9)


def _patches(dice: Dice, height: int, width: int) -> Field:
    return np.clip(4 * _periodic_noise(dice, height, width, 1.5) - np.float32(1.5), 0, 1)


def _planks(dice: Dice, height: int, width: int) -> Field:
    across, along = dice.integer("background/across", 2, 6), dice.integer("background/along", -2, 3)
    row, column = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    wave = np.sin(2 * np.pi * (across * row + along * column) + 3 * _clouds(dice, height, width))
    return (0.5 + 0.5 * wave).astype(np.float32)


BACKGROUNDS: Final[Mapping[str, Callable[[Dice, int, int], Field]]] = {
    "clouds": _clouds,
    "grit": _grit,
    "patches": _patches,
    "planks": _planks,
}
"""Background → share of its lighter colour, f32 `[height, width]` in [0, 1]."""


def paint_background(dice: Dice, kind: str, height: int, width: int) -> Field:
    """A background of its own for every clip: f32 `[height, width, 3]` in [0, 255], dim and of little colour."""
    field = BACKGROUNDS[kind](dice, height, width)[..., None]
    hue, saturation = dice.number("background/hue", 0, 1), dice.number("background/saturation", 0.1, 0.45)
    dark, light = dice.number("background/dark", 0.1, 0.3), dice.number("background/light", 0.34, 0.52)
    low = np.array(colorsys.hsv_to_rgb(hue, saturation, dark), np.float32)
    high = np.array(colorsys.hsv_to_rgb((hue + 0.08) % 1, saturation, light), np.float32)
    return 255 * (low + (high - low) * field)


def _periodic_noise(dice: Dice, height: int, width: int, steepness: float) -> Field:
    """Noise whose amplitude falls with frequency to the power `-steepness`, stretched over [0, 1]."""
    white = dice.field("background/noise", height, width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width)
    spectrum = np.fft.rfft2(white) / np.maximum(frequency, 1) ** steepness
    noise = np.fft.irfft2(spectrum, s=(height, width))
    low, high = np.quantile(noise, (0.02, 0.98))
    return np.clip((noise - low) / (high - low), 0, 1).astype(np.float32)
