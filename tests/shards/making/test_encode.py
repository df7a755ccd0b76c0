"""Encoded members keep the contract of a sample, whatever the profile."""

import io
from fractions import Fraction

import av
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.making.encode import encode_picture, encode_sound
from unreel.shards.making.profiles import PROFILES

PROFILE = PROFILES["clips-128"]
RATE = Fraction(30000, 1001)
HEIGHT, WIDTH = 128, 176


def scene(frames: int = 40) -> NDArray[np.uint8]:
    """u8 `[T, H * 3 / 2, W]`: a square moves over a ramp, and all is different from frame 20 on."""
    yuv = np.full((frames, HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    yuv[:, :HEIGHT] = np.linspace(30, 200, WIDTH).astype(np.uint8)
    yuv[20:, :HEIGHT] = np.linspace(220, 40, HEIGHT).astype(np.uint8)[:, None]
    for frame in range(frames):
        yuv[frame, 40:72, frame * 3 : frame * 3 + 32] = 235
    return yuv


def decode(payload: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(payload), "r") as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("name", PROFILES)
def test_packet_table_is_what_the_file_holds(name: str) -> None:
    payload, video = encode_picture(scene(), RATE, PROFILES[name])
    assert (video.frames, video.width, video.height, video.frame_rate) == (40, WIDTH, HEIGHT, RATE)
    spans = zip(video.packets.offsets.tolist(), video.packets.sizes.tolist(), strict=True)
    table = [payload[offset : offset + size] for offset, size in spans]
    with av.open(io.BytesIO(payload), "r") as container:
        assert container.streams.video[0].codec_context.name == video.codec
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [bytes(packet) for packet in packets] == table
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        assert packets[0].pts == 0


@pytest.mark.parametrize("name", PROFILES)
def test_key_frames_are_due_and_nowhere_else(name: str) -> None:
    profile = PROFILES[name]
    payload, video = encode_picture(scene(), RATE, profile)
    assert video.packets.key_frames.tolist() == list(range(0, 40, profile.gop))
    # The container says 1 for intra; B would be 3.
    kinds = [int(frame.pict_type) for frame in decode(payload)]
    assert set(kinds) <= {1, 2}
    assert [index for index, kind in enumerate(kinds) if kind == 1] == video.packets.key_frames.tolist()


@pytest.mark.parametrize(
    ("name", "code"),
    [("clips-128", {1}), ("clips-128-hevc", {1}), ("clips-128-vp9", {5, 6}), ("clips-128-mjpeg", {5, 6})],
)
def test_matrix_is_tagged_and_range_limited(name: str, code: set[int]) -> None:
    first = decode(encode_picture(scene(), RATE, PROFILES[name])[0])[0]
    assert int(first.colorspace) in code
    assert int(first.color_range) == 1
    assert first.format.name == "yuv420p"


@pytest.mark.parametrize("name", PROFILES)
def test_picture_comes_back_and_bytes_repeat(name: str) -> None:
    profile, yuv = PROFILES[name], scene()
    payload, video = encode_picture(yuv, RATE, profile)
    assert encode_picture(yuv, RATE, profile) == (payload, video)
    decoded = np.stack([frame.to_ndarray() for frame in decode(payload)])
    assert decoded.shape == yuv.shape
    assert np.abs(decoded.astype(np.int16) - yuv).mean() < 2
    assert b"x265" not in payload


@pytest.mark.parametrize("name", ["clips-128", "clips-128-hevc"])
def test_gops_are_closed(name: str) -> None:
    """Decoding from any key frame on gives the same pictures as decoding from the start."""
    payload, video = encode_picture(scene(), RATE, PROFILES[name])
    whole = [frame.to_ndarray() for frame in decode(payload)]
    with av.open(io.BytesIO(payload), "r") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for key in video.packets.key_frames.tolist():
            context = av.CodecContext.create(video.codec, "r")
            context.extradata = video.extradata
            frames = [frame for packet in [*packets[key:], None] for frame in context.decode(packet)]
            assert len(frames) == 40 - key
            assert all(np.array_equal(frame.to_ndarray(), whole[key + i]) for i, frame in enumerate(frames))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [1, 4607, 48_000])
def test_flac_is_16_bit_exact_and_of_exact_length(length: int, channels: int) -> None:
    profile = msgspec.structs.replace(PROFILE, audio_channels=channels)
    sound = np.random.default_rng(0).integers(-32768, 32768, (length, channels)).astype(np.int16)
    payload, audio = encode_sound(sound, profile)
    assert (audio.samples, audio.rate, audio.channels, audio.bits) == (length, 48_000, channels, 16)
    assert encode_sound(sound, profile)[0] == payload
    with av.open(io.BytesIO(payload), "r") as container:
        assert container.streams.audio[0].codec_context.format.name == "s16"
        frames = [frame.to_ndarray().reshape(-1, channels) for frame in container.decode(audio=0)]
    assert np.array_equal(np.concatenate(frames), sound)
    # STREAMINFO: 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    fields = int.from_bytes(payload[18:26], "big")
    assert (fields >> 44, (fields >> 41 & 7) + 1, (fields >> 36 & 31) + 1, fields & (1 << 36) - 1) == (
        48_000,
        channels,
        16,
        length,
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [1, 959, 48_000, 100_003])
def test_opus_has_its_sample_0_at_frame_0_and_its_exact_length(length: int, channels: int) -> None:
    """Clicks come back where they were: the encoder's look-ahead and padding are cut off by any reader of the file."""
    profile = msgspec.structs.replace(PROFILE, audio_codec="opus", audio_channels=channels, audio_kbps=128)
    sound = np.zeros((length, channels), np.int16)
    clicks = np.arange(0, length, 12_000)
    sound[clicks] = 24_000
    payload, audio = encode_sound(sound, profile)
    assert (audio.codec, audio.member, audio.samples, audio.channels) == ("opus", "opus", length, channels)
    assert encode_sound(sound, profile)[0] == payload
    with av.open(io.BytesIO(payload), "r") as container:
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    decoded = np.concatenate(frames, axis=1)
    assert decoded.shape == (channels, length)
    if length > 12_000:
        loudest = [int(np.abs(decoded[0, max(0, c - 500) : c + 500]).argmax()) for c in clicks.tolist()]
        assert loudest == [min(500, c) for c in clicks.tolist()]


def test_opus_follows_its_bit_rate() -> None:
    sound = (3000 * np.random.default_rng(0).standard_normal((48_000 * 4, 1))).astype(np.int16)
    sizes = [
        len(encode_sound(sound, msgspec.structs.replace(PROFILE, audio_codec="opus", audio_kbps=kbps))[0])
        for kbps in (32, 96)
    ]
    assert sizes == pytest.approx([4 * 32_000 / 8, 4 * 96_000 / 8], rel=0.2)
