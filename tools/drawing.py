"""Small pictures with words beside them: what contact sheets are made of."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "BAD",
    "DIM",
    "GOOD",
    "INK",
    "PAPER",
    "Line",
    "beside",
    "captioned",
    "enlarged",
    "heat",
    "hues",
    "stacked",
    "words",
]

PAPER: Final = (255, 255, 255)
INK: Final = (30, 30, 30)
DIM: Final = (120, 120, 120)
GOOD: Final = (20, 120, 50)
BAD: Final = (180, 40, 40)

Line = tuple[str, tuple[int, int, int]]
"""A line of text and its colour."""

_TEXT: Final = 13
_LEADING: Final = 18
_GAP: Final = 6


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: the same glyphs on every machine, arrows among them."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", _TEXT)


def words(lines: Sequence[Line], *, width: int | None = None) -> Image.Image:
    """Lines of text, left-aligned; `width` in pixels, by default as wide as the longest line."""
    longest = max((_font().getlength(text) for text, _ in lines), default=1)
    image = Image.new("RGB", (width or int(longest) + 2, max(1, _LEADING * len(lines))), PAPER)
    draw = ImageDraw.Draw(image)
    for number, (text, colour) in enumerate(lines):
        draw.text((0, number * _LEADING), text, fill=colour, font=_font())
    return image


def enlarged(picture: NDArray[np.uint8], side: int) -> Image.Image:
    """u8 `[H, W, 3]` with its longer side at `side` pixels; pixels stay visible as squares."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)


def heat(values: NDArray[np.float32], *, low: float, high: float, width: int, height: int) -> Image.Image:
    """f32 `[bands, columns]`, low bands at the bottom, as colours between `low` (dark) and `high` (bright)."""
    unit = np.clip((values[::-1] - low) / max(high - low, 1e-9), 0, 1)
    colours = (matplotlib.colormaps["magma"](unit)[..., :3] * 255).astype(np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST)


def hues(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A colour for each label: i64 `[H, W]` → u8 `[H, W, 3]`; twenty differ, negative ones are grey."""
    colours = np.array(matplotlib.colormaps["tab20"].colors)  # type: ignore[attr-defined]
    painted = np.where(labels[..., None] < 0, 0.8, colours[labels % len(colours)])
    return (painted * 255).astype(np.uint8)


def captioned(picture: Image.Image, lines: Sequence[Line]) -> Image.Image:
    """A picture with words below it."""
    return stacked([picture, words(lines, width=max(picture.width, 1))], gap=2)


def beside(parts: Sequence[Image.Image], *, gap: int = _GAP) -> Image.Image:
    """Pictures from left to right, aligned at the top."""
    width = sum(part.width for part in parts) + gap * (len(parts) - 1)
    page = Image.new("RGB", (width, max(part.height for part in parts)), PAPER)
    left = 0
    for part in parts:
        page.paste(part, (left, 0))
        left += part.width + gap
    return page


def stacked(parts: Sequence[Image.Image], *, gap: int = _GAP, margin: int = 0) -> Image.Image:
    """Pictures from top to bottom, aligned at the left."""
    width = max(part.width for part in parts) + 2 * margin
    height = sum(part.height for part in parts) + gap * (len(parts) - 1) + 2 * margin
    page, top = Image.new("RGB", (width, height), PAPER), margin
    for part in parts:
        page.paste(part, (margin, top))
        top += part.height + gap
    return page
