"""Facts about a clip, measured from the one decode of the build: motion, brightness, loudness, silence, content box."""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.shards.sample import frame_to_audio

__all__ = [
    "Box",
    "content_box",
    "fills_frame",
    "loudness_curve",
    "luma_curve",
    "motion_curve",
    "picture_box",
    "silence_spans",
]

Box = tuple[int, int, int, int]

LOUDNESS_FLOOR: Final = -120.0
# A larger change of brightness from one frame to the next is a cut or a flash.
_LARGEST_GAIN: Final = 2.0
# A line of the picture is a bar when its mean and its brightest pixel stay below these (luma, full range): codecs
# blur the border of a bar, and a dark scene has brighter pixels somewhere along each line.
_BAR_MEAN: Final = 6.0
_BAR_MAX: Final = 28.0
# Less than half a side left is a dark film and no letterbox.
_SMALLEST_SHARE: Final = 0.4
# Where a bar ends, this share of the line is picture, within so many lines.
_BORDER_SHARE: Final = 0.4
_BORDER_LINES: Final = 3
# Bars come in pairs: beside a bar that is sure, one of this share of its size is sure as well.
_PAIR_SHARE: Final = 0.75
# A bar on one side only is a fault of the recording and thin; a wide one is part of the scene.
_LONE_SHARE: Final = 0.125


def motion_curve(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference to the frame before, in [0, 255], 0 at frame 0: `[T, h, w]` → f32 `[T]`.

    Both frames are brought to one mean brightness first, within a factor of two: a lamp that flickers and a camera that
    sets its exposure do not move.
    """
    motion = np.zeros(len(grey), np.float32)
    pictures = grey.astype(np.float32)
    means = np.maximum(pictures.mean(axis=(1, 2), keepdims=True), 1.0)
    gains = np.clip(means[:-1] / means[1:], 1 / _LARGEST_GAIN, _LARGEST_GAIN)
    motion[1:] = np.abs(pictures[1:] * gains - pictures[:-1]).mean(axis=(1, 2))
    return motion


def luma_curve(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean brightness of each frame, in [0, 255]: `[T, h, w]` → f32 `[T]`."""
    return grey.mean(axis=(1, 2), dtype=np.float32)


def loudness_curve(
    sound: NDArray[np.int16], frames: int, frame_rate: Fraction, rate: int
) -> NDArray[np.float32]:
    """RMS level of the sound beside each frame in dBFS, over all channels, not below -120: i16 `[N, C]` → f32 `[frames]`."""
    starts = np.array([frame_to_audio(frame, rate, frame_rate) for frame in range(frames)])
    lengths = np.diff(starts, append=len(sound))
    power = np.add.reduceat(((sound / 32768.0) ** 2).mean(axis=1), starts) / lengths
    return np.maximum(10 * np.log10(power + 1e-30), LOUDNESS_FLOOR).astype(np.float32)


def silence_spans(sound: NDArray[np.int16], *, level: float, shortest: int) -> tuple[tuple[int, int], ...]:
    """Ascending (start, stop) spans of `shortest` samples or more, all channels of i16 `[N, C]` below `level` dBFS."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)).max(axis=1) >= 32768 * 10 ** (level / 20))
    starts = np.concatenate([[0], loud + 1])
    stops = np.concatenate([loud, [len(sound)]])
    long = stops - starts >= shortest
    return tuple(zip(starts[long].tolist(), stops[long].tolist(), strict=True))


def fills_frame(picture: NDArray) -> bool:
    """True where a grey picture `[h, w]` reaches all four borders: it has no bars."""
    return all(_lit_lines(picture, axis)[[0, -1]].all() for axis in (0, 1))


def picture_box(brightest: NDArray) -> Box | None:
    """(left, top, right, bottom) of what is no black bar, right and bottom exclusive; None where there are no bars.

    Args:
        brightest: `[h, w]`, full range, the brightest value of each pixel in several pictures of one source. A bar stays
            black in all of them, and the picture begins along a straight line: a bright thing on a dark ground has no bars.
    """
    top, bottom = _inner_span(brightest)
    left, right = _inner_span(brightest[top:bottom].T)
    height, width = brightest.shape
    return None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom)


def content_box(luma: NDArray[np.uint8]) -> Box | None:
    """The `picture_box` of a whole clip `[T, h, w]`, luma of limited range, in stored pixels; None: no bars are left."""
    brightest = luma.max(axis=0).astype(np.float32)
    return picture_box((brightest - 16) * (255 / 219))


def _inner_span(picture: NDArray) -> tuple[int, int]:
    """(first, stop) of the rows that are no bars."""
    lit = np.flatnonzero(_lit_lines(picture, 1))
    rows = len(picture)
    if not len(lit) or lit[-1] + 1 - lit[0] < _SMALLEST_SHARE * rows:
        return 0, rows
    first, stop = int(lit[0]), int(lit[-1]) + 1
    bars = (first, rows - stop)
    borders = (picture[first : first + _BORDER_LINES], picture[stop - _BORDER_LINES : stop])
    straight = [bool((lines.max(axis=0) > _BAR_MAX).mean() >= _BORDER_SHARE) for lines in borders]
    sure = [bar > 0 and line for bar, line in zip(bars, straight, strict=True)]
    if all(sure) or (any(sure) and min(bars) >= _PAIR_SHARE * max(bars)):
        return first, stop
    thin = [bar if ok and bar <= _LONE_SHARE * rows else 0 for bar, ok in zip(bars, sure, strict=True)]
    return thin[0], rows - thin[1]


def _lit_lines(picture: NDArray, axis: int) -> NDArray[np.bool_]:
    return (picture.mean(axis=axis) > _BAR_MEAN) | (picture.max(axis=axis) > _BAR_MAX)
