"""A plan: which frames, which window and which sound of one sample are decoded. Integers only, made without a pixel."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets, Sidecar

__all__ = ["Plan", "Span", "Window", "check_plan", "decode_cost", "decode_runs", "frame_step"]


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the stored picture, in pixels. All rows of a batch share its height and width."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of sound, in audio samples from the sample's start."""

    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to decode of one sample.

    Attributes:
        frames: i32 `[T]` frame indices in the order in which the batch holds them; repeats are allowed.
        window: the part of each frame that is kept; None where the task takes no picture.
        sound: the stretch of sound that is kept; None where the task takes no sound.
        facts: numbers by which an audit may try to cheat (gaps, start time, audio phase) and decisions that
            `build` needs; each is a scalar or an array of one shape for all rows of a task.
    """

    frames: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    window: Window | None = None
    sound: Span | None = None
    facts: Mapping[str, NDArray | float | int] = field(default_factory=dict)


def check_plan(plan: Plan, sidecar: Sidecar) -> None:
    """Hold a plan against the sample before anything is decoded; decoders answer out-of-range indices with black.

    Raises:
        PlanImpossible: a frame, the window or the sound lies outside the sample, or the member is missing.
    """
    if len(plan.frames):
        _check_picture(plan, sidecar)
    if plan.sound is not None:
        _check_sound(plan.sound, sidecar)


def _check_picture(plan: Plan, sidecar: Sidecar) -> None:
    video = sidecar.video or sidecar.image
    if video is None:
        raise PlanImpossible(f"sample {sidecar.key}: the plan asks for frames and the sample has no picture")
    # Tens of indices: a list is quicker than two reductions of numpy.
    indices = plan.frames.tolist()
    frames = 1 if sidecar.video is None else sidecar.video.frames
    if min(indices) < 0 or max(indices) >= frames:
        wanted = f"{min(indices)} … {max(indices)}"
        raise PlanImpossible(f"sample {sidecar.key}: frames {wanted} asked for, it has {frames}")
    window = plan.window
    if window is None:
        raise PlanImpossible(f"sample {sidecar.key}: the plan asks for frames and names no window")
    inside = window.top >= 0 and window.left >= 0
    if not inside or window.top + window.height > video.height or window.left + window.width > video.width:
        raise PlanImpossible(f"sample {sidecar.key}: {window} does not fit in {video.width}x{video.height}")


def _check_sound(sound: Span, sidecar: Sidecar) -> None:
    audio = sidecar.audio
    if audio is None:
        raise PlanImpossible(f"sample {sidecar.key}: the plan asks for sound and the sample has none")
    if sound.start < 0 or sound.start + sound.length > audio.samples:
        wanted = f"[{sound.start}, {sound.start + sound.length})"
        raise PlanImpossible(
            f"sample {sidecar.key}: audio samples {wanted} asked for, it has {audio.samples}"
        )


def decode_cost(frames: NDArray[np.int32], packets: Packets) -> int:
    """Frames that a decoder must produce to show `frames`, starting each run at its nearest key frame."""
    return sum(stop - start for start, stop in decode_runs(frames, packets))


def decode_runs(frames: NDArray[np.int32], packets: Packets) -> list[tuple[int, int]]:
    """Half-open packet runs, ascending, each starting at a key frame, that together show all of `frames`.

    Frames of one GOP, and of neighbouring GOPs that the run reaches anyway, share a run.
    """
    keys = packets.key_frames.tolist()
    runs: list[tuple[int, int]] = []
    for frame in sorted(set(frames.tolist())):
        start = keys[bisect_right(keys, frame) - 1]
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((start, frame + 1))
    return runs


def frame_step(seconds: Fraction, rate: Fraction) -> int:
    """Frames in `seconds` at `rate` frames a second, at least 1: steps are given in time so that rates can mix."""
    return max(1, round(seconds * rate))
