"""One source becomes its samples: decoded once, cut, analysed, encoded, described."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.probe import Probe
from unreel.shards.border.sandbox import (
    ConformRequest,
    CopyRequest,
    PictureRequest,
    copy_safely,
    find_safely,
    store_safely,
)
from unreel.shards.border.timing import shown_frames
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.copying import StoredPackets, why_encoded
from unreel.shards.making.cutting import Footage, Piece, Spread, cut, cut_at_keys, wanted_pieces
from unreel.shards.making.encode import encode_picture, encode_sound, to_rgb
from unreel.shards.making.facts import picture_facts, sound_facts, still_facts, take_facts
from unreel.shards.making.pictures import encode_jpeg
from unreel.shards.making.profiles import Profile
from unreel.shards.making.spool import Parked, Spool
from unreel.shards.making.transcode import PictureDecode, RawClip, SoundDecode
from unreel.shards.sample import STEP_RATE, Facts, Image, Sidecar, Source, Video, pack_column

__all__ = ["BuiltSource", "Sample", "build_samples"]

_SLUG_LENGTH: Final = 40
_MICROSECONDS: Final = 1_000_000

Raw = TypeVar("Raw")
Raw_co = TypeVar("Raw_co", covariant=True)
Members = dict[str, bytes]


class _Decode(Footage, Protocol[Raw_co]):
    """A running decode that gives pieces of what it has reached."""

    def clip(self, piece: Piece) -> Raw_co: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as the shard writer takes it."""

    sidecar: Sidecar
    members: Members


@dataclass(frozen=True, slots=True)
class _Part:
    """A sample whose media wait in the spool; the sidecar lacks what is known only at the source's end."""

    piece: Piece
    sidecar: Sidecar
    parked: Parked


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done with which source."""

    source: SourceFile
    probe: Probe
    profile: Profile
    limits: Limits
    spool: Spool
    copied: StoredPackets | None = None
    """Packets of the source's picture, where they are what the samples hold."""

    def park(self, piece: Piece, sidecar: Sidecar, members: Members) -> _Part:
        return _Part(piece, sidecar, self.spool.park(members))


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """The samples of a source that was decoded to its end without an error."""

    parts: Sequence[_Part]
    dropped: dict[str, int]
    """Frames that are in no sample, by reason as `cutting.cut` gives them, and `over-cap`; 40 ms each without a picture."""
    spool: Spool
    complete: Callable[[Sample], Sample] = lambda sample: sample
    """Adds to a sample what does not come from its media."""

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def copied(self) -> int:
        """Samples whose picture is the source's own packets."""
        videos = (part.sidecar.video for part in self.parts)
        return sum(video is not None and video.copied for video in videos)

    def samples(self) -> Iterator[Sample]:
        """The samples, in the order of time."""
        for part in self.parts:
            yield self.complete(Sample(part.sidecar, self.spool.fetch(part.parked)))


@contextmanager
def build_samples(
    source: SourceFile, probe: Probe, profile: Profile, limits: Limits = DEFAULT_LIMITS
) -> Iterator[BuiltSource]:
    """All samples of a source, for as long as the context lasts.

    Raises:
        MediaRefused: the decode met an error, or there is nothing to take. No part of a broken source is taken.
    """
    with Spool() as spool:
        task = _Task(source, probe, profile, limits, spool)
        dropped: Counter[str] = Counter()
        parts = _store_still(task) if probe.still else _cut_up(task, dropped)
        if not parts:
            lost = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
            raise MediaRefused("too-short", f"no clip is left; frames: {lost or 0}")
        yield BuiltSource(
            _with_own_keys(parts), {why: count for why, count in dropped.items() if count}, spool
        )


def _store_still(task: _Task) -> list[_Part]:
    probe, profile = task.probe, task.profile
    if task.source.tracks:
        raise MediaRefused("track-length", "a picture has no frames for a label over time")
    size = (probe.width, probe.height)
    stored = store_safely(
        PictureRequest(
            path=task.source.path, form=probe.demuxer, size=size, profile=profile, limits=task.limits
        )
    )
    pixels = np.frombuffer(stored.pixels, np.uint8).reshape(probe.height, probe.width, 3)
    sidecar = _sidecar(task, Piece(0, 1, 0), image=_image(pixels), facts=still_facts(pixels))
    return [task.park(Piece(0, 1, 0), sidecar, {"jpg": stored.jpeg})]


