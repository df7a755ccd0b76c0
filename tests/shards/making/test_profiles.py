"""Profiles are data: named, checked, and told apart by their digest."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import PROFILES


def test_digest_changes_with_any_field() -> None:
    profile = PROFILES["clips-128"]
    changed = {
        "name": "other",
        "quality": 22,
        "gop": 8,
        "clip_seconds": 9.0,
        "silence_level": -50.0,
        "audio_kbps": 65,
    }
    digests = {msgspec.structs.replace(profile, **{field: value}).digest for field, value in changed.items()}
    assert len(digests | {profile.digest}) == len(changed) + 1


def test_names_are_keys() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="clips-128-vp9"):
        find_profile("clips-64")


def test_clip_is_never_longer_than_clip_seconds() -> None:
    profile = find_profile("clips-128", clip_seconds=10)
    assert profile.clip_frames(Fraction(30000, 1001)) == 299
    assert profile.clip_frames(Fraction(25)) == 250


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"clip_seconds": 0.5}, r"clip_seconds 0\.5: allowed is 1\.0 \(min_seconds\)"),
        ({"codec": "av1"}, "codec 'av1': allowed is h264, hevc, vp9, mjpeg"),
        ({"quality": 52}, "quality 52: allowed is 0 to 51 for codec h264"),
        ({"codec": "mjpeg"}, "gop 16: allowed is 1 for codec mjpeg"),
        ({"gop": 0}, "gop 0: allowed is 1 to 600"),
        ({"multiple": 3}, "multiple 3: allowed is an even number"),
        ({"audio_codec": "opus", "audio_rate": 16_000}, "audio_rate 16000: allowed is 48000 for Opus"),
        ({"audio_channels": 6}, "audio_channels 6: allowed is 1, 2"),
        ({"max_aspect": float("nan")}, "max_aspect nan"),
    ],
)
def test_value_out_of_range_is_named_with_what_is_allowed(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        find_profile("clips-128", **changes)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_file_changes_its_base(tmp_path: Path) -> None:
    path = write(tmp_path, 'base = "clips-256"\ngop = 8\naudio_codec = "opus"\nmax_aspect = 3\n')
    expected = {"name": "mine", "gop": 8, "audio_codec": "opus", "max_aspect": 3.0}
    assert find_profile(path) == msgspec.structs.replace(PROFILES["clips-256"], **expected)
    assert find_profile(str(path), clip_seconds=4).clip_seconds == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('base = "clips-64"', "base 'clips-64': allowed is one of clips-128"),
        ("gops = 8", "no field 'gops'; there are name, videos"),
        ('gop = "8"', "gop '8': Expected `int`"),
        ("gop = true", "gop True: Expected `int`"),
        ('codec = "av1"', "codec 'av1': allowed is h264"),
        ("audio_channels = 3", "audio_channels 3: allowed is 1, 2"),
        ("quality = 99", "mine.toml: .*quality 99: allowed is 0 to 51"),
        ("gop = ", "a TOML file is needed"),
    ],
)
def test_file_is_checked_line_by_line(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        find_profile(write(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml"):
        find_profile(tmp_path / "none.toml")
