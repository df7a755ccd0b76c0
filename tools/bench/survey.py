"""The survey of alignment: flash-and-beep media are built in several ways, and the worst of each is held against its bound."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.build import build
from unreel.shards.making.profiles import DEFAULT_PROFILE, PROFILES, Profile
from unreel.tools.bench.flashes import Case
from unreel.tools.bench.offsets import Offset, Seen, measure, seen_in_container, seen_in_shards

__all__ = ["READINGS", "Bounds", "Row", "bounds_of", "survey"]

AUDIO_RATE: Final = 48_000
_PLAIN: Final = PROFILES[DEFAULT_PROFILE]
READINGS: Final[Mapping[str, Profile]] = {
    "one clip": _PLAIN,
    "short clips": msgspec.structs.replace(_PLAIN, clip_seconds=1.7),
    "scenes": msgspec.structs.replace(_PLAIN, scenes=True),
    "Opus": msgspec.structs.replace(_PLAIN, audio_codec="opus"),
}
"""Name → how the same sources are built: whole, in clips that begin where a clock would not, cut at their scenes, and with
Opus for FLAC."""

# A sample, and what a parabola through three of them leaves.
_SAMPLE: Final = 1.02 / AUDIO_RATE
_COARSE: Final = 1.02e-3
# What FFmpeg's guess of a picture's time is off.
_GUESS: Final = 1e-4
# Half a frame of the slowest rate that a variable one becomes; the sources' own frames are shorter.
_HALF_FRAME: Final = max(rate[1] / rate[0] for rate in _PLAIN.variable_rates) / 2


class Bounds(msgspec.Struct, frozen=True):
    """Seconds by which sound and picture may be off."""

    sound: float
    """The sound, by the container's time stamps."""
    picture: float
    """The picture, by the container's time stamps."""
    content: float
    """The beep, by the flash with which it was drawn."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The worst of one source, built in one way; seconds, above 0 is late."""

    case: str
    reading: str
    flashes: int
    clips: int
    sound: float
    picture: float
    content: float
    drawn: float
    """What the container itself says of the beep beside the flash, against how they were drawn."""
    bounds: Bounds

    @property
    def within(self) -> bool:
        return all(
            abs(getattr(self, name)) <= getattr(self.bounds, name) for name in Bounds.__struct_fields__
        )


def bounds_of(case: Case) -> Bounds:
    """What is promised of a source.

    A time stamp in whole milliseconds is half of one off, once where the picture begins and once where the sound does. A
    frame of a variable rate is shown at the nearest place of a constant one.
    """
    tick = _COARSE if case.coarse else _SAMPLE
    moved = _HALF_FRAME if case.variable else 0.0
    guess = _GUESS if case.guessed else 0.0
    return Bounds(sound=tick, picture=tick + moved + guess, content=tick + case.lost / AUDIO_RATE + moved)


def survey(
    cases: Sequence[Case],
    ffmpeg: str,
    *,
    readings: Iterable[str] = tuple(READINGS),
    done: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Write the media with the program `ffmpeg`, build them, decode the shards as a loader does, and measure.

    `done` is called after each file is written and each source is measured.

    Raises:
        ValueError: a source was not built, or a beep is not where it could be found at all.
        subprocess.CalledProcessError: `ffmpeg` does not write one of the files.
    """
    with tempfile.TemporaryDirectory(prefix="unreel-alignment-") as scratch:
        media = Path(scratch) / "media"
        media.mkdir()
        files = {}
        for case in cases:
            files[case.write(media, ffmpeg).name] = case
            done()
        told = {name: seen_in_container(media / name) for name in files}
        rows = []
        for reading in readings:
            found = _read(media, Path(scratch) / reading, READINGS[reading])
            rows += [
                _row(files[name], reading, measure(files[name], told[name], found[name])) for name in files
            ]
            for _ in files:
                done()
    return rows


def _read(media: Path, out: Path, profile: Profile) -> dict[str, list[Seen]]:
    """File → what is seen in its clips."""
    for report in build([str(media)], out, profile=profile).reports:
        if report.status != "done":
            raise ValueError(f"{report.source}: {report.status}, {report.reason}: {report.detail}")
    return {Path(name).name: seen for name, seen in seen_in_shards(out).items()}


def _row(case: Case, reading: str, offsets: Sequence[Offset]) -> Row:
    worst = {
        name: max((getattr(offset, name) for offset in offsets), key=abs)
        for name in ("sound", "picture", "content", "drawn")
    }
    return Row(
        case=case.name,
        reading=reading,
        flashes=len(offsets),
        clips=len({offset.start for offset in offsets}),
        bounds=bounds_of(case),
        **worst,
    )
