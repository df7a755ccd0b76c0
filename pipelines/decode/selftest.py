"""The self-test of `packets`: one generated clip through the loop without the GIL and through PyAV, bit for bit."""

import io
from functools import cache
from typing import Final

import av
import numpy as np
import torch
from av.video.stream import VideoStream

from unreel.pipelines.decode.avcodec import DecoderUnavailable
from unreel.pipelines.decode.native import Job, NativeDecoder
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.plan import Plan, Window
from unreel.shards.index import SampleRow
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Packets, Sidecar, Source, Video, pack_column

__all__ = ["why_not"]

_FRAMES: Final = np.array([9, 2, 3, 9, 14], np.int32)
_SIZE: Final = (48, 64)
"""Height, width."""


@cache
def why_not() -> str | None:
    """None where the loop gives PyAV's pictures on this machine, else why it is not used. Tested once a process."""
    try:
        decoder = NativeDecoder(1)
    except DecoderUnavailable as error:
        return str(error)
    try:
        return _differs(decoder)
    except DecoderUnavailable as error:
        return str(error)
    finally:
        decoder.close()


def _differs(decoder: NativeDecoder) -> str | None:
    sample = _sample()
    height, width = _SIZE
    plan = Plan(frames=_FRAMES, window=Window(0, 0, height, width))
    luma = torch.empty((1, len(_FRAMES), height, width), dtype=torch.uint8)
    chroma = torch.empty((1, len(_FRAMES), 2, height // 2, width // 2), dtype=torch.uint8)
    (error,) = decoder.decode([Job.of(0, sample, [plan])], [(luma, chroma)])
    expected = PacketDecoder().decode_yuv(sample, _FRAMES)
    found = luma[0].numpy(), chroma[0, :, 0].numpy(), chroma[0, :, 1].numpy()
    if error is not None:
        return f"a generated clip does not decode: {error}"
    same = all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    return None if same else "a generated clip gives other pictures than PyAV"


def _sample() -> EncodedSample:
    data = _clip()
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        columns = {
            "offset": [packet.pos for packet in packets],
            "size": [packet.size for packet in packets],
            "key": [packet.is_keyframe for packet in packets],
        }
        video = Video(
            codec=stream.codec_context.codec.canonical_name,
            width=_SIZE[1],
            height=_SIZE[0],
            frames=len(packets),
            rate=(25, 1),
            matrix="bt709",
            gop=8,
            extradata=bytes(stream.codec_context.extradata or b""),
            packets=Packets(
                **{name: pack_column(name, np.array(values)) for name, values in columns.items()}
            ),
        )
    source = Source(id=f"{0:016x}", name="self-test")
    sidecar = Sidecar(key="self-test", source=source, video=video)
    return EncodedSample(
        "generated",
        SampleRow(key="self-test", source=source.id, members=()),
        sidecar,
        {"mp4": memoryview(data)},
    )


def _clip() -> bytes:
    """Sixteen pictures of a moving texture, H.264 with a key frame at 0 and 8, no B-frames."""
    sink = io.BytesIO()
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (2 * _SIZE[0], 2 * _SIZE[1], 3), np.uint8)
    with av.open(sink, "w", format="mp4") as container:
        options = {
            "bf": "0",
            "g": "8",
            "sc_threshold": "0",
            "flags": "+cgop",
            "preset": "ultrafast",
            "threads": "1",
        }
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *_SIZE, "yuv420p"
        for shift in range(16):
            picture = np.ascontiguousarray(texture[shift : shift + _SIZE[0], shift : shift + _SIZE[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return sink.getvalue()
