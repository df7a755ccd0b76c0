"""The camera's path, measured on decoded frames, so that each frame can be cut where the scene has gone.

OPN and arrow-of-time work stabilised their clips by homographies (Wei, Lim, Zisserman, Freeman, "Learning and using the
arrow of time", CVPR 2018). The part of one that a cut can follow, shift and zoom about the middle, is measured here, for all
frames of a batch at once: phase correlation (Kuglin, Hines, 1975) finds the shift to a pixel, and a robust Gauss-Newton
alignment (Lucas, Kanade, 1981; weights of Tukey, 1974) makes shift and zoom exact and leaves out what moves by itself.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unreel.pipelines.ops.yuv import Pictures, PlanarYuv, yuv_to_rgb

__all__ = ["CameraPath", "Cuts", "camera_path", "follow"]

_SIDE: Final = 64
"""Pictures are aligned at this size: a pixel there is two of a stored picture of 128 lines."""
_ROUNDS: Final = 8
_MISFIT: Final = 0.3
"""Largest error of a path that is followed; on generated pans and zooms 99 % of frames have less than 0.24."""
_NEAR: Final = 9
_NOISE: Final = 2.0
"""Levels of local deviation below which there is nothing to align."""
_TUKEY: Final = 4.685
_LUMA: Final = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True)
class CameraPath:
    """Where each frame shows what the middle of its clip's reference frame shows.

    A point at offset v from the middle of the reference lies at `zoom * v + shift` from the middle of the frame.

    Attributes:
        shift: f32 `[B, T, 2]`, pixels down and right.
        zoom: f32 `[B, T]`, over 1 where things are larger than in the reference.
        error: f32 `[B, T]`, median difference of aligned pixels over the picture's standard deviation; 0 fits.
    """

    shift: Tensor
    zoom: Tensor
    error: Tensor


def camera_path(pictures: Pictures, *, reference: int) -> CameraPath:
    """The path of the camera through uint8 `[B, T, H, W, 3]`, or planes, against frame `reference` of each clip."""
    frames = yuv_to_rgb(pictures) if isinstance(pictures, PlanarYuv) else pictures
    rows, times, height, width, _ = frames.shape
    scale = torch.tensor([height / _SIDE, width / _SIDE], device=frames.device)
    small = _normalised(frames)
    fixed = small[:, reference : reference + 1].expand_as(small).flatten(0, 1)
    moving = small.flatten(0, 1)
    found = functional.pad(_whole_shift(fixed, moving), (0, 1))
    # Phase correlation may follow a large object; from a camera that stands still the ground is found, if it moved little.
    places = [_refine(fixed, moving, start) for start in (found, torch.zeros_like(found))]
    errors = [_error(fixed, moving, place) for place in places]
    place = torch.where((errors[0] < errors[1])[:, None], places[0], places[1]).view(rows, times, 3)
    error = torch.minimum(errors[0], errors[1]).view(rows, times)
    return CameraPath(place[..., :2] * scale, 1 + place[..., 2], error)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where frames are cut so that a clip stands still.

    Attributes:
        top, left: f32 `[B, T]`, pixels.
        extents: f32 `[B, T, 2]`, height and width of each cut.
        steady: bool `[B]`, False for clips whose path is not known well enough or leads out of the window; their frames
            are cut where they can be, and their labels are to be left out.
    """

    top: NDArray[np.float32]
    left: NDArray[np.float32]
    extents: NDArray[np.float32]
    steady: NDArray[np.bool_]

    @classmethod
    def still(cls, offsets: NDArray[np.int64] | NDArray[np.float32], *, crop: int) -> "Cuts":
        """Cuts of `crop` pixels at `offsets`, `[2, B, T]`, wherever the camera goes."""
        rows, times = offsets.shape[1:]
        extents = np.full((rows, times, 2), crop, np.float32)
        return cls(offsets[0], offsets[1], extents, np.ones(rows, np.bool_))

    def zoomed(self, share: NDArray[np.float32]) -> "Cuts":
        """The middle of each cut, of which `share`, f32 `[B, T]` in (0, 1], of each side is kept."""
        margin = (self.extents * (1 - share[..., None]) / 2).astype(np.float32)
        top, left = (
            np.asarray(start + margin[..., axis], np.float32)
            for axis, start in enumerate((self.top, self.left))
        )
        return Cuts(top, left, (self.extents - 2 * margin).astype(np.float32), self.steady)


