"""Weights of resizes and blurs: against torch's own kernel for uint8, and against plain convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from unreel.pipelines.ops.taps import blur_bands, blur_taps, taps_of, uniform_taps


@given(extent=st.integers(1, 300), size=st.integers(1, 200), seed=st.integers(0, 99))
def test_sums_are_to_the_bit_those_of_torchs_kernel(extent: int, size: int, seed: int) -> None:
    line = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, 3, 2, extent), np.uint8))
    expected = functional.interpolate(line, (2, size), mode="bilinear", antialias=True)
    taps = uniform_taps(extent, size)
    place = np.minimum(taps.first[0][:, None] + np.arange(taps.weight.shape[2]), extent - 1)
    sums = (line.numpy().astype(np.int64)[..., place] * taps.weight[0].astype(np.int64)).sum(-1)
    found = np.clip((sums + (1 << (int(taps.bits[0]) - 1))) >> int(taps.bits[0]), 0, 255)
    assert np.array_equal(found, expected.numpy())


def test_a_whole_start_changes_no_weight() -> None:
    moved = taps_of(np.array([7.0, 0.0]), np.array([90.0, 90.0]), 64)
    assert np.array_equal(moved.first[0], moved.first[1]) and np.array_equal(moved.weight[0], moved.weight[1])


@given(start=st.floats(0, 20, width=32), extent=st.floats(0.5, 90, width=32), size=st.integers(1, 64))
def test_cuts_between_pixels_find_the_place_of_a_slope(start: float, extent: float, size: int) -> None:
    """On a straight slope every value is that of the centre it stands for, away from the edges of the cut."""
    taps = taps_of(np.array([start]), np.array([extent]), size)
    count = taps.weight.shape[2]
    share = taps.weight[0] / 2.0 ** taps.bits[0]
    pixels = np.floor(start) + taps.first[0][:, None] + np.arange(count)
    found = (share * (pixels + 0.5)).sum(1) / share.sum(1)
    centre = start + extent / size * (np.arange(size) + 0.5)
    support = max(extent / size, 1)
    inner = (centre - support >= np.floor(start)) & (centre + support <= np.ceil(start + extent))
    assert np.abs(found - centre)[inner].max(initial=0) < 0.1 * support
    used = np.where(taps.weight[0] > 0, pixels, start)
    assert used.min() >= np.floor(start) and used.max() < np.ceil(start + extent)


def test_two_tables_at_once_are_those_of_each() -> None:
    starts, extents = np.array([0.25, 3.5]), np.array([100.5, 20.0])
    both = taps_of(starts, extents, 32)
    for number in range(2):
        one = taps_of(starts[number : number + 1], extents[number : number + 1], 32)
        count = one.weight.shape[2]
        assert np.array_equal(both.first[number], one.first[0]) and both.bits[number] == one.bits[0]
        assert np.array_equal(both.weight[number, :, :count], one.weight[0])
        assert not both.weight[number, :, count:].any()


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 2.4])
def test_blur_is_a_gaussian_with_mirrored_edges(sigma: float) -> None:
    line = torch.rand(1, 1, 20, dtype=torch.float64)
    shares = blur_taps(np.array([sigma, 3.0], np.float32))
    radius = int(np.ceil(3 * sigma))
    away = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (away / max(sigma, 1e-6)) ** 2)
    padded = functional.pad(line, (radius, radius), mode="reflect") if radius else line
    expected = functional.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1))
    bands = torch.from_numpy(blur_bands(shares, 20))[0].double()
    torch.testing.assert_close(line @ bands.T, expected, atol=1e-6, rtol=0)
    assert not shares[0, radius + 1 :].any()
