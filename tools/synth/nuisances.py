"""What real recordings have beside their objects: cues that a pretext task can learn instead. All off by default.

Each clip of a world draws its own camera path, bars, logo … from the clip's dice, whether or not objects are drawn, so
a world and its twin without objects share them exactly.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.tools.synth.dice import Dice

__all__ = [
    "Nuisances",
    "View",
    "add_noise",
    "audible",
    "bars",
    "camera",
    "clock",
    "clock_box",
    "drift",
    "letterbox",
    "logo",
    "scroll",
]

Curve = NDArray[np.float64]
Frames = NDArray[np.float32]

_PICTURE_NOISE: Final = 6.0
"""Standard deviation, in 8-bit levels."""
_SOUND_NOISE: Final = 0.02
_LONGEST_OFFSET: Final = 60
_SPECK: Final = 1.5
"""Standard deviations of a grain from which on there is a speck: one pixel in fifteen."""
_SPECK_LEVEL: Final = 22.0
"""The brightest speck; a bar with brighter ones would be no bar."""
_CLOCK_SECONDS: Final = 3.0


class Nuisances(msgspec.Struct, frozen=True, kw_only=True):
    """Switches; the default is a clean world."""

    camera: bool = False
    """The camera pans and zooms slowly over the whole scene."""
    moving_background: bool = False
    """The background scrolls; the objects do not mind."""
    letterbox: bool = False
    """Black bars above and below, or left and right."""
    specks: bool = False
    """The bars of a letterbox are not quite black: still specks lie in them, as on worn film."""
    clock: bool = False
    """A clock runs in a corner: a hand goes round its face once in three seconds."""
    audio_offset: float = 0.0
    """Seconds by which sound comes late; negative for early."""
    pauses: bool = False
    """The sound is off for a third to a half of the clip, at one stretch."""
    noise: bool = False
    """Sensor noise in the picture and hiss in the sound."""
    logo: bool = False
    """A station logo in a corner."""
    brightness_drift: bool = False
    """The exposure drifts over the clip, up or down."""

    def __post_init__(self) -> None:
        if not abs(self.audio_offset) <= _LONGEST_OFFSET:
            raise ValueError(
                f"audio_offset {self.audio_offset}: allowed are -{_LONGEST_OFFSET} to {_LONGEST_OFFSET} s"
            )


@dataclass(frozen=True)
class View:
    """Where a picture looks: a point at (x, y) is shown at 0.5 + zoom * (x - 0.5) + dx, and likewise for y.

    All are f64 `[T]`, in widths for x and heights for y.
    """

    zoom: Curve
    dx: Curve
    dy: Curve

    @classmethod
    def still(cls, frames: int) -> "View":
        return cls(np.ones(frames), np.zeros(frames), np.zeros(frames))


def camera(dice: Dice, frames: int) -> View:
    """A straight, steady pan and zoom that keeps the scene inside the picture."""
    zoom = _ramp(dice.numbers("camera/zoom", 2, 0.78, 0.95), frames)
    pan_x, pan_y = (_ramp(dice.numbers(f"camera/pan-{axis}", 2, -1, 1), frames) for axis in "xy")
    slack = (1 - zoom) / 2
    return View(zoom, slack * pan_x, slack * pan_y)


def scroll(dice: Dice, frames: int, rate: int) -> View:
    """A steady drift of 4 to 8 hundredths of the picture a second, in any direction."""
    speed, angle = dice.number("scroll/speed", 0.04, 0.08), dice.number("scroll/angle", 0, 2 * np.pi)
    path = speed * np.arange(frames) / rate
    return View(np.ones(frames), path * np.cos(angle), path * np.sin(angle))


def drift(dice: Dice, frames: int) -> Curve:
    """Gain of each frame, f64 `[T]`: it changes by a fifth to a half over the clip."""
    span = dice.sign("drift/way") * dice.number("drift/span", 0.2, 0.5)
    return 1 + span * (np.linspace(0, 1, frames) - 0.5)


def add_noise(dice: Dice, frames: Frames) -> Frames:
    """Frames with noise of their own each, `[T, H, W, 3]` in [0, 255]."""
    return frames + _PICTURE_NOISE * dice.field("noise/picture", *frames.shape)


def bars(dice: Dice, height: int, width: int) -> tuple[int, int]:
    """Axis of the picture (0 rows, 1 columns) that has bars at both ends, and their width in pixels."""
    axis = dice.integer("letterbox/axis", 0, 2)
    return axis, max(1, round(dice.number("letterbox/bar", 0.06, 0.14) * (height, width)[axis]))


def letterbox(dice: Dice, frames: Frames, *, specks: bool = False) -> None:
    """Blacken bars of 6 to 14 % of the picture on two opposite sides, in place; with `specks` some pixels are dark grey."""
    axis, bar = bars(dice, *frames.shape[1:3])
    sides = np.moveaxis(frames, 1 + axis, 0)
    still = np.zeros(frames.shape[1:3], np.float32)
    if specks:
        grain = dice.field("letterbox/specks", *still.shape)
        still = np.where(grain > _SPECK, np.clip(8 * grain, 0, _SPECK_LEVEL), 0)
    # Every frame has the same: `[lines, 1, pixels, 1]`.
    lines = np.moveaxis(still, axis, 0)[:, None, :, None]
    sides[:bar], sides[-bar:] = lines[:bar], lines[-bar:]


def logo(dice: Dice, frames: Frames) -> None:
    """Paint a light square with a dark bar, an eighth of the picture's height, into one corner, in place."""
    height, width = frames.shape[1:3]
    side, gap = max(4, height // 8), max(1, height // 24)
    corner = dice.integer("logo/corner", 0, 4)
    top = gap if corner % 2 else height - gap - side
    left = gap if corner < 2 else width - gap - side
    mark = frames[:, top : top + side, left : left + side]
    mark[:] = (235, 235, 225)
    mark[:, side // 3 : 2 * side // 3, side // 6 : -(side // 6)] = (30, 40, 90)


def clock_box(dice: Dice, height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) of the clock in pixels: an eighth of the picture's height, in one of the corners."""
    side, gap = max(8, height // 8), max(1, height // 24)
    corner = dice.integer("clock/corner", 0, 4)
    return gap if corner % 2 else height - gap - side, gap if corner < 2 else width - gap - side, side


def clock(dice: Dice, frames: Frames, rate: int) -> None:
    """Paint a clock whose hand goes round once in three seconds, in place; where it points at frame 0 is drawn."""
    top, left, side = clock_box(dice, *frames.shape[1:3])
    start = dice.number("clock/start", 0, 2 * np.pi)
    turn = start + 2 * np.pi * np.arange(len(frames)) / (_CLOCK_SECONDS * rate)
    about = np.arange(side) - (side - 1) / 2
    down, right = about[:, None], about[None]
    far, wide = (
        down * -np.cos(turn)[:, None, None] + right * np.sin(turn)[:, None, None],
        down * np.sin(turn)[:, None, None] + right * np.cos(turn)[:, None, None],
    )
    hand = (far > -1) & (np.abs(wide) < side / 10)
    frames[:, top : top + side, left : left + side] = np.where(hand[..., None], 20.0, 230.0)


def audible(dice: Dice, wave: NDArray[np.float32], nuisances: Nuisances, rate: int) -> NDArray[np.float32]:
    """The sound with pauses, hiss and offset as asked for; what the offset uncovers is silent."""
    if nuisances.pauses:
        length = round(dice.number("pause/length", 1 / 3, 1 / 2) * len(wave))
        start = round(dice.number("pause/start", 0, 1) * (len(wave) - length))
        wave = wave.copy()
        wave[start : start + length] = 0
    if nuisances.noise:
        hiss = dice.field("noise/sound", *wave.shape)
        wave = np.clip(wave + np.float32(_SOUND_NOISE) * hiss, -1, 1)
    offset = max(-len(wave), min(len(wave), round(nuisances.audio_offset * rate)))
    padding = np.zeros(abs(offset), np.float32)
    if offset >= 0:
        return np.concatenate([padding, wave[: len(wave) - offset]])
    return np.concatenate([wave[-offset:], padding])


def _ramp(ends: Curve, frames: int) -> Curve:
    """From the first of two values to the second, f64 `[T]`."""
    return np.linspace(float(ends[0]), float(ends[1]), frames)
