"""Propagation: a mask follows what looks alike, and geometry of discs."""

import torch

from unreel.models.evaluation.propagation import disc, mask_centre, overlap, propagate


def moving_squares(cells: int = 12, times: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Features `[1, 2, T, c, c]` in which a square of its own kind moves right by a cell a frame, and its masks."""
    masks = torch.zeros(1, times, cells, cells)
    for time in range(times):
        masks[0, time, 3:6, time : time + 3] = 1
    return torch.stack([masks, 1 - masks], dim=1), masks


def test_a_mask_follows_its_features() -> None:
    vectors, masks = moving_squares()
    assert torch.allclose(propagate(vectors, masks[:, 0]), masks, atol=1e-5)


def test_features_that_are_all_alike_carry_nothing() -> None:
    vectors, masks = moving_squares()
    found = propagate(torch.ones_like(vectors) + 1e-4 * torch.randn(vectors.shape), masks[:, 0])
    assert overlap(found, masks)[0, -1] < 0.2


def test_clips_do_not_see_each_other() -> None:
    vectors, masks = moving_squares()
    other = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    pair = propagate(torch.cat([vectors, other]), masks[:, 0].repeat(2, 1, 1))
    assert torch.allclose(pair[:1], propagate(vectors, masks[:, 0]), atol=1e-6)


def test_discs_lie_where_they_are_put() -> None:
    masks = disc(torch.tensor([[0.25, 0.75]]), torch.tensor([0.2]), 64)
    assert torch.allclose(mask_centre(masks), torch.tensor([[0.25, 0.75]]), atol=0.005)
    assert abs(float(masks.sum()) / 64**2 - torch.pi * 0.2**2) < 0.002


def test_overlap_by_hand() -> None:
    a, b = torch.zeros(4, 4), torch.zeros(4, 4)
    a[:2], b[1:3] = 1, 1
    assert abs(float(overlap(a, b)) - 4 / 12) < 1e-6
    assert float(overlap(torch.zeros(2, 2), torch.zeros(2, 2))) == 1
    assert torch.allclose(mask_centre(torch.zeros(4, 4)), torch.tensor([0.5, 0.5]))
