"""What shows without decoding that a sample is damaged: cheap looks, so that a bad one does not cost its batch a run."""

from typing import Final

from unreel.pipelines.decode.headers import flac_stream
from unreel.shards.errors import DecodeFailed
from unreel.shards.sample import Audio, Image, Video

__all__ = ["jpeg_size", "screen_image", "screen_sound", "screen_video"]

_START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What an MP4 or QuickTime file may start with, behind four bytes of length."""
_EBML: Final = b"\x1aE\xdf\xa3"
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that start a frame (ITU-T T.81, table B.1)."""


def screen_video(video: Video, data: memoryview) -> None:
    """Raise DecodeFailed where the member is no MP4 or WebM, or ends before its last packet."""
    if bytes(data[4:8]) not in _BOXES and bytes(data[:4]) != _EBML:
        raise DecodeFailed(f"no MP4 or WebM file: it starts with {_hex(data)}")
    packets = video.packets
    stop = int((packets.offsets.astype("i8") + packets.sizes).max(initial=0))
    if stop > len(data):
        raise DecodeFailed(f"the last packet ends at {stop}, the member has {len(data)} bytes")


def screen_image(image: Image, data: memoryview) -> None:
    """Raise DecodeFailed where the member is no JPEG, is cut short, or has another size than the sidecar says.

    Decoders paint over a missing end in silence: FFmpeg takes a picture without its last 40 bytes as whole.
    """
    if bytes(data[:2]) != _START:
        raise DecodeFailed(f"no JPEG file: it starts with {_hex(data)}")
    if bytes(data[-2:]) != _END and _END not in bytes(data):
        raise DecodeFailed(f"the JPEG file has no end: it is cut short at {len(data)} bytes")
    size = jpeg_size(data)
    if size != (image.width, image.height):
        found = "unknown" if size is None else f"{size[0]}x{size[1]}"
        raise DecodeFailed(f"the picture's size is {found}, the sidecar says {image.width}x{image.height}")


def screen_sound(audio: Audio, data: memoryview) -> None:
    """Raise DecodeFailed where the member is no FLAC, or not of the sidecar's channels."""
    stream = flac_stream(data)
    if stream.channels != audio.channels:
        raise DecodeFailed(f"the FLAC file has {stream.channels} channels, the sidecar {audio.channels}")


def jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """(width, height) of a JPEG from its frame header (ITU-T T.81, B.2.2); None where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        if data[at + 1] in _FRAMES:
            height, width = (int.from_bytes(data[at + part : at + part + 2], "big") for part in (5, 7))
            return width, height
        # 0xFF may be repeated before a marker.
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _hex(data: memoryview) -> str:
    return bytes(data[:8]).hex(" ") or "nothing"
