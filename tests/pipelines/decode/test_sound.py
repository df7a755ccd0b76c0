"""Spans of FLAC are the samples of the full decode, exactly."""

import io
import random

import av
import numpy as np
import pytest
import torch

from tests.pipelines.decode.conftest import AUDIO_RATE, encode_flac, noise
from unreel.pipelines.decode.native import NativeDecoder, SoundJob
from unreel.pipelines.decode.sound import decode_span
from unreel.pipelines.plan import Span
from unreel.shards.errors import DecodeFailed

LENGTH = 5 * AUDIO_RATE + 123


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return noise(LENGTH, 3)


@pytest.fixture(scope="module")
def flac(sound: np.ndarray) -> bytes:
    return encode_flac(sound[:, None])


def test_spans_equal_the_full_decode_sliced(flac: bytes, sound: np.ndarray) -> None:
    full = sound.astype(np.float32) / 32768
    assert np.array_equal(decode_span(flac, Span(0, LENGTH))[0], full)
    rng = random.Random(1)
    for _ in range(60):
        length = rng.choice([1, 17, 4096, 4608, 48_000])
        start = rng.choice([0, 4608, LENGTH - length, rng.randrange(LENGTH - length)])
        assert np.array_equal(decode_span(flac, Span(start, length))[0], full[start : start + length])


def test_stereo_keeps_its_channels_apart() -> None:
    both = np.stack([noise(9_000, 1), noise(9_000, 2)], 1)
    span = decode_span(memoryview(encode_flac(both)), Span(5_000, 3_000))
    assert np.array_equal(span, both[5_000:8_000].T.astype(np.float32) / 32768)


def test_24_bit_has_its_own_full_scale() -> None:
    wide = (noise(6_000, 4).astype(np.int32) * 256 + 77) << 8
    span = decode_span(encode_flac(wide[:, None], bits=24), Span(100, 5_000))
    assert np.array_equal(span[0], (wide[100:5_100] / 2**31).astype(np.float32))


def test_a_span_beyond_the_end_is_no_silence(flac: bytes) -> None:
    with pytest.raises(DecodeFailed, match=f"stopped at {LENGTH}"):
        decode_span(flac, Span(LENGTH - 100, 101))


def damaged(flac: bytes) -> bytes:
    return flac[:200_000] + b"\x11" * 64 + flac[200_064:]


@pytest.mark.parametrize(
    "change", [damaged, lambda flac: flac[:90_000], lambda flac: b"", lambda flac: b"RIFF" * 999]
)
def test_damage_is_an_error(flac: bytes, change) -> None:
    with pytest.raises(DecodeFailed):
        decode_span(change(flac), Span(1_000, LENGTH - 1_000))


def native_spans(members: list[bytes], spans: list[Span], channels: int = 1) -> tuple[np.ndarray, list]:
    """Spans of FLAC files through the loop without the GIL: f32 `[R, C, N]` and the errors."""
    out = np.full((len(spans), channels, spans[0].length), np.nan, np.float32)
    jobs = [
        SoundJob(row, memoryview(member), [span])
        for row, (member, span) in enumerate(zip(members, spans, strict=True))
    ]
    decoder = NativeDecoder(2)
    try:
        return out, decoder.decode_sounds(jobs, [torch.from_numpy(out)])
    finally:
        decoder.close()


@pytest.mark.parametrize("length", [1, 4_608, 48_000])
def test_spans_without_the_gil_are_the_samples(flac: bytes, sound: np.ndarray, length: int) -> None:
    rng = random.Random(length)
    starts = [0, 4_608, LENGTH - length, *(rng.randrange(LENGTH - length) for _ in range(40))]
    out, errors = native_spans([flac] * len(starts), [Span(start, length) for start in starts])
    assert not any(errors)
    for row, start in enumerate(starts):
        expected = sound[start : start + length].astype(np.float32) / 32768
        assert np.array_equal(out[row, 0], expected)


@pytest.mark.parametrize("length", [4_608 + 2_304, 4_608 + 100, 4_608 + 1_000])
def test_silence_at_the_end_is_found_without_the_gil(length: int) -> None:
    # Its last block takes eleven to thirteen bytes.
    out, errors = native_spans([encode_flac(np.zeros((length, 1), np.int16))], [Span(0, length)])
    assert not any(errors)
    assert not out.any()


def test_kinds_of_flac_take_turns_without_the_gil(flac: bytes) -> None:
    wide = (noise(9_000, 4).astype(np.int32) * 256 + 77) << 8
    members = [flac, encode_flac(wide[:, None], bits=24), encode_flac(noise(9_000, 5)[:, None])] * 3
    spans = [Span(1_000 + 97 * row, 5_000) for row in range(len(members))]
    out, errors = native_spans(members, spans)
    assert not any(errors)
    assert all(
        np.array_equal(out[row], decode_span(*job))
        for row, job in enumerate(zip(members, spans, strict=True))
    )


def test_stereo_without_the_gil(flac: bytes) -> None:
    both = np.stack([noise(9_000, 1), noise(9_000, 2)], 1)
    out, errors = native_spans([encode_flac(both), flac], [Span(5_000, 3_000)] * 2, channels=2)
    assert np.array_equal(out[0], both[5_000:8_000].T.astype(np.float32) / 32768)
    assert errors[0] is None and "1 channels, expected 2" in str(errors[1])


def test_damage_without_the_gil_costs_its_row(flac: bytes, sound: np.ndarray) -> None:
    members = [flac, damaged(flac), flac[:90_000], b"", b"RIFF" * 999, flac]
    starts = [0, 0, 0, 0, 0, 100]
    out, errors = native_spans(members, [Span(start, LENGTH - 100) for start in starts])
    assert [error is None for error in errors] == [True, False, False, False, False, True]
    assert np.array_equal(out[5, 0], sound[100:].astype(np.float32) / 32768)


def encode_opus(sound: np.ndarray) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=AUDIO_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound)[None], "s16", "mono")
        frame.sample_rate = AUDIO_RATE
        for part in (frame, None):
            container.mux(stream.encode(part))
    return sink.getvalue()


def test_opus_starts_at_its_sound_and_not_at_its_pre_skip() -> None:
    time = np.arange(96_000) / AUDIO_RATE
    tone = (12_000 * np.sin(2 * np.pi * (200 + 300 * time) * time)).astype(np.int16)
    data = encode_opus(tone)
    full = decode_span(data, Span(0, 95_000), "opus")
    assert np.array_equal(decode_span(data, Span(40_000, 5_000), "opus"), full[:, 40_000:45_000])
    distances = {
        shift: np.abs(full[0, 20_000 + shift : 60_000 + shift] - tone[20_000:60_000] / 32768).mean()
        for shift in range(-400, 401, 8)
    }
    assert min(distances, key=lambda shift: distances[shift]) == 0
