"""Signatures: the demuxer is pinned by content; whatever points elsewhere is refused before a library sees it."""

import pytest

from unreel.shards.border.signatures import identify
from unreel.shards.errors import MediaRefused

TS = (b"\x47" + bytes(187)) * 3
M2TS = (bytes(4) + b"\x47" + bytes(187)) * 3


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"\0\0\x01\xba", "mpeg"),
        (b"OggS", "ogg"),
        (b"FLV\x01", "flv"),
        (TS, "mpegts"),
        (M2TS, "mpegts"),
    ],
)
def test_container_is_known_by_its_content_whatever_its_name(head: bytes, demuxer: str) -> None:
    assert identify(head, "liar.txt") == demuxer


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty"),
        (b"#EXTM3U\n#EXTINF:1,\nother.ts", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U", "playlist"),
        (b"ffconcat version 1.0\nfile a.mp4", "playlist"),
        (b"<?xml version='1.0'?><MPD>", "playlist"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1", "playlist"),
        (b"version https://git-lfs.github.com/spec/v1", "lfs-pointer"),
        (b"\x89PNG\r\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"\0\0\0\x20ftypavif", "picture"),
        (b"\0\0\0\x01\x67", "elementary-stream"),
        (b"dear diary", "not-media"),
    ],
)
def test_what_is_no_container_of_its_own_media_is_refused(head: bytes, reason: str) -> None:
    with pytest.raises(MediaRefused) as refusal:
        identify(head, "clip.mp4")
    assert refusal.value.reason == reason


def test_file_that_never_claimed_to_be_media_is_another_matter() -> None:
    with pytest.raises(MediaRefused) as refusal:
        identify(b"dear diary", "notes.txt")
    assert refusal.value.reason == "other"
