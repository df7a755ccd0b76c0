"""Which demuxer may open a file, from its first bytes: names are not believed and playlists are not followed.

FFmpeg picks playlist formats (HLS, DASH, concat, SDP) by content, whatever the name says, and a playlist opens other files
and network ports. So the demuxer is pinned from an allow-list of containers that hold their own media, before any library
sees the file.
"""

import re
from typing import Final

from unreel.shards.errors import MediaRefused

__all__ = ["HEAD_BYTES", "claims_media", "identify", "picture_format"]

HEAD_BYTES: Final = 4096
"""How much of a file `identify` wants to see."""

_MP4_BOXES: Final = (b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx")
_PICTURE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")

# (offset, bytes, demuxer)
_CONTAINERS: Final = (
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (8, b"WAVE", "wav"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"FLV\x01", "flv"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
)
# (offset, bytes, Pillow's name of the format)
_PICTURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (8, b"WEBP", "WEBP"),
)
_PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0", b"[playlist]", b"file ")
_NAMES: Final = (
    ((".csv", ".jsonl", ".parquet"), "manifest", "a manifest is read where it is named itself as a source"),
    (
        (".srt", ".vtt"),
        "transcript",
        "a transcript is read with a file of the same name, or where a manifest names it",
    ),
)
_MEDIA_NAME: Final = re.compile(
    r"\.(3gp|asf|avi|flac|flv|gif|jpe?g|m2ts|m4[av]|mkv|mov|mp[34g]|mpeg|mts|og[agv]|opus|png|ps|qt|ts|vob|wav|webm|webp|wmv)$",
    re.IGNORECASE,
)


def identify(head: bytes, name: str) -> str:
    """FFmpeg's name of the one demuxer that may open a file beginning with `head`.

    Raises:
        MediaRefused: `empty`, `lfs-pointer`, `playlist`, `picture`, `elementary-stream`; `not-media` where the name
            claims media, and `other` where it does not.
    """
    if not head:
        raise MediaRefused("empty", "the file holds no byte")
    demuxer = _mp4(head) or _transport_stream(head) or _at(head, _CONTAINERS)
    if demuxer is None:
        raise _refusal(head, name)
    return demuxer


def picture_format(head: bytes) -> str | None:
    """Pillow's name of the one format as which a file beginning with `head` may be opened; None: it is no picture."""
    return _at(head, _PICTURES)


def claims_media(name: str) -> bool:
    """True where a file's name promises a video, a sound or a picture."""
    return _MEDIA_NAME.search(name) is not None


def _at(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for offset, magic, name in table if head.startswith(magic, offset)), None)


def _mp4(head: bytes) -> str | None:
    if head[4:8] not in _MP4_BOXES:
        return None
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        raise MediaRefused("picture", "an AVIF or HEIF picture; this profile takes clips")
    return "mov"


def _transport_stream(head: bytes) -> str | None:
    # 188-byte packets, or 192 with a time code before each (Blu-ray, AVCHD).
    for start, packet in ((0, 188), (4, 192)):
        if len(head) > start + 2 * packet and all(head[start + i * packet] == 0x47 for i in range(3)):
            return "mpegts"
    return None


def _refusal(head: bytes, name: str) -> MediaRefused:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"version https://git-lfs"):
        return MediaRefused("lfs-pointer", "a Git LFS pointer; fetch the file itself")
    if text.startswith(_PLAYLISTS):
        return MediaRefused("playlist", "a text that points to other files; name those files instead")
    if picture_format(head) is not None:
        return MediaRefused("picture", "a picture; this profile takes clips")
    if head.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01")):
        return MediaRefused("elementary-stream", "a stream without a container has no time; put it into one")
    if claims_media(name):
        return MediaRefused(
            "not-media", f"starts with {head[:12]!r}, which is no container that unreel opens"
        )
    for suffixes, reason, detail in _NAMES:
        if name.lower().endswith(suffixes):
            return MediaRefused(reason, detail)
    return MediaRefused("other", "neither its content nor its name is media")