def _cut_up(task: _Task, dropped: Counter[str]) -> list[_Part]:
    if task.probe.video is None:
        return _cut_sound(task, dropped)
    with PictureDecode(task.source.path, task.probe, task.profile, task.limits) as decode:
        task = replace(task, copied=_packets_to_copy(task))
        encode = _encode_frame if task.profile.videos == "frames" else _encode_clip
        parts = _cut(task, decode, encode, dropped)
        times = decode.finish()
        cuts = [decode.cuts(part.piece.start, part.piece.stop) for part in parts]
    completed = _place_in_time(task, parts, times)
    return [_with_cuts(part, found) for part, found in zip(completed, cuts, strict=True)]


def _cut_sound(task: _Task, dropped: Counter[str]) -> list[_Part]:
    if task.source.tracks:
        raise MediaRefused("track-length", "a source without a picture has no frames for a label over time")
    with SoundDecode(task.source.path, task.probe, task.profile, task.limits) as decode:
        parts = _cut(task, decode, _encode_sound, dropped)
        decode.finish()
    return [_with_span(part, decode.origin, task.probe, part.sidecar.seconds) for part in parts]


def _cut(
    task: _Task,
    decode: _Decode[Raw],
    encode: Callable[[_Task, Piece, Raw], _Part],
    dropped: Counter[str],
) -> list[_Part]:
    """Cut a source while it is being decoded; parts in the order of time."""
    spread: Spread[_Part] = Spread(task.profile.clips_per_source)
    frames = 0
    for piece in _pieces(task, decode, dropped):
        frames += piece.frames
        if spread.wants_next():
            spread.add(encode(task, piece, decode.clip(piece)))
    parts = spread.finish()
    dropped["over-cap"] = frames - sum(part.piece.frames for part in parts)
    return parts


def _pieces(task: _Task, decode: Footage, dropped: Counter[str]) -> Iterator[Piece]:
    profile, rate = task.profile, task.probe.sample_rate
    shortest, longest = profile.min_frames(rate), profile.clip_frames(rate)
    if task.copied is not None:
        keys, frames = task.copied.keys.tolist(), len(task.copied)
        return cut_at_keys(decode, keys, frames, shortest=shortest, longest=longest, dropped=dropped)
    single = profile.videos == "frames" and task.probe.video is not None
    return cut(
        decode,
        wanted_pieces(task.source.spans, rate),
        shortest=1 if single else shortest,
        longest=1 if single else longest,
        scenes=profile.scenes and not single,
        dropped=dropped,
    )


def _packets_to_copy(task: _Task) -> StoredPackets | None:
    """The packets of a source that needs no encoding; None where it does."""
    path, probe, profile = task.source.path, task.probe, task.profile
    if why_encoded(task.source, probe, profile):
        return None
    request = ConformRequest(path=path, probe=probe, profile=profile, limits=task.limits)
    return find_safely(request).packets


def _picture(task: _Task, piece: Piece, clip: RawClip) -> tuple[bytes, Video]:
    if task.copied is None:
        return encode_picture(clip.yuv, task.probe.frame_rate, task.profile)
    packets = task.copied.part(piece.start, piece.stop)
    request = CopyRequest(
        path=task.source.path,
        probe=task.probe,
        profile=task.profile,
        packets=packets,
        limits=task.limits,
    )
    found = copy_safely(request)
    return found.payload, found.video


def _encode_clip(task: _Task, piece: Piece, clip: RawClip) -> _Part:
    probe, profile, audio = task.probe, task.profile, None
    payload, video = _picture(task, piece, clip)
    assert video.frames == len(clip.yuv), (
        f"{profile.codec} encoder made {video.frames} packets of {len(clip.yuv)} frames"
    )
    members = {"mp4": payload}
    facts = picture_facts(clip.yuv[:, : probe.height], clip.grey, probe.frame_rate)
    if clip.sound is not None:
        payload, audio = encode_sound(clip.sound, profile)
        members[audio.member] = payload
        heard = _sound_facts(clip.sound, len(clip.yuv), probe.frame_rate, profile)
        facts = take_facts(facts, heard)
    return task.park(piece, _sidecar(task, piece, video=video, audio=audio, facts=facts), members)


def _encode_frame(task: _Task, piece: Piece, clip: RawClip) -> _Part:
    pixels = to_rgb(clip.yuv[0], task.profile)
    payload = encode_jpeg(pixels, task.profile.picture_quality)
    sidecar = _sidecar(task, piece, image=_image(pixels), facts=still_facts(pixels))
    return task.park(piece, sidecar, {"jpg": payload})


