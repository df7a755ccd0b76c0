"""Planar YUV to RGB: the coefficients that every converter here shares, and the reference that kernels are held against."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.sharing import share

__all__ = ["COLOURS", "Pictures", "PlanarYuv", "coefficients", "every_pixel", "extent_of", "yuv_to_rgb"]

COLOURS: Final = ("bt709", "bt709 full", "smpte170m", "smpte170m full")
"""Matrix (ITU-R BT.709-6, BT.601-7) and range; without a word it is limited: luma 16 … 235, chroma 16 … 240."""

_KR_KB: Final = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanarYuv:
    """Pictures of B rows as codecs store them, 4:2:0.

    Attributes:
        luma: uint8 `[B, T, H, W]`; H and W are even.
        chroma: uint8 `[B, T, 2, H / 2, W / 2]`, Cb and Cr.
        colours: one of `COLOURS` for each row.
    """

    luma: Tensor
    chroma: Tensor
    colours: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.luma)

    @property
    def device(self) -> torch.device:
        """Where the planes are."""
        return self.luma.device

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "PlanarYuv":
        """The same pictures on `device`."""
        luma = self.luma.to(device, non_blocking=non_blocking)
        return replace(self, luma=luma, chroma=self.chroma.to(device, non_blocking=non_blocking))


Pictures = Tensor | PlanarYuv
"""RGB, uint8 `[B, T, H, W, 3]`, or the planes of the same frames."""


def extent_of(pictures: Pictures) -> tuple[int, int, int, int]:
    """(B, T, H, W)."""
    rows, times, height, width = (pictures.luma if isinstance(pictures, PlanarYuv) else pictures).shape[:4]
    return rows, times, height, width


@cache
def coefficients() -> NDArray[np.float32]:
    """f32 `[len(COLOURS), 8]`: scale and black of luma, then the weights of (Cb, Cr) in red, green and blue.

    Red is `(Y - black) * scale + r_cb * (Cb - 128) + r_cr * (Cr - 128)`, the others alike, in [0, 255].
    """
    return np.array([_row(*_KR_KB[name.split()[0]], full="full" in name) for name in COLOURS], np.float32)


def yuv_to_rgb(yuv: PlanarYuv) -> Tensor:
    """uint8 RGB `[B, T, H, W, 3]`: the exact value rounded, a chroma sample standing for the four pixels it covers."""
    return _to_rgb(yuv.luma, _wide(yuv.chroma[:, :, 0]), _wide(yuv.chroma[:, :, 1]), yuv.colours)


def every_pixel(pictures: Pictures, step: int) -> Tensor:
    """RGB of every `step`-th pixel both ways, `step` even; of planes no other pixel is converted.

    uint8 `[B, T, ceil(H / step), ceil(W / step), 3]`.
    """
    assert step % 2 == 0
    if not isinstance(pictures, PlanarYuv):
        return _thin(pictures, step) if pictures.device.type == "cpu" else pictures[:, :, ::step, ::step]
    half = step // 2
    chroma = pictures.chroma[..., ::half, ::half]
    return _to_rgb(pictures.luma[..., ::step, ::step], chroma[:, :, 0], chroma[:, :, 1], pictures.colours)


def _thin(pixels: Tensor, step: int) -> Tensor:
    """A compiled loop: torch walks such a view in runs of three bytes, which takes five times as long."""
    from unreel.pipelines.ops import pixel_loops

    frames = pixels.contiguous().flatten(0, 1).numpy()
    height, width = (-(-side // step) for side in pixels.shape[2:4])
    out = np.empty((len(frames), height, width, 3), np.uint8)
    share(lambda start, stop: pixel_loops.thin(start, stop, frames, step, out), len(frames), values=out.size)
    return torch.from_numpy(out).view(*pixels.shape[:2], height, width, 3)


def _to_rgb(luma: Tensor, cb: Tensor, cr: Tensor, colours: tuple[str, ...]) -> Tensor:
    rows = torch.from_numpy(coefficients()[[COLOURS.index(name) for name in colours]])
    scale, black, *weights = rows.to(luma.device).T.reshape(8, -1, 1, 1, 1)
    value = (luma.float() - black) * scale
    blue, red = cb.float() - 128, cr.float() - 128
    channels = [value + (weights[2 * c] * blue + weights[2 * c + 1] * red) for c in range(3)]
    return torch.stack(channels, -1).add_(0.5).clamp_(0, 255).to(torch.uint8)


def _wide(plane: Tensor) -> Tensor:
    return plane.repeat_interleave(2, -2).repeat_interleave(2, -1)


def _row(kr: float, kb: float, *, full: bool) -> tuple[float, ...]:
    """The inverse of the definitions of Y, Cb and Cr."""
    scale, black, chroma = (1.0, 0.0, 1.0) if full else (255 / 219, 16.0, 255 / 224)
    red, blue, kg = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma, 1 - kr - kb
    return scale, black, 0.0, red, -blue * kb / kg, -red * kr / kg, blue, 0.0
