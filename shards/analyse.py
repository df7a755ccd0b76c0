"""Facts about a clip, measured from the one decode of the build: motion, brightness, loudness, silence, content box."""

from collections.abc import Iterable
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
# A line of the picture is a bar when its mean and its brightest pixel stay below these (luma, full range): codecs
# blur the border of a bar, and a dark scene has brighter pixels somewhere along each line.
_BAR_MEAN: Final = 6.0
_BAR_MAX: Final = 28.0
# Less than half a side left is a dark film and no letterbox.
_SMALLEST_SHARE: Final = 0.4


def motion_curve(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference to the frame before, in [0, 255], 0 at frame 0: `[T, h, w]` → f32 `[T]`."""
    difference = np.abs(np.diff(grey.astype(np.int16), axis=0)).mean(axis=(1, 2), dtype=np.float32)
    return np.concatenate([np.zeros(1, np.float32), difference])


def luma_curve(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean brightness of each frame, in [0, 255]: `[T, h, w]` → f32 `[T]`."""
    return grey.mean(axis=(1, 2), dtype=np.float32)


def loudness_curve(
    sound: NDArray[np.int16], frames: int, frame_rate: Fraction, rate: int
) -> NDArray[np.float32]:
    """RMS level of the sound beside each frame in dBFS, not below -120: i16 `[N]` → f32 `[frames]`."""
    starts = np.array([frame_to_audio(frame, rate, frame_rate) for frame in range(frames)])
    lengths = np.diff(starts, append=len(sound))
    power = np.add.reduceat((sound / 32768.0) ** 2, starts) / lengths
    return np.maximum(10 * np.log10(power + 1e-30), LOUDNESS_FLOOR).astype(np.float32)


def silence_spans(sound: NDArray[np.int16], *, level: float, shortest: int) -> tuple[tuple[int, int], ...]:
    """Ascending (start, stop) spans of at least `shortest` samples that all stay below `level` dBFS."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) >= 32768 * 10 ** (level / 20))
    starts = np.concatenate([[0], loud + 1])
    stops = np.concatenate([loud, [len(sound)]])
    long = stops - starts >= shortest
    return tuple(zip(starts[long].tolist(), stops[long].tolist(), strict=True))


def fills_frame(picture: NDArray) -> bool:
    """True where a grey picture `[h, w]` reaches all four borders: it has no bars."""
    return all(_lit(picture, axis)[[0, -1]].all() for axis in (0, 1))


def picture_box(pictures: Iterable[NDArray]) -> Box | None:
    """(left, top, right, bottom) of the part that is not black bars in any of some grey pictures `[h, w]`.

    Right and bottom are exclusive. None where there are no bars, or nothing that could be a picture between them.
    """
    rows: NDArray[np.bool_] | bool = False
    columns: NDArray[np.bool_] | bool = False
    shape = (0, 0)
    for picture in pictures:
        rows, columns, shape = rows | _lit(picture, 1), columns | _lit(picture, 0), picture.shape
    lit = [np.flatnonzero(lines) for lines in (columns, rows)]
    if not len(lit[0]) or not len(lit[1]):
        return None
    (left, top), (right, bottom) = (int(line[0]) for line in lit), (int(line[-1]) + 1 for line in lit)
    height, width = shape
    large = right - left >= _SMALLEST_SHARE * width and bottom - top >= _SMALLEST_SHARE * height
    return (
        (left, top, right, bottom) if large and (left, top, right, bottom) != (0, 0, width, height) else None
    )


def _lit(picture: NDArray, axis: int) -> NDArray[np.bool_]:
    return (picture.mean(axis=axis) > _BAR_MEAN) | (picture.max(axis=axis) > _BAR_MAX)


def content_box(luma: NDArray[np.uint8]) -> Box | None:
    """The `picture_box` of a whole clip `[T, h, w]`, luma of limited range, in stored pixels; None: no bars are left."""
    brightest = luma.max(axis=0).astype(np.float32)
    return picture_box([(brightest - 16) * (255 / 219)])
