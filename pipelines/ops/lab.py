"""Colours as people tell them apart: sRGB to CIE L*a*b* (IEC 61966-2-1, CIE 15:2004; white point D65)."""

from typing import Final

import torch
from torch import Tensor

__all__ = ["lab"]

_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE: Final = (0.95047, 1.0, 1.08883)
_KNEE: Final = 6 / 29


def lab(pixels: Tensor) -> Tensor:
    """uint8 sRGB `[..., 3]` → f32 `[..., 3]`: L in [0, 100], a and b in about [-110, 110]."""
    unit = pixels.float() / 255
    linear = torch.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    # Term by term and not as a matrix product: no pixel depends on how many there are.
    red, green, blue = linear.unbind(-1)
    light = [r * red + g * green + b * blue for r, g, b in _XYZ]
    x, y, z = (_cube_root(value / white) for value, white in zip(light, _WHITE, strict=True))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)


def _cube_root(t: Tensor) -> Tensor:
    return torch.where(t > _KNEE**3, t.clamp(min=1e-6) ** (1 / 3), t / (3 * _KNEE**2) + 4 / 29)
