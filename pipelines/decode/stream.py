"""What a decoder must know of a sample's pictures, whether they are a video or one still picture."""

from dataclasses import dataclass

import numpy as np

from unreel.pipelines.decode.screen import screen_image
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Packets, pack_column

__all__ = ["Stream", "stream_of"]


@dataclass(frozen=True, slots=True)
class Stream:
    """The picture member of one sample.

    Attributes:
        data: the member's bytes.
        codec, width, height, frames, extradata, packets: as in `Video`.
        matrix: name of the YUV matrix without its range: each decoded picture says whether its range is full.
    """

    data: memoryview
    codec: str
    width: int
    height: int
    frames: int
    matrix: str
    extradata: bytes
    packets: Packets


def stream_of(sample: EncodedSample) -> Stream:
    """The pictures of a sample; a JPEG picture is a stream of one packet and one frame, BT.601 as JFIF says.

    Raises:
        DecodeFailed: the member was not read, or is no whole JPEG of the sidecar's size.
    """
    video, image = sample.sidecar.video, sample.sidecar.image
    described = video or image
    assert described is not None, "check_row lets no sample without pictures through"
    data = sample.members.get(described.member)
    if data is None:
        raise DecodeFailed(f"the member {described.member} was not read")
    if video is not None:
        size = video.width, video.height, video.frames
        return Stream(data, video.codec, *size, video.matrix, video.extradata, video.packets)
    assert image is not None
    screen_image(image, data)
    return Stream(data, image.codec, image.width, image.height, 1, "smpte170m", b"", _one(len(data)))


def _one(size: int) -> Packets:
    table = (
        pack_column(name, np.array([value])) for name, value in (("offset", 0), ("size", size), ("key", 1))
    )
    offset, length, key = table
    return Packets(offset=offset, size=length, key=key)
