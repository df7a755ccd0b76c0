"""From decoded frames to a tower's input in one pass: what is asked for, and who does it.

Order: cut, resize with antialiasing to uint8, mirror, turn, blur, colour, normalise. `reference.py` says in plain torch
what the numbers are; `docs/kernels.md` says how far an implementation may be from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.taps import blur_radius
from unreel.pipelines.ops.yuv import Pictures, extent_of

__all__ = ["LAYOUTS", "Views", "channel_starts", "kernel_of", "render", "sources"]

LAYOUTS: Final = ("TCHW", "CTHW")
"""Order of a view's axes: frame towers take the first, towers with convolutions over time the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """V views of each of B clips of T decoded frames; all arrays on the host. Fields with a default change nothing.

    Attributes:
        top, left: i64 `[B, V]`, where each view is cut out of its frame, in pixels; f32 cuts between pixels.
        crop: (height, width) of every cut, in pixels; or of each, i64 or f32 `[B, V, 2]`, for zooms.
        size: (height, width) of the tower's input, in pixels.
        flip: bool `[B]`, clips that are mirrored left to right, all their views alike.
        colour: what happens to the colours, fields `[B, V]`.
        frame: i64 `[B, V]`, which of the T frames each view shows; None: view t shows frame t, and V is T. Several
            views of one frame (tiles, patches) cost no copy of it.
        channel_shift: i64 `[B, V, 3, 2]`, rows and columns by which the cut of red, green and blue is moved; every
            moved cut must lie inside the frame.
        turn: i64 `[B, V]`, quarter turns counter-clockwise after the mirror, without interpolation; needs a square
            `size`.
        blur: f32 `[B, V]`, standard deviation of a Gaussian in pixels of the output, 0 for none; three of them must be
            less than the output's sides. Edges are mirrored.
        layout: `TCHW` gives `[B, V, 3, h, w]`, `CTHW` `[B, 3, V, h, w]`.
        clips: with `CTHW`, how many clips of equal length the views of a row are: `[B, clips, 3, V / clips, h, w]`; None:
            one, without a dimension of its own.
        dtype: float32, float16 or bfloat16; values are computed in float32 and rounded once.
    """

    top: NDArray[np.int64] | NDArray[np.float32]
    left: NDArray[np.int64] | NDArray[np.float32]
    crop: tuple[int, int] | NDArray[np.int64] | NDArray[np.float32]
    size: tuple[int, int]
    flip: NDArray[np.bool_]
    colour: Colour
    frame: NDArray[np.int64] | None = None
    channel_shift: NDArray[np.int64] | None = None
    turn: NDArray[np.int64] | None = None
    blur: NDArray[np.float32] | None = None
    layout: str = "TCHW"
    clips: int | None = None
    dtype: torch.dtype = torch.float32

    @property
    def extents(self) -> NDArray:
        """(height, width) of each cut, `[B, V, 2]`."""
        return np.broadcast_to(np.asarray(self.crop), (*self.top.shape, 2))

    @property
    def together(self) -> int:
        """Views that lie beside each other in each channel of the result: those of a clip."""
        return 1 if self.layout == "TCHW" else self.top.shape[1] // (self.clips or 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        rows, count = self.top.shape
        if self.layout == "TCHW":
            return rows, count, 3, *self.size
        clips = () if self.clips is None else (self.clips,)
        return rows, *clips, 3, self.together, *self.size

    @property
    def whole(self) -> bool:
        """Whether all cuts have one size and lie on whole pixels."""
        return isinstance(self.crop, tuple) and "f" not in self.top.dtype.kind + self.left.dtype.kind

    def facts(self) -> dict[str, NDArray]:
        """Every decision by name, each `[B, V, …]` or `[B]`, for an audit and for people."""
        facts = {"crop_top": self.top, "crop_left": self.left, "flip": self.flip}
        if not isinstance(self.crop, tuple):
            facts |= {"crop_height": self.crop[..., 0], "crop_width": self.crop[..., 1]}
        optional = {
            "view_frame": self.frame,
            "channel_shift": self.channel_shift,
            "turn": self.turn,
            "blur": self.blur,
        }
        return facts | {k: v for k, v in optional.items() if v is not None} | self.colour.columns()


def render(pictures: Pictures, views: Views, *, implementation: str = "auto") -> Tensor:
    """Frames as a tower takes them, normalised as `normalise.py` says.

    uint8 `[B, T, H, W, 3]`, or the planes of such frames → float `[B, V, 3, *views.size]`, or as `views.layout` and `views.clips` say.

    Args:
        implementation: `numba`, `triton` or `reference`; `auto` is the kernel of the pictures' device. The first call of
            `numba` on a machine compiles for some seconds; later processes read what was compiled from numba's cache.

    Raises ValueError when a cut leaves its frame, the fields of `views` do not fit together, or the implementation does
    not work on this device.
    """
    _check(views, extent_of(pictures))
    kernel = kernel_of(pictures.device)
    name = kernel if implementation == "auto" else implementation
    if name not in (kernel, "reference"):
        raise ValueError(f"implementation {name!r} on {pictures.device}: choose {kernel}, reference or auto")
    return _implementation(name)(pictures, views)


def kernel_of(device: torch.device) -> str:
    """Name of the implementation that `render` takes on a device: a part of what a run's numbers depend on."""
    return {"cpu": "numba", "cuda": "triton"}.get(device.type, "reference")


