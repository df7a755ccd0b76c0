"""All facts of a clip from its decoded picture and sound: the build and later measurements share this code."""

from collections.abc import Collection
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.making.analyse import (
    content_box,
    loudness_curve,
    luma_curve,
    motion_curve,
    picture_box,
    silence_spans,
)
from unreel.shards.making.hashes import picture_hashes
from unreel.shards.making.overlay import overlay_box
from unreel.shards.sample import Facts, pack_column

__all__ = [
    "FACTS",
    "PICTURE_FACTS",
    "SOUND_FACTS",
    "STILL_FACTS",
    "picture_facts",
    "sound_facts",
    "still_facts",
    "take_facts",
]

PICTURE_FACTS: Final = ("motion", "luma", "cuts", "content_box", "overlay_box", "hashes")
STILL_FACTS: Final = ("luma", "content_box", "hashes")
SOUND_FACTS: Final = ("loudness", "silence")
FACTS: Final = (*PICTURE_FACTS, *SOUND_FACTS)
"""Every fact by the name of its field, in the order in which `Facts.measured` lists them."""

# ITU-R BT.601, as JPEG counts brightness.
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


def picture_facts(luma: NDArray[np.uint8], grey: NDArray[np.uint8], rate: Fraction) -> Facts:
    """The facts of a picture but for its cuts, which are known when the whole source is decoded.

    Args:
        luma: uint8 `[T, H, W]`, limited range, as stored.
        grey: uint8 `[T, H / 4, W / 4]`, full range.
        rate: frames per second.
    """
    return Facts(
        measured=PICTURE_FACTS,
        motion=pack_column("motion", motion_curve(grey)),
        luma=pack_column("luma", luma_curve(grey)),
        content_box=content_box(luma),
        overlay_box=overlay_box(luma),
        hashes=pack_column("hashes", picture_hashes(grey, rate)),
    )


def still_facts(pixels: NDArray[np.uint8]) -> Facts:
    """The facts of a still picture, uint8 `[H, W, 3]`."""
    luma = pixels @ _LUMA
    return Facts(
        measured=STILL_FACTS,
        luma=pack_column("luma", luma.mean(keepdims=True)[0]),
        content_box=picture_box(luma),
        hashes=pack_column("hashes", picture_hashes(luma[None].astype(np.uint8), Fraction(1))),
    )


def sound_facts(
    sound: NDArray[np.int16], audio_rate: int, *, level: float, seconds: float, frames: int, rate: Fraction
) -> Facts:
    """The facts of a sound, int16 `[N, C]`.

    Args:
        level, seconds: `silence_level` and `silence_seconds` of the profile.
        frames, rate: of the picture beside it; where there is none, steps and their rate. 0 leaves loudness out.
    """
    silence = silence_spans(sound, level=level, shortest=round(seconds * audio_rate))
    if not frames:
        return Facts(measured=("silence",), silence=silence)
    loudness = pack_column("loudness", loudness_curve(sound, frames, rate, audio_rate))
    return Facts(measured=SOUND_FACTS, silence=silence, loudness=loudness)


def take_facts(known: Facts, found: Facts, names: Collection[str] = FACTS) -> Facts:
    """`known` with those of `found` that it measured and that are in `names`."""
    taken = [name for name in found.measured if name in names]
    measured = tuple(name for name in FACTS if name in taken or name in known.measured)
    values = {name: getattr(found, name) for name in taken}
    return msgspec.structs.replace(known, measured=measured, **values)
