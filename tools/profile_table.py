"""The profiles of a build as a table for people and as records for programs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table

if TYPE_CHECKING:
    from unreel.shards.profiles import Profile

__all__ = ["profile_records", "profile_table"]


def profile_records() -> dict[str, object]:
    """All fields of every profile that has a name."""
    from unreel.shards.profiles import PROFILES

    return {name: msgspec.to_builtins(profile) for name, profile in PROFILES.items()}


def profile_table() -> Table:
    """One row a profile, with the settings in which profiles differ."""
    from unreel.shards.profiles import PROFILES

    table = Table("profile", *_COLUMNS)
    for name, profile in PROFILES.items():
        table.add_row(name, *(show(profile) for show in _COLUMNS.values()))
    return table


def _picture(profile: "Profile") -> str:
    from unreel.shards.codecs import CODECS

    quality = CODECS[profile.codec].default if profile.quality is None else profile.quality
    return f"{profile.codec} {quality}, GOP {profile.gop}, {profile.matrix}"


def _sound(profile: "Profile") -> str:
    rate = f"{profile.audio_rate / 1000:g} kHz, {('mono', 'stereo')[profile.audio_channels - 1]}"
    return f"{profile.audio_codec} {rate}" + (
        f", {profile.audio_kbps} kb/s" if profile.audio_codec == "opus" else ""
    )


_COLUMNS: Final[Mapping[str, Callable[["Profile"], str]]] = {
    "moving picture": _picture,
    "short side": lambda profile: f"{profile.side}, ≤ {profile.max_rate} frames/s",
    "sound": _sound,
    "clips": lambda profile: f"{profile.min_seconds:g} to {profile.clip_seconds:g} s",
}