def _implementation(name: str) -> Callable[[Pictures, Views], Tensor]:
    """Imported when it is used first: compilers are slow to import, and need not be there."""
    if name == "numba":
        from unreel.pipelines.ops import cpu

        return cpu.render
    if name == "triton":
        from unreel.pipelines.ops import cuda

        return cuda.render
    from unreel.pipelines.ops import reference

    return reference.render


def sources(views: Views, times: int) -> NDArray[np.int64]:
    """Which of all rows' frames each view shows, `[N]`."""
    rows, count = views.top.shape
    frame = np.broadcast_to(np.arange(count), (rows, count)) if views.frame is None else views.frame
    return (np.arange(rows)[:, None] * times + frame).ravel()


def channel_starts(views: Views) -> tuple[NDArray, NDArray]:
    """Rows and columns at which each channel is cut, each `[N, 3]`."""
    if views.channel_shift is None:
        top, left = (
            np.broadcast_to(start.reshape(-1, 1), (start.size, 3)) for start in (views.top, views.left)
        )
        return top, left
    top, left = (
        views.top[..., None] + views.channel_shift[..., 0],
        views.left[..., None] + views.channel_shift[..., 1],
    )
    return top.reshape(-1, 3), left.reshape(-1, 3)


def _check(views: Views, extent: tuple[int, int, int, int]) -> None:
    rows, times, height, width = extent
    _check_shapes(views, rows, times)
    _check_numbers(views, times)
    shift = 0 if views.channel_shift is None else views.channel_shift
    for axis, (name, start, bound) in enumerate((("top", views.top, height), ("left", views.left, width))):
        moved = start[..., None] + (shift if isinstance(shift, int) else shift[..., axis])
        ends = moved + views.extents[..., axis, None]
        if moved.size and (moved.min() < 0 or ends.max() > bound):
            raise ValueError(
                f"crop {name} {moved.min()} … {moved.max()} up to {ends.max()} leaves a frame of {bound} pixels"
            )


def _check_shapes(views: Views, rows: int, times: int) -> None:
    count = times if views.frame is None else views.frame.shape[1]
    asked: dict[str, tuple[NDArray | None, tuple[int, ...]]] = {
        "top": (views.top, ()),
        "left": (views.left, ()),
        "frame": (views.frame, ()),
        "turn": (views.turn, ()),
        "blur": (views.blur, ()),
        "channel_shift": (views.channel_shift, (3, 2)),
        "crop": (None if isinstance(views.crop, tuple) else views.crop, (2,)),
    }
    for name, column in views.colour.columns().items():
        asked[f"colour.{name}"] = column, ()
    for name, (found, tail) in asked.items():
        if found is not None and found.shape != (rows, count, *tail):
            raise ValueError(f"views.{name} has shape {found.shape}, expected {(rows, count, *tail)}")
    if views.flip.shape != (rows,):
        raise ValueError(f"views.flip has shape {views.flip.shape}, expected {(rows,)}")


def _check_numbers(views: Views, times: int) -> None:
    (height, width), count = views.size, views.top.shape[1]
    if views.layout not in LAYOUTS:
        raise ValueError(f"views.layout {views.layout!r}: allowed are {', '.join(LAYOUTS)}")
    if views.clips is not None and (views.layout != "CTHW" or views.clips < 1 or count % views.clips):
        raise ValueError(
            f"views.clips {views.clips}: {count} views in {views.layout} are not so many clips in CTHW"
        )
    if np.any(views.extents <= 0):
        raise ValueError(f"views.crop {views.extents.min()}: cuts must be larger than nothing")
    if views.frame is not None and np.any((views.frame < 0) | (views.frame >= times)):
        raise ValueError(f"views.frame {views.frame.min()} … {views.frame.max()}: there are {times} frames")
    if views.turn is not None and height != width:
        raise ValueError(f"views.turn needs a square size, found {height}x{width}")
    if views.blur is not None and not np.all((views.blur >= 0) & (blur_radius(views.blur) < min(views.size))):
        raise ValueError(
            f"views.blur {views.blur.min()} … {views.blur.max()}: three of them must lie in [0, {min(views.size)})"
        )
