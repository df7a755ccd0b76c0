"""A world: every clip's factors, drawn from (seed, clip index) alone, and the motion that follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from unreel.tools.synth.dice import Dice, dealt
from unreel.tools.synth.laws import ARROW, LAWS
from unreel.tools.synth.look import BACKGROUNDS, SHAPES
from unreel.tools.synth.nuisances import Nuisances, View, camera
from unreel.tools.synth.sound import VOICES, pitch_of
from unreel.tools.synth.stage import Motion, Stage

__all__ = [
    "MATERIALS",
    "SPLITS",
    "VERSION",
    "Clip",
    "Material",
    "World",
    "clip_of",
    "indices",
    "labels",
    "seen",
    "tracks",
]

VERSION: Final = 1
"""Raised whenever a world of the same seed would come out differently."""

SPLITS: Final = ("all", "train", "val")

_HELD_OUT: Final = 5
"""Every fifth clip is in the split `val`."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the bytes of a world, as `world.json` holds it.

    Raises ValueError for sizes, rates and counts that cannot be written.
    """

    seed: int
    clips: int
    """Clips of the whole world, written or not."""
    frames: int
    """Frames in a clip."""
    rate: int
    """Frames a second."""
    width: int
    height: int
    audio_rate: int = 48_000
    objects: bool = True
    """False for the twin: the same clips and sound, with the objects left out of the picture."""
    split: str = "all"
    """Which of the clips are written: one of `SPLITS`."""
    nuisances: Nuisances = Nuisances()
    version: int = VERSION

    def __post_init__(self) -> None:
        _check("clips", self.clips, 1, 99_999)
        _check("rate", self.rate, 5, 120)
        _check("frames (seconds * rate)", self.frames, 2, 100_000)
        for name, pixels in (("width", self.width), ("height", self.height)):
            _check(name, pixels, 32, 1024)
            if pixels % 2:
                raise ValueError(
                    f"{name} {pixels}: H.264 with 4:2:0 colour takes even sizes; use {pixels + 1}"
                )
        if not indices(self):
            raise ValueError(f"split 'val' of {self.clips} clips is empty: {_HELD_OUT} clips give the first")
        if self.width < self.height:
            raise ValueError(
                f"size {self.width}x{self.height}: the world is never taller than wide; swap the two"
            )


@dataclass(frozen=True)
class Material:
    """What a sound class looks like."""

    texture: str
    hue: float


MATERIALS: Final[Mapping[str, Material]] = {
    "metal": Material("solid", 0.57),
    "wood": Material("stripes", 0.07),
    "rubber": Material("checks", 0.95),
    "glass": Material("dots", 0.43),
    "sand": Material("grain", 0.16),
    "water": Material("rings", 0.74),
}
"""Sound class → look: an object's texture and colour say how it sounds."""


@dataclass(frozen=True)
class Clip:
    """The factors of one clip. The background knows nothing of the object, its law or its sound."""

    dice: Dice
    law: str
    shape: str
    sound_class: str
    background: str
    size: float
    """Diameter over the frame's height."""
    hue: float
    motion: Motion

    @property
    def texture(self) -> str:
        return MATERIALS[self.sound_class].texture


def indices(world: World) -> list[int]:
    """The clips that are written, ascending."""
    return [index for index in range(world.clips) if world.split in ("all", _split(index))]


def clip_of(world: World, index: int) -> Clip:
    """Clip `index` of the world: laws, shapes, sound classes and backgrounds are balanced and independent."""
    dice = Dice(world.seed, index)
    law, shape, sound_class, background = (
        tuple(choices)[dealt(dice, purpose, len(choices))]
        for purpose, choices in (
            ("law", LAWS),
            ("shape", SHAPES),
            ("sound class", MATERIALS),
            ("background", BACKGROUNDS),
        )
    )
    size = dice.number("size", 0.22, 0.36)
    times = np.arange(world.frames) / world.rate
    motion = LAWS[law](Stage(dice, times, world.width / world.height, size))
    hue = MATERIALS[sound_class].hue + dice.number("hue", -0.02, 0.02)
    return Clip(dice, law, shape, sound_class, background, size, hue, motion)


def seen(world: World, clip: Clip) -> View:
    """The camera's view over the scene; it stands still unless the nuisance is on."""
    return camera(clip.dice, world.frames) if world.nuisances.camera else View.still(world.frames)


def labels(world: World, clip: Clip) -> dict[str, str | int | float]:
    """One value a clip."""
    return {
        "split": _split(clip.dice.clip),
        "law": clip.law,
        "arrow": ARROW[clip.law],
        "shape": clip.shape,
        "texture": clip.texture,
        "sound_class": clip.sound_class,
        "background": clip.background,
        "size": round(clip.size, 4),
        "pitch": round(float(pitch_of(VOICES[clip.sound_class], clip.size)), 1),
    }


def tracks(world: World, clip: Clip) -> dict[str, np.ndarray]:
    """One value a frame, f64 `[T]`: what the picture shows, camera included.

    `x` runs from 0 (left edge) to 1 (right edge), `y` is the height from 0 (bottom) to 1 (top), both of the object's
    centre; `size` is its diameter over the frame's height; `phase` the progress through the law's cycle in [0, 1);
    `event` the strength of the strike that begins during the frame, 0 where none does.
    """
    motion, view = clip.motion, seen(world, clip)
    event = np.zeros(world.frames)
    for strike in motion.events:
        event[int(strike.seconds * world.rate)] = strike.strength
    return {
        "x": 0.5 + view.zoom * (motion.x * world.height / world.width - 0.5) + view.dx,
        "y": 0.5 + view.zoom * (motion.y - 0.5) + view.dy,
        "size": view.zoom * motion.size,
        "phase": motion.phase,
        "event": event,
    }


def _split(index: int) -> str:
    return "val" if index % _HELD_OUT == _HELD_OUT - 1 else "train"


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