def follow(
    path: CameraPath, offsets: NDArray[np.int64] | NDArray[np.float32], *, crop: int, extent: tuple[int, int]
) -> Cuts:
    """Cuts that go where the camera's path says.

    Args:
        offsets: `[2, B, T]`, where a still camera's frames would be cut, from `draw_offsets`.
        crop: side of the cut in the reference frame, in pixels.
        extent: (height, width) of the frames.
    """
    zoom = path.zoom.cpu().numpy().astype(np.float64)[..., None]
    middle = np.array(extent) / 2
    wanted = np.moveaxis(offsets, 0, 2) + crop / 2 - middle
    size, shift = crop * zoom, path.shift.cpu().numpy()
    room = np.array(extent) - size
    start = middle + zoom * wanted + shift - size / 2
    # The whole clip is moved by what its furthest frame lacks; where both sides lack room there is no place for it.
    lack = (np.maximum(-start, 0) / zoom).max(axis=1) - (np.maximum(start - room, 0) / zoom).max(axis=1)
    start = start + zoom * lack[:, None]
    inside = ((start > -0.01) & (start < room + 0.01)).all(axis=(1, 2))
    fitting = (path.error.cpu().numpy() <= _MISFIT).all(axis=1)
    # Rounding to f32 must not lead a cut out of its frame by a hair.
    extents = np.minimum(np.broadcast_to(size, start.shape), np.array(extent)).astype(np.float32)
    start = np.clip(start, 0, np.nextafter((np.array(extent) - extents).astype(np.float32), np.float32(0)))
    start = np.maximum(start, 0).astype(np.float32)
    return Cuts(start[..., 0], start[..., 1], extents, inside & fitting)


def _normalised(frames: Tensor) -> Tensor:
    """Luma at `_SIDE` pixels, about its local mean and over its local deviation: f32 `[B, T, S, S]`.

    So exposure does not matter, and a bright object weighs no more than the dim ground that it covers.
    """
    luma = frames.float() @ torch.tensor(_LUMA, device=frames.device)
    small = functional.interpolate(luma, (_SIDE, _SIDE), mode="bilinear", antialias=True)
    about = small - _local(small)
    return about / (_local(about.square()).sqrt() + _NOISE)


def _local(pictures: Tensor) -> Tensor:
    """Means over squares of `_NEAR` pixels: f32 `[B, T, S, S]`."""
    return functional.avg_pool2d(pictures, _NEAR, 1, _NEAR // 2, count_include_pad=False)


def _whole_shift(fixed: Tensor, moving: Tensor) -> Tensor:
    """Pixels (down, right) by which `moving` lies off `fixed`, both f32 `[N, S, S]`, by phase correlation."""
    taper = torch.hann_window(_SIDE, periodic=False, device=fixed.device)
    taper = taper[:, None] * taper
    first, second = (torch.fft.rfft2(picture * taper) for picture in (fixed, moving))
    cross = second * first.conj()
    surface = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-6).sqrt(), s=(_SIDE, _SIDE))
    best = surface.flatten(1).argmax(dim=1)
    place = torch.stack([best // _SIDE, best % _SIDE], dim=1)
    return torch.where(place >= _SIDE // 2, place - _SIDE, place).float()


def _error(fixed: Tensor, moving: Tensor, place: Tensor) -> Tensor:
    """Median difference where both show something: f32 `[N]`."""
    apart = (_warped(moving, place) - fixed).abs()
    return (
        torch.where(_inside(place) > 0, apart, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num(9.0)
    )


def _refine(fixed: Tensor, moving: Tensor, place: Tensor) -> Tensor:
    """(down, right, zoom - 1) f32 `[N, 3]`, improved by reweighted Gauss-Newton steps."""
    axis = torch.arange(_SIDE, device=fixed.device) - (_SIDE - 1) / 2
    for _ in range(_ROUNDS):
        warped = _warped(moving, place)
        down, right = torch.gradient(warped, dim=(1, 2))
        zoomed = down * axis[:, None] + right * axis
        slopes = torch.stack([down, right, zoomed], dim=3).flatten(1, 2)
        apart = (fixed - warped).flatten(1)
        weights = _trust(apart) * _inside(place).flatten(1)
        normal = torch.einsum("npi,np,npj->nij", slopes, weights, slopes)
        normal = normal + 1e-3 * torch.eye(3, device=fixed.device)
        target = torch.einsum("npi,np,np->ni", slopes, weights, apart)
        place = place + torch.linalg.solve(normal, target)
    return place


def _trust(apart: Tensor) -> Tensor:
    """Tukey's weights of differences f32 `[N, P]`: 0 for those that belong to something that moves by itself."""
    spread = 1.4826 * apart.abs().median(dim=1, keepdim=True).values
    return (1 - (apart / (_TUKEY * spread.clamp(min=1e-3))).square()).clamp(min=0).square()


def _grid(place: Tensor) -> Tensor:
    """Where each pixel of the reference lies in the frame, f32 `[N, S, S, 2]` (right, down), -1 … 1 for its edges."""
    axis = (2 * torch.arange(_SIDE, device=place.device) + 1) / _SIDE - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    plain = torch.stack([right, down], dim=2)
    return plain * (1 + place[:, None, None, 2:]) + place[:, None, None, :2].flip(3) * (2 / _SIDE)


def _warped(moving: Tensor, place: Tensor) -> Tensor:
    """The frames as the reference would show them, f32 `[N, S, S]`."""
    return functional.grid_sample(moving[:, None], _grid(place), padding_mode="border", align_corners=False)[
        :, 0
    ]


def _inside(place: Tensor) -> Tensor:
    """1 where a pixel of the reference is in the frame, else 0: f32 `[N, S, S]`."""
    return (_grid(place).abs() <= 1).all(dim=3).float()
