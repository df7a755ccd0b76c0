"""Spans of FLAC are the samples of the full decode, exactly."""

import random

import numpy as np
import pytest

from tests.pipelines.decode.conftest import AUDIO_RATE, encode_flac, noise
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
