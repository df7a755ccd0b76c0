"""Two moments of one clip, for a sound that is to be heard at another time than its own.

A sound that is always taken from later in the file, or only from where there is room, is told by its place: fades,
titles and endings lie at the ends. Here both moments are chosen together, evenly among all pairs that are allowed, in
both directions; positives take the first moment of such a pair as well. So the pictures of both classes come from the same
places, and the sounds too: swapping the members of a pair gives another allowed pair.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.pipelines.guards.silence import sounding_share
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["Moments", "choose_moment", "choose_pair", "moments_of"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Where a stretch of picture and sound can start in a sample.

    Attributes:
        starts: i64 `[K]`, the audio sample at the time of frame k; both stretches have room behind it.
        sounding: f64 `[K]`, the share of the sound that is not silent.
        allowed: bool `[K]`.
        frames: how many frames long a stretch is.
        length: how many audio samples long it is.
    """

    starts: NDArray[np.int64]
    sounding: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    frames: int
    length: int


def moments_of(
    sidecar: Sidecar, *, task: str, seconds: float, audio_rate: int, min_sound: float, scene_cuts: bool
) -> Moments:
    """The moments of a sample with picture and sound at which `seconds` of both can start.

    Raises:
        PlanImpossible: picture or sound is missing, the sound has another rate, or no moment is allowed.
    """
    video, audio = sidecar.video, sidecar.audio
    if video is None or audio is None or audio.rate != audio_rate:
        found = f"{audio.rate} Hz" if audio else "no sound"
        raise PlanImpossible(
            f"sample {sidecar.key}: {task} takes picture and sound of {audio_rate} Hz, "
            f"found {'a' if video else 'no'} picture and {found}"
        )
    frames, length = round(seconds * video.frame_rate), round(seconds * audio_rate)
    starts = _starts(video.frames, frames, audio.samples, length, audio_rate, video.frame_rate)
    if not len(starts):
        raise PlanImpossible(
            f"sample {sidecar.key}: {video.frames} frames hold no {seconds:g} s of picture and sound"
        )
    sounding = sounding_share(sidecar.facts.silence, starts, length)
    cuts = sidecar.facts.cuts if scene_cuts else ()
    uncut = uncut_starts(cuts, frames=video.frames, span=frames)[: len(starts)]
    if not (allowed := uncut & (sounding >= min_sound)).any():
        raise PlanImpossible(
            f"sample {sidecar.key}: no {seconds:g} s of it lie within a scene (cuts at {list(cuts)}) and are "
            f"{min_sound:.0%} above silence; shorten the stretch or lower min_sound"
        )
    return Moments(starts, sounding, allowed, frames, length)


def choose_moment(allowed: NDArray[np.bool_], at: float) -> int:
    """One of the allowed moments, evenly, by `at` in [0, 1)."""
    found = np.flatnonzero(allowed)
    return int(found[int(at * len(found))])


def choose_pair(
    allowed: NDArray[np.bool_], *, low: int, high: int, at: float, both_ways: bool = True
) -> tuple[int, int] | None:
    """Two allowed moments that lie `low` ≥ 1 to `high` frames apart, evenly among all such pairs.

    Args:
        at: chooses the pair, in [0, 1).
        both_ways: the guard; without it the second moment is always the later one, as naive samplers have it.

    Returns:
        The picture's moment and the sound's; None when there is no such pair.
    """
    shift = np.arange(len(allowed)) - np.arange(len(allowed))[:, None]
    far = (np.abs(shift) if both_ways else shift) >= low
    pairs = np.flatnonzero(far & (np.abs(shift) <= high) & allowed & allowed[:, None])
    if not len(pairs):
        return None
    first, second = divmod(int(pairs[int(at * len(pairs))]), len(allowed))
    return first, second


def _starts(
    frames: int, span: int, samples: int, length: int, audio_rate: int, frame_rate: Fraction
) -> NDArray[np.int64]:
    """The audio sample at the time of each frame that leaves room for both stretches; none reaches over an end."""
    ticks = np.arange(max(frames - span + 1, 0), dtype=np.float64) * audio_rate * frame_rate.denominator
    starts = np.rint(ticks / frame_rate.numerator).astype(np.int64)
    return starts[starts <= samples - length]
