"""Profiles are data: named, checked, and told apart by their digest."""

from fractions import Fraction

import msgspec
import pytest

from unreel.shards.profiles import PROFILES, find_profile


def test_digest_changes_with_any_field() -> None:
    profile = PROFILES["clips-128"]
    changed = {
        "name": "other",
        "encoder_options": {**profile.encoder_options, "crf": "22"},
        "gop": 8,
        "clip_seconds": 9.0,
        "silence_level": -50.0,
    }
    digests = {msgspec.structs.replace(profile, **{field: value}).digest for field, value in changed.items()}
    assert len(digests | {profile.digest}) == len(changed) + 1


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="clips-128-vp9"):
        find_profile("clips-256")


def test_clip_is_never_longer_than_clip_seconds() -> None:
    profile = find_profile("clips-128", clip_seconds=10)
    assert profile.clip_frames(Fraction(30000, 1001)) == 299
    assert profile.clip_frames(Fraction(25)) == 250


def test_clip_seconds_below_the_shortest_clip_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"clip_seconds 0\.5"):
        find_profile("clips-128", clip_seconds=0.5)
