"""Frame rates: is a source constant, at which rate is its sample stored, and which source frame does each frame show."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unreel.shards.making.profiles import Profile

__all__ = ["Grid", "find_grid", "shown_frames", "storage_rate"]

_STANDARD: Final = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
# Containers state rates such as 23.976 or 29.97003: a rate this near a standard one is meant to be that one.
_SAME_RATE: Final = Fraction(1, 20_000)
# Encoders leave out a frame now and then; FFmpeg's `fps` filter repeats the one before.
_MOST_OF: Final = 0.95
# Frames by which a time may be off beside its rounding; a guess from the last stamped frame on is some units off.
_SLACK: Final = 1e-3
_GUESSED_SLACK: Final = 0.02
# Phones record 30.02 frames a second; half of that would be a poor sample.
_RATE_SLACK: Final = Fraction(101, 100)


class Grid(NamedTuple):
    """The constant rate of a source."""

    rate: Fraction
    """Frames per second."""
    regular: bool
    """True where there are as many packets as places, so that frames can be counted instead of timed."""


def find_grid(
    times: NDArray[np.int64],
    time_base: Fraction,
    declared: Iterable[Fraction | None],
    *,
    guessed: bool = False,
) -> Grid | None:
    """The grid of one rate that the frames lie on; None for a variable rate.

    Args:
        times: i64 `[N]`, ascending presentation times in units of `time_base`, N > 1.
        time_base: seconds in one unit.
        declared: rates that the container states; None and 0 are left out.
        guessed: FFmpeg adds up whole units where the container does not time each frame.
    """
    elapsed = times - times[0]
    stated = [_standard(rate) for rate in declared if rate]
    mean = _standard(Fraction(len(times) - 1) / (int(elapsed[-1]) * time_base)) if elapsed[-1] > 0 else None
    candidates = (*stated, *_STANDARD, *([mean] if mean else []))
    slack = _GUESSED_SLACK if guessed else _SLACK
    grids = (_grid(elapsed, time_base, rate, slack) for rate in candidates)
    return next((grid for grid in grids if grid is not None), None)


def _standard(rate: Fraction) -> Fraction:
    near = min(_STANDARD, key=lambda standard: abs(standard - rate))
    return near if abs(near - rate) <= rate * _SAME_RATE else rate.limit_denominator(1001)


def _grid(elapsed: NDArray[np.int64], time_base: Fraction, rate: Fraction, slack: float) -> Grid | None:
    exact = elapsed * float(time_base * rate)
    frame = np.rint(exact)
    # Time stamps are rounded or cut to whole units: one unit off is on the grid. VP8 and VP9 have hidden packets
    # beside the grid or on a frame's own place.
    aligned = frame[np.abs(exact - frame) <= min(0.4, 1.02 * float(time_base * rate) + slack)]
    filled = len(np.unique(aligned)) >= _MOST_OF * (frame[-1] + 1)
    if not filled or len(aligned) < _MOST_OF * len(frame):
        return None
    # MPEG program streams do not time each frame: now and then a place is empty and the next has two.
    return Grid(rate, regular=bool(np.abs(frame - np.arange(len(frame))).max() <= 1))


def storage_rate(constant: Fraction | None, mean: Fraction, profile: Profile) -> tuple[Fraction, int]:
    """(frames per second of the sample, n of "every n-th source frame is kept").

    A constant rate is kept, or divided by an integer: 30 → 25 would drop every sixth frame, a judder that tells the
    order of frames. A variable rate, of which `mean` is the mean, becomes the nearest of the profile's.
    """
    if constant is not None:
        step = -(-constant // (profile.max_rate * _RATE_SLACK))
        return constant / step, int(step)
    choices = [Fraction(*rate) for rate in profile.variable_rates]
    return min(choices, key=lambda rate: abs(rate - mean)), 1


def shown_frames(seconds: NDArray[np.float64], rate: Fraction, frames: int) -> NDArray[np.intp]:
    """Which decoded source frame each stored frame shows, as FFmpeg's `fps` filter chooses: i64 `[frames]`.

    Args:
        seconds: f64 `[N]`, times of the frames that the filter sees; the first is the origin.
        rate, frames: of the sample.
    """
    slots = np.floor((seconds - seconds[0]) * float(rate) + 0.5)
    return np.clip(np.searchsorted(slots, np.arange(frames), side="right") - 1, 0, len(seconds) - 1)
