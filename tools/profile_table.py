"""The profiles of a build as a table for people and as records for programs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table

if TYPE_CHECKING:
    from unreel.shards.making.profiles import Profile

__all__ = ["profile_records", "profile_table"]


def profile_records() -> dict[str, object]:
    """All fields of every profile that has a name."""
    from unreel.shards.making.profiles import PROFILES

    return {name: msgspec.to_builtins(profile) for name, profile in PROFILES.items()}


def profile_table() -> Table:
    """One row a profile, with the settings in which profiles differ."""
    from unreel.shards.making.profiles import PROFILES

    table = Table("profile", *_COLUMNS)
    for name, profile in PROFILES.items():
        table.add_row(name, *(show(profile) for show in _COLUMNS.values()))
    return table


def _taken(profile: "Profile") -> str:
    videos = {"clips": "videos → clips", "frames": f"videos → a picture each {profile.frame_seconds:g} s"}
    videos |= {"sound": "videos → their sound", "skip": ""}
    sounds, pictures = profile.sounds == "clips", profile.pictures == "store"
    return ", ".join(filter(None, (videos[profile.videos], sounds * "sound", pictures * "pictures")))


def _picture(profile: "Profile") -> str:
    from unreel.shards.making.codecs import CODECS

    if profile.videos != "clips":
        return ""
    quality = CODECS[profile.codec].default if profile.quality is None else profile.quality
    return f"{profile.codec} {quality}, GOP {profile.gop}, {profile.side} lines, ≤ {profile.max_rate}/s"


def _still(profile: "Profile") -> str:
    if profile.videos == "frames":
        return f"JPEG {profile.picture_quality}, {profile.side} lines"
    if profile.pictures == "skip":
        return ""
    copied = ", else as it is" if profile.picture_copy else ""
    return f"JPEG {profile.picture_quality}, ≤ {profile.picture_side} lines{copied}"


def _sound(profile: "Profile") -> str:
    if profile.videos in ("frames", "skip") and profile.sounds == "skip":
        return ""
    sides = "mono" if profile.audio_channels == 1 else "stereo"
    rate = f" {profile.audio_kbps} kb/s" if profile.audio_codec == "opus" else ""
    return f"{profile.audio_codec}{rate}, {profile.audio_rate / 1000:g} kHz, {sides}"


def _clips(profile: "Profile") -> str:
    scenes = ", never over a cut" if profile.scenes else ""
    most = f", ≤ {profile.clips_per_source} of a source" if profile.clips_per_source else ""
    return f"{profile.min_seconds:g} to {profile.clip_seconds:g} s{scenes}{most}"


_COLUMNS: Final[Mapping[str, Callable[["Profile"], str]]] = {
    "takes": _taken,
    "moving picture": _picture,
    "still picture": _still,
    "sound": _sound,
    "clips": _clips,
}
