"""What a container promises, held against what is there: pages without gaps, an end, and a picture for each packet."""

import os
import struct
from typing import BinaryIO, Final

from unreel.shards.errors import MediaRefused

__all__ = ["check_count", "check_pages", "check_riff", "shows_picture"]

# Capture pattern, version, flags, position, stream, number in the stream, checksum, segments (RFC 3533, section 6).
_PAGE: Final = struct.Struct("<4sBBqIIIB")
_LAST_PAGE: Final = 4
# FFmpeg's own muxer states one frame too many in AVI.
_AVI_SLACK: Final = 1
# A superframe of VP9 ends with a byte of this form (VP9 bitstream specification, annex B).
_SUPERFRAME_MASK, _SUPERFRAME = 0xE0, 0xC0


def check_pages(path: str) -> None:
    """An Ogg file is whole: its pages follow each other, none is missing, and each stream has its last.

    FFmpeg leaves out what it cannot read, and the rest then seems to be all.

    Raises:
        MediaRefused: `truncated` where the end is missing, `damaged` where something between is.
    """
    with open(path, "rb") as file:
        size, next_number, open_streams = os.path.getsize(path), dict[int, int](), set[int]()
        while (start := file.tell()) < size:
            flags, stream, number = _page(file, start, size)
            if number != next_number.setdefault(stream, number):
                raise MediaRefused("damaged", f"page {next_number[stream]} is missing before byte {start}")
            next_number[stream] = number + 1
            (open_streams.discard if flags & _LAST_PAGE else open_streams.add)(stream)
    if open_streams:
        raise MediaRefused(
            "truncated", f"{len(open_streams)} of {len(next_number)} streams have no last page"
        )


def _page(file: BinaryIO, start: int, size: int) -> tuple[int, int, int]:
    """(flags, stream, number) of the page that begins here; the file is then at the next one."""
    head = file.read(_PAGE.size)
    if len(head) < _PAGE.size:
        raise MediaRefused("truncated", f"the file ends inside of the page at byte {start}")
    capture, _, flags, _, stream, number, _, segments = _PAGE.unpack(head)
    if capture != b"OggS":
        raise MediaRefused("damaged", f"no page begins at byte {start}, where the page before ends")
    after = file.tell() + segments + sum(file.read(segments))
    if after > size:
        raise MediaRefused("truncated", f"the page at byte {start} ends {after - size} bytes after the file")
    file.seek(after)
    return flags, stream, number


def check_riff(path: str) -> None:
    """A WAV file is as long as its header states; programs that write into a pipe state 0 or all ones.

    Raises:
        MediaRefused: `truncated`.
    """
    with open(path, "rb") as file:
        (stated,) = struct.unpack("<4xI", file.read(8))
    size = os.path.getsize(path)
    if stated != 0xFFFFFFFF and size < stated + 8:
        raise MediaRefused("truncated", f"the header states {stated + 8} bytes, the file has {size}")


def check_count(demuxer: str, stated: int, found: int) -> None:
    """An AVI holds the pictures that its header states: FFmpeg searches for the next chunk where one is damaged."""
    if demuxer == "avi" and abs(stated - found) > _AVI_SLACK:
        raise MediaRefused("frames-missing", f"the header states {stated} pictures, and {found} are there")


def shows_picture(codec: str, data: memoryview) -> bool:
    """Whether a packet is decoded into a picture. VP8 and VP9 have packets that only prepare others."""
    if not data:
        return False
    if codec == "vp8":
        return bool(data[0] & 0x10)
    if codec == "vp9" and data[-1] & _SUPERFRAME_MASK != _SUPERFRAME:
        # frame_marker 2 bits, profile 2, in profile 3 one reserved; show_existing_frame, frame_type, show_frame.
        bits = data[0] << 1 if data[0] & 0x30 == 0x30 else data[0]
        return bool(bits & 0x08 or bits & 0x02)
    return True
