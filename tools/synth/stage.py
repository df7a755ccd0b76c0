"""The stage that a law of motion plays on, what it hands back, and the paths that several laws share."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.tools.synth.dice import Dice

__all__ = [
    "MARGIN",
    "Curve",
    "Event",
    "Motion",
    "Stage",
    "cycle_starts",
    "fold",
    "locate",
    "squashed",
    "sunk",
    "wander",
]

Curve = NDArray[np.float64]

MARGIN: Final = 1.15
"""Corners reach beyond the radius of the disc of equal size; the walls keep them in the picture."""


@dataclass(frozen=True)
class Event:
    """Something that is heard: a contact, a step, a tick, a pop."""

    seconds: float
    strength: float
    """In (0, 1]."""


@dataclass(frozen=True)
class Stage:
    """Where and when an object may move."""

    dice: Dice
    times: Curve
    """f64 `[T]`, the time of each frame."""
    aspect: float
    """Width of the frame over its height: x runs over [0, aspect], y over [0, 1]."""
    size: float
    """Diameter of the object."""

    @property
    def radius(self) -> float:
        """Distance that the object's centre keeps from the edges."""
        return MARGIN * self.size / 2

    @property
    def seconds(self) -> float:
        return float(2 * self.times[-1] - self.times[-2])

    def cycles(self, shortest: float) -> int:
        """Cycles that certainly fill the clip when none is shorter than `shortest` seconds."""
        return math.ceil(self.seconds / shortest) + 2

    def events(self, seconds: Curve, strengths: Curve | float) -> tuple[Event, ...]:
        """Those events that lie inside the clip."""
        pairs = zip(seconds, np.broadcast_to(strengths, seconds.shape), strict=True)
        return tuple(Event(float(s), float(v)) for s, v in pairs if 0 <= s < self.seconds)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What an object does; every curve is f64 `[T]`, one value a frame."""

    x: Curve
    y: Curve
    """Height of the centre: 0 at the bottom edge, 1 at the top edge."""
    size: Curve
    angle: Curve
    squash: Curve
    """Height of the object over its height at rest; the area stays."""
    phase: Curve
    """Progress through the law's present cycle, in [0, 1)."""
    activity: Curve
    """How loud the motion itself is, in [0, 1]."""
    events: tuple[Event, ...]


def cycle_starts(lengths: Curve, progress: float) -> Curve:
    """When each cycle starts, if the clip begins at `progress` through the first."""
    return np.concatenate([[0.0], np.cumsum(lengths[:-1])]) - progress * lengths[0]


def locate(starts: Curve, times: Curve) -> tuple[NDArray[np.intp], Curve]:
    """The cycle that each time falls in, and the time since its start."""
    cycle = np.searchsorted(starts, times, side="right") - 1
    return cycle, times - starts[cycle]


def fold(path: Curve, low: float, high: float) -> Curve:
    """A straight path reflected between two walls."""
    span = high - low
    return low + span - np.abs((path - low) % (2 * span) - span)


def wander(stage: Stage, law: str, slowest: float, fastest: float) -> Curve:
    """x of something that crosses the picture at a steady speed, in widths a second, and turns at its edges."""
    low, high = stage.radius, stage.aspect - stage.radius
    velocity = (
        stage.dice.sign(f"{law}/way") * stage.dice.number(f"{law}/speed", slowest, fastest) * stage.aspect
    )
    return fold(stage.dice.number(f"{law}/x", low, high) + velocity * stage.times, low, high)


def squashed(since_contact: Curve) -> Curve:
    """Flattened at a contact, round again a fifth of a second later; no contact yet where the time is negative."""
    since = np.where(since_contact >= 0, since_contact, np.inf)
    return 1 - 0.2 * np.exp(-since / 0.07)


def sunk(stage: Stage, squash: Curve) -> Curve:
    """How far a flattened object's centre is lower, so that it still touches the floor."""
    return (1 - squash) * stage.size / 2
