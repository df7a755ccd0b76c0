"""Exact spans of sound through PyAV: FLAC from the block that holds their start on, Opus from the start of the file."""

import io
from collections.abc import Iterator, Sequence
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from unreel.pipelines.plan import Span
from unreel.pipelines.plans import heard_span
from unreel.shards.errors import DecodeFailed

__all__ = ["SOUNDS", "decode_span", "decode_spans"]

SOUNDS: Final = {"flac": "flac", "opus": "ogg"}
"""Codec of sound → FFmpeg's name of the container that it lies in."""

_FULL_SCALE: Final = {"s16": 2.0**15, "s16p": 2.0**15, "s32": 2.0**31, "s32p": 2.0**31, "fltp": 1.0}
"""Value of 1.0 in FFmpeg's sample formats; 24-bit FLAC comes in the upper bits of s32."""

_STRICT: Final = {"err_detect": "crccheck+explode"}
"""Damage is an error, not a stretch of noise."""


def decode_span(data: bytes | memoryview, span: Span, codec: str = "flac") -> NDArray[np.float32]:
    """Samples `[span.start, span.start + span.length)` of a sound member.

    FLAC blocks are independent, so those in front of the span are walked over and not decoded: as quick as FFmpeg's
    seek, which fails for places in a file's last blocks.

    An Opus decoder started in the middle is near the truth and not equal to it, so Opus is decoded from its start, and
    its pre-skip (RFC 7845, 4.2) lies before sample 0.

    Args:
        data: the whole file.
        span: the stretch wanted, in audio samples.

    Returns:
        float32 in [-1, 1), `[C, N]`: integer samples divided by their full scale, so 16-bit samples are exact.

    Raises:
        DecodeFailed: the bytes are no such file, damaged, or end before the span does.
    """
    try:
        with av.open(io.BytesIO(data), "r", format=SOUNDS[codec], options=_STRICT) as container:
            stream = container.streams.audio[0]
            blocks = _blocks(container, stream, span) if codec == "flac" else _whole(container, stream)
            return _fill(stream, blocks, span)
    except av.FFmpegError as error:
        raise DecodeFailed(f"sound {span.start} … {span.start + span.length}: {error}") from error


def decode_spans(
    data: bytes | memoryview, spans: Sequence[Span], codec: str = "flac"
) -> list[NDArray[np.float32]]:
    """Several stretches of one sound member from one decode of the shortest stretch that holds them; as `decode_span`."""
    hull = heard_span(spans)
    sound = decode_span(data, hull, codec)
    return [sound[:, span.start - hull.start :][:, : span.length] for span in spans]


def _blocks(
    container: InputContainer, stream: AudioStream, span: Span
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first sample, float32 `[C, n]`) of each decoded block, from the one that holds the span's start on."""
    for packet in container.demux(stream):
        # The last packet, which drains the decoder, has no time; one that is damaged may have none either.
        if packet.pts is None or packet.duration is None or packet.pts + packet.duration <= span.start:
            continue
        for frame in packet.decode():
            yield packet.pts, _samples(frame)


def _whole(container: InputContainer, stream: AudioStream) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first sample, float32 `[C, n]`) of every decoded block; FFmpeg leaves out pre-skip and padding at the end."""
    first = 0
    for frame in container.decode(stream):
        block = _samples(frame)
        yield first, block
        first += block.shape[1]


def _samples(frame: AudioFrame) -> NDArray[np.float32]:
    """Float32 `[C, n]` in [-1, 1)."""
    block = frame.to_ndarray()
    if not frame.format.is_planar:
        block = block.reshape(frame.samples, -1).T
    return block.astype(np.float32) / np.float32(_FULL_SCALE[frame.format.name])


def _fill(
    stream: AudioStream, blocks: Iterator[tuple[int, NDArray[np.float32]]], span: Span
) -> NDArray[np.float32]:
    out = np.empty((stream.codec_context.channels, span.length), np.float32)
    done = span.start
    stop = span.start + span.length
    for first, block in blocks:
        if done >= stop or first > done:
            break
        if first + block.shape[1] <= done:
            continue
        block = block[:, done - first : stop - first]
        out[:, done - span.start : done - span.start + block.shape[1]] = block
        done += block.shape[1]
    if done < stop:
        raise DecodeFailed(f"sound {span.start} … {stop} asked for, decoding stopped at {done}")
    return out