def _encode_sound(task: _Task, piece: Piece, sound: NDArray[np.int16]) -> _Part:
    payload, audio = encode_sound(sound, task.profile)
    facts = _sound_facts(sound, piece.frames, Fraction(STEP_RATE), task.profile)
    return task.park(piece, _sidecar(task, piece, audio=audio, facts=facts), {audio.member: payload})


def _sound_facts(sound: NDArray[np.int16], frames: int, rate: Fraction, profile: Profile) -> Facts:
    level, seconds = profile.silence_level, profile.silence_seconds
    return sound_facts(sound, profile.audio_rate, level=level, seconds=seconds, frames=frames, rate=rate)


def _image(pixels: NDArray[np.uint8]) -> Image:
    return Image(codec="mjpeg", width=pixels.shape[1], height=pixels.shape[0])


def _sidecar(task: _Task, piece: Piece, *, facts: Facts, **media: Any) -> Sidecar:
    source = task.source
    start = piece.start * task.probe.stride
    labels = source.span_labels[piece.span] if source.span_labels else {}
    return Sidecar(
        key=f"{_slug(source.name)}-{task.probe.id}-{start:06d}",
        source=Source(
            id=task.probe.id,
            name=source.name,
            start_frame=start,
            split=source.split,
            licence=source.licence,
            url=source.url,
            takedown_id=source.takedown_id,
        ),
        facts=facts,
        original=task.probe.original,
        labels={**source.labels, **labels},
        **media,
    )


def _place_in_time(task: _Task, parts: Sequence[_Part], times: NDArray[np.float64]) -> list[_Part]:
    """Add where each part lies on the source's clock, and its share of the source's labels over time."""
    probe, stride = task.probe, task.probe.stride
    frames = stride * max((part.piece.stop for part in parts), default=0)
    shown = probe.step * shown_frames(times[:: probe.step], probe.frame_rate, frames)
    tracks = {name: np.array(values) for name, values in task.source.tracks.items()}
    for name, values in tracks.items():
        if len(values) != len(times):
            raise MediaRefused(
                "track-length", f"track {name} has {len(values)} numbers, the source {len(times)} frames"
            )
    placed = []
    for part in parts:
        inside = shown[part.piece.start * stride : part.piece.stop * stride : stride]
        packed = {name: pack_column("track", values[inside]) for name, values in tracks.items()}
        labelled = replace(part, sidecar=msgspec.structs.replace(part.sidecar, tracks=packed))
        placed.append(_with_span(labelled, float(times[0]), probe, part.piece.frames / probe.frame_rate))
    return placed


def _with_span(part: _Part, origin: float, probe: Probe, seconds: float | Fraction) -> _Part:
    """Frame k of a source is at the time of its first decoded frame plus k frames, and sound with it."""
    start = round(origin * _MICROSECONDS) + _MICROSECONDS * (
        Fraction(part.piece.start * probe.stride) / probe.frame_rate
    )
    span = (round(start), round(start + _MICROSECONDS * Fraction(seconds)))
    # A source may begin before its own zero, by the priming of an encoder; that cannot be said.
    source = msgspec.structs.replace(part.sidecar.source, span_us=span if span[0] >= 0 else None)
    return replace(part, sidecar=msgspec.structs.replace(part.sidecar, source=source))


def _with_cuts(part: _Part, cuts: Sequence[int]) -> _Part:
    inside = tuple(cut - part.piece.start for cut in cuts)
    facts = msgspec.structs.replace(part.sidecar.facts, cuts=inside)
    return replace(part, sidecar=msgspec.structs.replace(part.sidecar, facts=facts))


def _with_own_keys(parts: Sequence[_Part]) -> list[_Part]:
    """Spans of a manifest may begin on the same frame: the second one's key ends in `-2`."""
    seen: Counter[str] = Counter()
    keyed = []
    for part in parts:
        seen[part.sidecar.key] += 1
        count = seen[part.sidecar.key]
        key = part.sidecar.key if count == 1 else f"{part.sidecar.key}-{count}"
        keyed.append(replace(part, sidecar=msgspec.structs.replace(part.sidecar, key=key)))
    return keyed


def _slug(name: str) -> str:
    """The file's name as part of a key; the id beside it makes the key unique."""
    stem = re.sub(r"\.[^./]*$", "", name.rsplit("/", 1)[-1]).lower()
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:_SLUG_LENGTH] or "source"
