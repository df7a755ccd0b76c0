"""The pictures of a clip: a still background, the object over it, and the nuisances that are switched on."""

import math

import numpy as np
from numpy.typing import NDArray

from unreel.tools.synth.look import OUTREACH, SHAPES, TEXTURES, paint_background, palette
from unreel.tools.synth.nuisances import Nuisances, add_noise, clock, drift, letterbox, logo, scroll
from unreel.tools.synth.world import Clip, World, seen, tracks

__all__ = ["render"]

Array = NDArray[np.float32]

_CHUNK = 16
"""Frames drawn at once: their patches stay in the processor's cache."""


def render(world: World, clip: Clip) -> NDArray[np.uint8]:
    """The frames of a clip, u8 `[T, H, W, 3]` RGB."""
    frames = _backdrop(world, clip)
    if world.objects:
        _draw_object(frames, world, clip)
    frames = _degrade(frames, clip, world.nuisances, world.rate)
    return np.rint(np.clip(frames, 0, 255, out=frames), out=frames).astype(np.uint8)


def _backdrop(world: World, clip: Clip) -> Array:
    """The background as each frame shows it, f32 `[T, H, W, 3]` in [0, 255]."""
    still = paint_background(clip.dice, clip.background, world.height, world.width)
    views = [seen(world, clip)] if world.nuisances.camera else []
    if world.nuisances.moving_background:
        views.append(scroll(clip.dice, world.frames, world.rate))
    if not views:
        return np.repeat(still[None], world.frames, axis=0)
    zoom = np.prod([view.zoom for view in views], axis=0)
    dx, dy = (np.sum([getattr(view, name) for view in views], axis=0) for name in ("dx", "dy"))
    return np.stack([_look_at(still, *where) for where in zip(zoom, dx, dy, strict=True)])


def _look_at(picture: Array, zoom: float, dx: float, dy: float) -> Array:
    """A periodic picture through a view: bilinear, rows and columns apart."""
    for axis, shift in ((0, -dy), (1, dx)):
        length = picture.shape[axis]
        place = length * (((np.arange(length) + 0.5) / length - 0.5 - shift) / zoom + 0.5) - 0.5
        below = np.floor(place).astype(int)
        share = (place - below).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        low, high = (np.take(picture, below + step, axis=axis, mode="wrap") for step in (0, 1))
        picture = low + share * (high - low)
    return picture


def _draw_object(frames: Array, world: World, clip: Clip) -> None:
    """Blend the object into the frames, in place."""
    shown = tracks(world, clip)
    radius = shown["size"] * world.height / 2
    centre_x, centre_y = shown["x"] * world.width, (1 - shown["y"]) * world.height
    half = math.ceil(radius.max() * OUTREACH * 1.35) + 1
    left, top = np.floor(centre_x).astype(int) - half, np.floor(centre_y).astype(int) - half
    steps = np.arange(2 * half) + 0.5
    for first in range(0, world.frames, _CHUNK):
        part = slice(first, first + _CHUNK)
        right = (left[part, None] + steps - centre_x[part, None])[:, None, :]
        up = (centre_y[part, None] - top[part, None] - steps)[:, :, None]
        colour, cover = _patch(clip, part, right, up, radius[part])
        for row in range(len(cover)):
            _blend(frames[first + row], colour[row], cover[row], left[first + row], top[first + row])


def _patch(
    clip: Clip, part: slice, right: NDArray, up: NDArray, radius: NDArray[np.float64]
) -> tuple[Array, Array]:
    """Colour `[n, P, P, 3]` and coverage `[n, P, P, 1]` of the object at offsets (right, up) in pixels."""
    angle, squash, scale = (
        values[:, None, None].astype(np.float32)
        for values in (clip.motion.angle[part], clip.motion.squash[part], radius)
    )
    x, y = right.astype(np.float32) * squash / scale, up.astype(np.float32) / squash / scale
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    distance = SHAPES[clip.shape](u, v)
    share = np.clip(TEXTURES[clip.texture](u, v), 0, 1)[..., None]
    colours = palette(clip.hue)
    first, second = (255 * np.array(colour, np.float32) for colour in (colours.first, colours.second))
    # A dark rim two pixels wide at the default size keeps the outline visible on any background.
    rim = np.clip(0.5 + (distance + np.float32(0.13)) * scale, 0, 1)[..., None]
    colour = (first + (second - first) * share) * (1 - np.float32(0.8) * rim)
    return colour, np.clip(0.5 - distance * scale, 0, 1)[..., None]


def _blend(frame: Array, colour: Array, cover: Array, left: int, top: int) -> None:
    """Blend a patch into one frame where they overlap, in place."""
    height, width = frame.shape[:2]
    rows = slice(max(0, -top), min(len(cover), height - top))
    columns = slice(max(0, -left), min(len(cover), width - left))
    under = frame[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    under += cover[rows, columns] * (colour[rows, columns] - under)


def _degrade(frames: Array, clip: Clip, nuisances: Nuisances, rate: int) -> Array:
    """What camera and broadcaster do to the picture, in that order."""
    if nuisances.brightness_drift:
        frames *= drift(clip.dice, len(frames)).astype(np.float32)[:, None, None, None]
    if nuisances.noise:
        frames = add_noise(clip.dice, frames)
    if nuisances.letterbox:
        letterbox(clip.dice, frames, specks=nuisances.specks)
    if nuisances.logo:
        logo(clip.dice, frames)
    if nuisances.clock:
        clock(clip.dice, frames, rate)
    return frames
