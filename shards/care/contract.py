"""The contract of one sample, checked without decoding: does its sidecar describe the members that lie beside it?"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from unreel.shards.sample import COLUMN_DTYPES, Facts, Packets, Sidecar, Video, audio_length, check_key

__all__ = ["contract_breaches"]

_SOURCE_ID: Final = re.compile(r"[0-9a-f]{16}")
_CURVES: Final = ("motion", "luma")
"""Facts of the picture with one number a frame; loudness has as many, where there is sound."""


def contract_breaches(sidecar: Sidecar, sizes: Mapping[str, int]) -> Iterator[str]:
    """Each way in which a sidecar does not go with its members, as a sentence; none where the sample is sound.

    Args:
        sizes: name → bytes of each member that lies beside the sidecar, without `json`.
    """
    yield from _identity(sidecar)
    declared = {part.member for part in (sidecar.video, sidecar.audio, sidecar.image) if part is not None}
    found = set(sizes) - {"txt", "meta"}
    if found != declared:
        yield f"expected the members {sorted(declared)}, found {sorted(found)}"
    if not declared:
        yield "expected a picture or a sound, found neither"
    if sidecar.video is not None:
        yield from _video(sidecar.video, sizes.get(sidecar.video.member))
    yield from _sound(sidecar)
    yield from _facts(sidecar)
    for name, values in sidecar.tracks.items():
        yield from _length(f"track {name}", values, "track", sidecar.steps)


def _identity(sidecar: Sidecar) -> Iterator[str]:
    try:
        check_key(sidecar.key)
    except ValueError as error:
        yield str(error)
    if not _SOURCE_ID.fullmatch(sidecar.source.id):
        yield f"expected a source id of 16 hex digits, found {sidecar.source.id!r}"
    if sidecar.source.start_frame < 0:
        yield f"expected a start_frame of 0 or more, found {sidecar.source.start_frame}"
    span = sidecar.source.span_us
    # Clocks of containers may begin below zero.
    if span is not None and not span[0] < span[1]:
        yield f"expected an ascending span of the source, found {span}"


def _video(video: Video, size: int | None) -> Iterator[str]:
    if min(video.width, video.height, video.frames, *video.rate) < 1:
        yield (
            f"expected a picture with frames and a rate, found {video.width}x{video.height}, "
            f"{video.frames} frames, rate {video.rate}"
        )
        return
    broken = list(_columns(video.packets, video.frames))
    yield from broken or _packets(video, size)


def _columns(packets: Packets, frames: int) -> Iterator[str]:
    for name in ("offset", "size", "key"):
        yield from _length(f"packet column {name}", getattr(packets, name), name, frames)


def _packets(video: Video, size: int | None) -> Iterator[str]:
    offsets = video.packets.offsets.astype(np.int64)
    ends = offsets + video.packets.sizes
    if size is not None and ends.max() > size:
        yield f"expected packets inside the member of {size} bytes, found one that ends at {ends.max()}"
    if (offsets[1:] < ends[:-1]).any() or not video.packets.sizes.all():
        yield "expected packets one after the other, found some that overlap, are empty or go back"
    keys = video.packets.key_frames
    if not len(keys) or keys[0] != 0:
        yield "expected a key frame at 0, found none there"
        return
    gop = int(np.diff([*keys, video.frames]).max())
    # A clip may be shorter than the GOP it was encoded with.
    if gop > video.gop:
        yield f"expected key frames at most {video.gop} frames apart, found {gop}"


def _sound(sidecar: Sidecar) -> Iterator[str]:
    video, audio = sidecar.video, sidecar.audio
    if audio is None:
        return
    if min(audio.rate, audio.channels, audio.samples) < 1:
        yield f"expected sound, found {audio.samples} samples of {audio.channels} channels at {audio.rate} Hz"
    elif video is not None and min(video.frames, *video.rate) > 0:
        expected = audio_length(video.frames, audio.rate, Fraction(*video.rate))
        if audio.samples != expected:
            yield f"expected {expected} audio samples beside {video.frames} frames, found {audio.samples}"


def _facts(sidecar: Sidecar) -> Iterator[str]:
    facts, frames = sidecar.facts, _frames(sidecar)
    for name in (*_CURVES, "loudness"):
        column = getattr(facts, name)
        if column:
            yield from _length(f"fact {name}", column, name, sidecar.steps)
    if len(facts.hashes) % np.dtype(COLUMN_DTYPES["hashes"]).itemsize:
        yield f"expected whole hashes, found {len(facts.hashes)} bytes"
    if not _ascending((0, *facts.cuts, frames)) and facts.cuts:
        yield f"expected cuts that ascend between 0 and {frames}, found {facts.cuts}"
    samples = sidecar.audio.samples if sidecar.audio is not None else 0
    edges = [0, *itertools.chain.from_iterable(facts.silence), samples]
    if facts.silence and (edges != sorted(edges) or any(start == stop for start, stop in facts.silence)):
        yield f"expected silent spans that ascend inside {samples} samples, found {facts.silence}"
    yield from _boxes(sidecar, facts)


def _boxes(sidecar: Sidecar, facts: Facts) -> Iterator[str]:
    shape = sidecar.video or sidecar.image
    for name in ("content_box", "overlay_box"):
        box = getattr(facts, name)
        if box is None:
            continue
        width, height = (shape.width, shape.height) if shape is not None else (0, 0)
        if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
            yield f"expected a {name} inside {width}x{height}, found {box}"


def _frames(sidecar: Sidecar) -> int:
    return sidecar.video.frames if sidecar.video is not None else 0


def _length(what: str, column: bytes, dtype: str, expected: int) -> Iterator[str]:
    found = len(column) / np.dtype(COLUMN_DTYPES[dtype]).itemsize
    if found != expected:
        yield f"expected {expected} numbers in {what}, found {found:g}"


def _ascending(values: Sequence[int]) -> bool:
    return all(first < second for first, second in itertools.pairwise(values))
