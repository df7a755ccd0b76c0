"""What a container promises: a missing page, end or picture is found although FFmpeg leaves it out in silence."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.border.containers import check_count, check_pages, check_riff, shows_picture
from unreel.shards.errors import MediaRefused

FFmpeg = Callable[..., None]


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg) -> bytes:
    path = tmp_path_factory.mktemp("ogg") / "clip.ogv"
    ffmpeg("-i", clip, "-c:v", "libtheora", "-c:a", "libvorbis", "-b:v", "400k", path)
    return path.read_bytes()


def pages(data: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    found = []
    while data:
        header = 27 + data[26]
        size = header + sum(data[27:header])
        found.append(data[:size])
        data = data[size:]
    return found


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(MediaRefused) as refused:
        check_pages(str(path))
    return str(refused.value)


def test_whole_ogg_is_taken(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.ogv"
    path.write_bytes(whole)
    check_pages(str(path))


def test_each_missing_page_is_found(whole: bytes, tmp_path: Path) -> None:
    parts = pages(whole)
    assert len(parts) > 8
    for missing in range(2, len(parts)):
        message = refusal(tmp_path / "cut.ogv", b"".join(parts[:missing] + parts[missing + 1 :]))
        assert message.startswith(("damaged: page", "truncated: 1 of 2 streams have no last page"))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.999])
def test_lost_end_is_found(whole: bytes, tmp_path: Path, share: float) -> None:
    assert refusal(tmp_path / "cut.ogv", whole[: int(len(whole) * share)]).startswith("truncated")


def test_bytes_between_pages_are_found(whole: bytes, tmp_path: Path) -> None:
    first, *others = pages(whole)
    assert "no page begins at byte" in refusal(tmp_path / "cut.ogv", first + b"x" * 40 + b"".join(others))


def test_wav_is_as_long_as_it_states(tmp_path: Path) -> None:
    path, header = tmp_path / "sound.wav", b"RIFF" + struct.pack("<I", 100) + b"WAVE"
    for content in (header + bytes(96), header + bytes(200), b"RIFF" + b"\xff" * 4 + b"WAVE"):
        path.write_bytes(content)
        check_riff(str(path))
    path.write_bytes(header + bytes(95))
    with pytest.raises(MediaRefused, match="truncated: the header states 108 bytes, the file has 107"):
        check_riff(str(path))


def test_avi_holds_what_it_states() -> None:
    check_count("avi", 26, 25)
    check_count("mov", 26, 10)
    with pytest.raises(MediaRefused, match="frames-missing: the header states 26 pictures, and 24 are there"):
        check_count("avi", 26, 24)


@pytest.mark.parametrize(
    ("codec", "data", "shown"),
    [
        ("vp8", b"\x10\x00", True),
        ("vp8", b"\x01\x00", False),
        ("vp9", b"\x82\x00", True),
        ("vp9", b"\x80\x00", False),
        ("vp9", b"\x88\x00", True),
        # Profile 3 has one more bit before these.
        ("vp9", b"\xb1\x00", True),
        ("vp9", b"\xb2\x00", False),
        # A superframe: the first part is hidden, the last is not.
        ("vp9", b"\x80\x00\xc1", True),
        ("h264", b"\x00", True),
        ("theora", b"", False),
    ],
)
def test_hidden_packets_show_no_picture(codec: str, data: bytes, shown: bool) -> None:
    assert shows_picture(codec, memoryview(data)) is shown
