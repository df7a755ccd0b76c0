"""Perceptual hashes: near pictures differ in few bits, others in about half of them."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.making.hashes import distances, picture_hashes

ONE = Fraction(1)


def picture(seed: int, height: int = 32, width: int = 56) -> NDArray[np.uint8]:
    """Some broad blobs, drawn at any size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    places, sizes, levels = rng.uniform(0, 1, (8, 2)), rng.uniform(0.05, 0.3, 8), rng.uniform(-120, 120, 8)
    blobs = [
        level * np.exp(-((y - v) ** 2 + (x - u) ** 2) / size**2)
        for (v, u), size, level in zip(places, sizes, levels, strict=True)
    ]
    return np.clip(120 + sum(blobs), 0, 255).astype(np.uint8)


def one(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return picture_hashes(grey[None], ONE)


def test_one_frame_a_second_from_frame_0_on() -> None:
    rate = Fraction(24000, 1001)
    clip = np.stack([picture(frame // 24) for frame in range(60)])
    hashes = picture_hashes(clip, rate)
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [one(clip[frame])[0] for frame in (0, 24, 48)]
    assert len(picture_hashes(clip[:24], Fraction(24))) == 1
    assert len(picture_hashes(clip[:25], Fraction(24))) == 2


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_near_and_others_far(seed: int) -> None:
    original = picture(seed)
    noise = np.random.default_rng(9).normal(0, 3, original.shape)
    copies = [
        np.clip(original + noise, 0, 255).astype(np.uint8),
        np.clip(original * 0.8 + 10, 0, 255).astype(np.uint8),
        picture(seed, 64, 112),
    ]
    for copy in copies:
        assert distances(one(original), one(copy)).item() <= 8
    assert distances(one(original), one(picture(seed + 100))).item() >= 16


def test_distances_count_bits() -> None:
    hashes = np.array([0, 2**64 - 1, 0b101], np.uint64)
    assert distances(hashes, hashes).tolist() == [[0, 64, 2], [64, 0, 62], [2, 62, 0]]


@pytest.mark.parametrize("shape", [(32, 56), (5, 7), (1, 1)])
def test_plain_and_tiny_pictures_have_a_hash(shape: tuple[int, int]) -> None:
    assert one(np.full(shape, 77, np.uint8)).tolist() == [0]


def test_bits_follow_the_documented_order() -> None:
    x = np.cos(np.pi * 3 * (np.arange(56) + 0.5) / 56)
    y = np.cos(np.pi * 2 * (np.arange(32) + 0.5) / 32)
    wave = (120 + 100 * np.outer(y, x)).astype(np.uint8)
    # Two half waves down and three across: bit 8 * (2 - 1) + (3 - 1).
    assert int(one(wave)[0]) >> 10 & 1 == 1
