"""The geometry of a source: turned as the container asks, stable bars cut off, scaled to the profile's size."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.shards.errors import MediaRefused
from unreel.shards.making.analyse import Box, fills_frame, picture_box
from unreel.shards.making.profiles import Profile

__all__ = ["letterbox", "stored_size"]

# A letterbox is judged on so many pictures spread over the source, but only where the first one has bars.
_PICTURES: Final = 9
# Up to this length all pictures are decoded to find them; of longer sources the key frames nearest are good enough.
_DECODED_THROUGH_SECONDS: Final = 30.0


def letterbox(
    container: InputContainer, stream: VideoStream, first: VideoFrame, seconds: float
) -> Box | None:
    """The part without bars that stay black all through the source; one picture that fills its frame settles it."""
    if fills_frame(_grey(first)):
        return None
    brightest = _grey(first)
    for frame in _spread_pictures(container, stream, first, seconds):
        if (frame.width, frame.height) == (first.width, first.height):
            brightest = np.maximum(brightest, _grey(frame))
        if fills_frame(brightest):
            return None
    box = picture_box(brightest)
    return None if box is None else _even(box, *_turned_size(first))


def _spread_pictures(
    container: InputContainer, stream: VideoStream, first: VideoFrame, seconds: float
) -> Iterator[VideoFrame]:
    """Some pictures from all over the source: of a short one exactly, of a long one the key frames nearest."""
    start = first.pts or 0
    spacing = seconds / _PICTURES / (stream.time_base or Fraction(1, av.time_base))
    exact = seconds <= _DECODED_THROUGH_SECONDS
    if exact:
        container.seek(start, stream=stream)
    frames = container.decode(stream)
    for part in range(_PICTURES):
        due = start + int((part + 0.5) * spacing)
        if not exact:
            container.seek(due, stream=stream)
            frames = container.decode(stream)
        yield next((frame for frame in frames if not exact or (frame.pts or 0) >= due), first)


def _grey(frame: VideoFrame) -> NDArray[np.uint8]:
    # The default starts threads for each picture: 3 ms instead of a tenth.
    return np.rot90(frame.reformat(format="gray", threads=1).to_ndarray(), quarter_turns(frame))


def quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that the container asks for."""
    if frame.rotation % 90:
        raise MediaRefused("rotation", f"turned by {frame.rotation} degrees; multiples of 90 can be applied")
    return int(frame.rotation) // 90


def _turned_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) as displayed, pixels not yet made square."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


def _even(box: Box, width: int, height: int) -> Box | None:
    """The box shrunk to even numbers, which subsampled chroma can be cut at; None where nothing is cut."""
    left, top, right, bottom = box
    left, top = left + left % 2, top + top % 2
    right = right if right == width else right - right % 2
    bottom = bottom if bottom == height else bottom - bottom % 2
    return None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom)


def stored_size(
    frame: VideoFrame, stream: VideoStream, crop: Box | None, profile: Profile
) -> tuple[int, int]:
    left, top, right, bottom = crop or (0, 0, *_turned_size(frame))
    pixel = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    width = (right - left) * (1 / pixel if quarter_turns(frame) % 2 else pixel)
    height = Fraction(bottom - top)
    shorter, longer = sorted((width, height))
    if min(right - left, bottom - top) < profile.min_source_side:
        raise MediaRefused(
            "too-small", f"{right - left}x{bottom - top}; the shorter side must be {profile.min_source_side}"
        )
    if longer > shorter * Fraction(profile.max_aspect):
        raise MediaRefused(
            "too-wide",
            f"aspect {float(longer / shorter):.1f}; profile {profile.name} takes {profile.max_aspect}",
        )
    scale = profile.side / shorter / profile.multiple
    stored = [max(1, round(side * scale)) * profile.multiple for side in (width, height)]
    return stored[0], stored[1]
