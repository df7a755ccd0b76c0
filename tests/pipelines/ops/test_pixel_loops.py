"""Compiled loops over pixels against the operations of torch that they stand for: equal to the bit."""

import numpy as np
import pytest
import torch

from unreel.pipelines.ops import palette as of_palette
from unreel.pipelines.ops import pixel_loops
from unreel.pipelines.ops.yuv import every_pixel


@pytest.mark.parametrize("step", [2, 4, 6])
@pytest.mark.parametrize("size", [(16, 24), (17, 9)])
def test_thinned_frames_are_slices(step: int, size: tuple[int, int]) -> None:
    pixels = torch.randint(0, 256, (3, 2, *size, 3), dtype=torch.uint8)
    assert torch.equal(every_pixel(pixels, step), pixels[:, :, ::step, ::step])
    assert torch.equal(every_pixel(pixels[:, 1:], step), pixels[:, 1:, ::step, ::step])


@pytest.mark.parametrize("spread", [3.0, 2000.0])
def test_clusters_are_those_of_torch(spread: float) -> None:
    """With colours that lie so close together that centres lose all their members, too."""
    colours = (torch.randn(5, 300, 2, dtype=torch.float64) * spread).round()
    (found, counted), (expected, members) = (
        made(colours, 12, 7) for made in (of_palette._compiled, of_palette._clustered)
    )
    assert torch.equal(found, expected) and torch.equal(counted, members)
    names = of_palette.nearest_colour(colours, found)
    assert torch.equal(names, of_palette._distance(colours, found).argmin(dim=2))


@pytest.mark.parametrize("length", [5, 70_000])
def test_squared_differences_are_exact(length: int) -> None:
    frames = torch.randint(0, 256, (3, 4, length), dtype=torch.uint8)
    frames[0, 0], frames[0, 1] = 0, 255
    pairs, found = np.array([[0, 1], [2, 0], [3, 3]]), np.zeros((3, 3), np.int64)
    pixel_loops.square_differences(0, 3, frames.numpy(), pairs, found)
    wide = frames.long()
    expected = (wide[:, pairs[:, 0]] - wide[:, pairs[:, 1]]).square().sum(2)
    assert np.array_equal(found, expected.numpy())
