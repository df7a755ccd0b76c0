"""Does a sample decode? Every picture and every sound sample of it, strictly, counted against its sidecar."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from unreel.shards.border.signatures import HEAD_BYTES, identify
from unreel.shards.errors import MediaRefused
from unreel.shards.sample import Audio, Image, Sidecar, Video

__all__ = ["FAILURES", "StoredPacket", "decode_breaches", "find_packets", "open_member", "pinned_demuxer"]

FAILURES: Final = (av.FFmpegError, ArithmeticError, EOFError, LookupError, ValueError)
"""What PyAV raises on damaged media; some of it comes from its own tables and not from FFmpeg."""

_STRICT: Final = {"err_detect": "crccheck+explode"}
_PICTURES: Final = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
}
_BLOCK_HEADER: Final = 64


class StoredPacket(NamedTuple):
    """One packet where it lies in its member."""

    offset: int
    size: int
    key: bool
    time: int | None
    """Presentation time, in units of the stream."""


def decode_breaches(
    sidecar: Sidecar, members: Mapping[str, memoryview], *, longer_sound: bool = False
) -> Iterator[str]:
    """Each way in which the decoded members are not what the sidecar says, as a sentence; none where all is well.

    Args:
        longer_sound: a sound may go on after what counts of it, as in tars of others.
    """
    for part in (sidecar.video, sidecar.audio, sidecar.image):
        if part is None or part.member not in members:
            continue
        try:
            yield from _breaches(part, members[part.member], longer_sound)
        except MediaRefused as refusal:
            yield f"member {part.member}: {refusal}"
        except FAILURES as error:
            what = error.strerror if isinstance(error, av.FFmpegError) else repr(error)
            yield f"member {part.member} does not decode: {what}"


def open_member(data: memoryview | bytes, name: str) -> InputContainer:
    """Open the bytes of a member, its demuxer pinned from its first bytes and told to be strict.

    Raises:
        MediaRefused: it is no container that unreel opens.
        av.FFmpegError: it does not open.
    """
    demuxer = pinned_demuxer(bytes(data[:HEAD_BYTES]), name)
    # A playlist inside a member would be followed if FFmpeg could choose; nothing here may open another file.
    options = {**_STRICT, "protocol_whitelist": ""}
    return av.open(io.BytesIO(data), "r", format=demuxer, options=options)


def pinned_demuxer(head: bytes, name: str) -> str:
    """FFmpeg's name of the one demuxer that may open a member beginning with `head`; `name` is its extension.

    Raises:
        MediaRefused: it is no container and no picture that unreel opens.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    picture = next((pipe for magic, pipe in _PICTURES.items() if head.startswith(magic)), None)
    return picture or identify(head, f"member.{name}")


def _breaches(part: Video | Audio | Image, data: memoryview, longer_sound: bool) -> Iterator[str]:
    with open_member(data, part.member) as container:
        if isinstance(part, Audio):
            yield from _sound(part, container, longer_sound)
        elif isinstance(part, Image):
            yield from _image(part, container)
        else:
            yield from _video(part, container, data)


def find_packets(container: InputContainer, stream: VideoStream, data: memoryview) -> list["StoredPacket"]:
    """The packets of a picture in stream order, each where its bytes lie in `data`.

    Raises:
        MediaRefused: the container does not store packets as they are decoded, or hides some of them.
    """
    found = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.is_discard:
            raise MediaRefused("edited", "its edit list hides frames; `unreel build` stores what is shown")
        payload, near = bytes(packet), max(0, packet.pos or 0)
        # Matroska states where a block begins; the payload follows its header.
        offset = bytes(data[near : near + len(payload) + _BLOCK_HEADER]).find(payload)
        if offset < 0:
            raise MediaRefused("packets-not-whole", "the container splits or changes the codec's packets")
        found.append(StoredPacket(near + offset, len(payload), packet.is_keyframe, packet.pts))
    return found


def _video(video: Video, container: InputContainer, data: memoryview) -> Iterator[str]:
    stream = container.streams.video[0]
    stream.codec_context.options = _STRICT
    # Members are decoded beside each other; FFmpeg's own threads would only fight.
    stream.codec_context.thread_count = 1
    yield from _table(video, find_packets(container, stream, data))
    container.seek(0)
    frames = 0
    for frame in container.decode(stream):
        frames += 1
        if (frame.width, frame.height) != (video.width, video.height) or frame.is_corrupt:
            damaged = ", damaged" if frame.is_corrupt else ""
            found = f"found frame {frames - 1} of {frame.width}x{frame.height}{damaged}"
            yield f"expected frames of {video.width}x{video.height}, {found}"
            return
    if frames != video.frames:
        yield f"expected {video.frames} frames, decoded {frames}"


def _table(video: Video, packets: Sequence["StoredPacket"]) -> Iterator[str]:
    stated = [video.packets.offsets, video.packets.sizes, np.frombuffer(video.packets.key, "u1")]
    found = np.array([packet[:3] for packet in packets], np.int64).reshape(-1, 3)
    if len(found) != len(stated[0]):
        yield f"expected {len(stated[0])} packets, the container has {len(found)}"
        return
    wrong = np.flatnonzero((found != np.stack(stated, 1)).any(1))
    if len(wrong):
        row = wrong[0]
        expected = tuple(int(column[row]) for column in stated)
        yield f"packet {row}: expected (offset, size, key) {expected}, found {tuple(found[row].tolist())}"


def _sound(audio: Audio, container: InputContainer, longer: bool) -> Iterator[str]:
    stream = container.streams.audio[0]
    stream.codec_context.options = _STRICT
    samples = sum(frame.samples for packet in container.demux(stream) for frame in packet.decode())
    counted = min(samples, audio.samples) if longer else samples
    found = (counted, stream.rate, stream.channels)
    expected = (audio.samples, audio.rate, audio.channels)
    if found != expected:
        yield f"expected (samples, rate, channels) {expected} of sound, decoded {found}"


def _image(image: Image, container: InputContainer) -> Iterator[str]:
    frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    if frames != [(image.width, image.height)]:
        yield f"expected one picture of {image.width}x{image.height}, decoded {frames}"
