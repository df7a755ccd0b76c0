"""Do two samples show the same moment? Hashes say where one may lie in the other; sound or motion over time confirms it."""

from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.care.near import LARGEST_DISTANCE
from unreel.shards.sample import STEP_RATE, Sidecar

__all__ = ["Likeness", "Trace", "agreement", "trace_of"]

_SLACK: Final = STEP_RATE // 2 + 1
"""Hashes are a second apart: the true offset may be half a second away from theirs, in steps."""
_SHORTEST: Final = STEP_RATE - 1
"""Steps that two curves must share to be compared."""
_QUIETEST: Final = -60.0
_QUIET: Final = 0.35
"""Mean motion, in levels, below which most of it is noise of the encoder."""
_LEAST_MOTION: Final = 0.05
_LEAST_LOUDNESS: Final = 1.0
"""Standard deviations (of the logarithm, of dB) below which a curve is flat: what is left is the encoder's noise."""


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """When a sample counts as a copy of another.

    Raises:
        ValueError: a number is out of range, by name.
    """

    distance: int = 6
    """Bits of 64 in which the hashes of two seconds may differ. Measured: encoding anew, another size, other brightness
    and 0.4 s of offset stay within 4; cutting off 6 % of the picture takes 4 to 12."""
    share: float = 0.8
    """Share of the shorter sample's seconds that the longer one has to show, all at one offset."""
    motion: float = 0.85
    """Correlation of the motion curves from which two samples move alike; 0 asks the hashes alone where sound does
    not decide. One camera and one speaker give hashes as near as copies do, and other motion."""
    sound: float = 0.95
    """The same of the loudness, which decides where both have sound: encoding anew leaves 0.99 and more, other sentences of
    one speaker reach 0.90."""

    def __post_init__(self) -> None:
        if not 0 <= self.distance <= LARGEST_DISTANCE:
            raise ValueError(f"distance {self.distance}: allowed is 0 to {LARGEST_DISTANCE} bits of 64")
        for name in ("share", "motion", "sound"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)}: allowed is 0 to 1")
        if self.share == 0:
            raise ValueError("share 0.0: every sample is a copy then; allowed is more than 0 and at most 1")


class Trace(msgspec.Struct, frozen=True):
    """How a sample moves and sounds over time, both f32 at `STEP_RATE` a second; empty where it does not."""

    motion: NDArray[np.float32]
    loudness: NDArray[np.float32]
    quiet: bool = False
    """So little moves that the curve is mostly the noise of the source's encoder."""
    start: int = 0
    """Step of the source at which the sample begins."""


def trace_of(sidecar: Sidecar) -> Trace:
    """The curves of a sample, made comparable: one rate, no spikes of single key frames, motion as its logarithm."""
    facts, none = sidecar.facts, np.zeros(0, np.float32)
    rate = sidecar.video.frame_rate if sidecar.video else Fraction(STEP_RATE)
    motion = facts.motion_curve
    if len(motion) > 1:
        # Frame 0 has no frame before it.
        motion = np.log(_smooth(np.concatenate([motion[1:2], motion[1:]])) + 0.1)
    loudness = np.maximum(facts.loudness_curve, _QUIETEST)
    return Trace(
        _at_steps(motion, rate) if len(motion) > 1 else none,
        _at_steps(loudness, rate),
        quiet=len(motion) > 0 and float(facts.motion_curve.mean()) < _QUIET,
        start=round(sidecar.source.start_frame / rate * STEP_RATE),
    )


def agreement(one: Trace, other: Trace, offset: int, likeness: Likeness) -> bool:
    """Whether two samples agree over time, where second 0 of `one` is about second `offset` of `other`.

    Where both have sound that is not flat it decides, else motion. Two that stand still agree; one that stands still and one
    that moves do not. Two that hardly move do not agree at one place of their files: an encoder's noise has the same rhythm
    from the start of every file.
    """
    if not (_flat(one.loudness, _LEAST_LOUDNESS) or _flat(other.loudness, _LEAST_LOUDNESS)):
        return _correlation(one.loudness, other.loudness, offset * STEP_RATE)[0] >= likeness.sound
    if likeness.motion == 0:
        return True
    flat = [_flat(trace.motion, _LEAST_MOTION) for trace in (one, other)]
    if any(flat):
        return all(flat)
    found, lag = _correlation(one.motion, other.motion, offset * STEP_RATE)
    same_place = abs(one.start - other.start - lag) <= 1
    return found >= likeness.motion and not (one.quiet and other.quiet and same_place)


def _flat(curve: NDArray[np.float32], spread: float) -> bool:
    return len(curve) < _SHORTEST or float(curve.std()) < spread


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32], offset: int) -> tuple[float, int]:
    """The largest correlation of the part that both have, over offsets around `offset`, and its offset."""
    found = []
    for lag in range(offset - _SLACK, offset + _SLACK + 1):
        first, stop = max(0, -lag), min(len(one), len(other) - lag)
        if stop - first >= _SHORTEST:
            found.append((_pearson(one[first:stop], other[first + lag : stop + lag]), lag))
    return max(found, default=(0.0, offset))


def _pearson(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / length if length > 0 else 0.0


def _smooth(curve: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of three: a key frame whose quality jumps is one frame of false motion."""
    padded = np.pad(curve, 1, mode="edge")
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)


def _at_steps(curve: NDArray[np.float32], rate: Fraction) -> NDArray[np.float32]:
    if not len(curve):
        return np.zeros(0, np.float32)
    steps = np.arange(round(len(curve) / rate * STEP_RATE))
    return np.interp(steps * float(rate / STEP_RATE), np.arange(len(curve)), curve).astype(np.float32)
