"""One source becomes its samples: decoded once, cut, analysed, encoded, described."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.encode import encode_picture, encode_sound
from unreel.shards.errors import MediaRefused
from unreel.shards.facts import picture_facts, sound_facts, take_facts
from unreel.shards.limits import DEFAULT_LIMITS, Limits
from unreel.shards.probe import Probe
from unreel.shards.profiles import Profile
from unreel.shards.sample import Audio, Facts, Sidecar, Source, Video, pack_column
from unreel.shards.sources import SourceFile
from unreel.shards.timing import shown_frames
from unreel.shards.transcode import Decode, RawClip

__all__ = ["Sample", "build_samples"]

_SLUG_LENGTH: Final = 40
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as the shard writer takes it."""

    sidecar: Sidecar
    members: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Clip:
    """An encoded clip, before it is known where the source's scenes and tracks lie."""

    start: int
    members: dict[str, bytes]
    video: Video
    audio: Audio | None
    facts: Facts


def build_samples(
    source: SourceFile, probe: Probe, profile: Profile, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Sample], int]:
    """All samples of a source, and how many frames at its end were too few for another.

    Raises:
        MediaRefused: the decode met an error, or there is nothing to take. No part of a broken source is taken.
    """
    with Decode(source.path, probe, profile, limits) as decode:
        clips = [_encode(clip, probe, profile) for clip in decode.clips()]
        times, cuts = decode.finish()
    if not clips:
        raise MediaRefused(
            "too-short", f"{decode.dropped} frames; profile {profile.name} takes {profile.min_seconds} s"
        )
    tracks = _stored_tracks(source, times, clips, probe)
    return [_describe(clip, source, probe, cuts, tracks, times) for clip in clips], decode.dropped


def _encode(clip: RawClip, probe: Probe, profile: Profile) -> _Clip:
    payload, video = encode_picture(clip.yuv, probe.frame_rate, profile)
    assert video.frames == len(clip.yuv), (
        f"{profile.codec} encoder made {video.frames} packets of {len(clip.yuv)} frames"
    )
    members, audio = {"mp4": payload}, None
    if clip.sound is not None:
        payload, audio = encode_sound(clip.sound, profile)
        members[audio.member] = payload
    return _Clip(clip.start, members, video, audio, _facts(clip, probe, profile))


def _facts(clip: RawClip, probe: Probe, profile: Profile) -> Facts:
    facts = picture_facts(clip.yuv[:, : probe.height], clip.grey, probe.frame_rate)
    if clip.sound is None:
        return facts
    heard = sound_facts(
        clip.sound,
        profile.audio_rate,
        level=profile.silence_level,
        seconds=profile.silence_seconds,
        frames=len(clip.grey),
        rate=probe.frame_rate,
    )
    return take_facts(facts, heard)


def _stored_tracks(
    source: SourceFile, times: NDArray[np.float64], clips: list[_Clip], probe: Probe
) -> dict[str, NDArray[np.float64]]:
    """The source's labels over time, one number for each stored frame."""
    frames = clips[-1].start + clips[-1].video.frames
    shown = probe.step * shown_frames(times[:: probe.step], probe.frame_rate, frames)
    stored = {}
    for name, values in source.tracks.items():
        if len(values) != len(times):
            raise MediaRefused(
                "track-length", f"track {name} has {len(values)} numbers, the source {len(times)} frames"
            )
        stored[name] = np.array(values)[shown]
    return stored


def _describe(
    clip: _Clip,
    source: SourceFile,
    probe: Probe,
    cuts: tuple[int, ...],
    tracks: dict[str, NDArray[np.float64]],
    times: NDArray[np.float64],
) -> Sample:
    stop = clip.start + clip.video.frames
    inside = tuple(cut - clip.start for cut in cuts if clip.start < cut < stop)
    sidecar = Sidecar(
        key=f"{_slug(source.name)}-{probe.id}-{clip.start:06d}",
        source=Source(
            id=probe.id,
            name=source.name,
            start_frame=clip.start,
            split=source.split,
            span_us=_span(clip, probe, times),
            licence=source.licence,
            url=source.url,
            takedown_id=source.takedown_id,
        ),
        video=clip.video,
        audio=clip.audio,
        facts=msgspec.structs.replace(clip.facts, cuts=inside),
        original=probe.original,
        labels=dict(source.labels),
        tracks={name: pack_column("track", values[clip.start : stop]) for name, values in tracks.items()},
    )
    return Sample(sidecar, clip.members)


def _span(clip: _Clip, probe: Probe, times: NDArray[np.float64]) -> tuple[int, int]:
    """Frame k of the source's samples is at the time of the first decoded frame plus k frames, and sound with it."""
    origin = Fraction(round(times[0] * _MICROSECONDS))
    start, stop = (
        round(origin + _MICROSECONDS * frame / probe.frame_rate)
        for frame in (clip.start, clip.start + clip.video.frames)
    )
    return start, stop


def _slug(name: str) -> str:
    """The file's name as part of a key; the id beside it makes the key unique."""
    stem = re.sub(r"\.[^./]*$", "", name.rsplit("/", 1)[-1]).lower()
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:_SLUG_LENGTH] or "source"
