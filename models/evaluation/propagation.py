"""Carry a mask from the first frame of a clip to the others by how alike the features of places are."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["disc", "mask_centre", "overlap", "propagate"]

_CONTEXT: Final = 3
"""Frames just before, whose own masks are asked beside the first one's."""

_NEAREST: Final = 5
"""Places that a place is answered by."""

_TEMPERATURE: Final = 0.07


@torch.no_grad()
def propagate(
    vectors: Tensor,
    mask: Tensor,
    *,
    context: int = _CONTEXT,
    nearest: int = _NEAREST,
    temperature: float = _TEMPERATURE,
) -> Tensor:
    """Masks of every frame, given that of the first: frame after frame, each place asks the places most like it.

    As dense tracking is commonly evaluated: cosines of features with the first frame and the `context` frames before,
    whose masks may be answers themselves; softmax over the `nearest` of all their places.

    Args:
        vectors: float `[B, C, T, h, w]`, features of each place.
        mask: float `[B, h, w]` in [0, 1], how much of each place of the first frame is the thing.

    Returns:
        f32 `[B, T, h, w]` in [0, 1]; the first frame is `mask`.
    """
    unit = functional.normalize(vectors.float(), dim=1)
    masks = [mask.float()]
    for time in range(1, vectors.shape[2]):
        asked = sorted({0, *range(max(0, time - context), time)})
        scores = unit[:, :, time].flatten(2).transpose(1, 2) @ unit[:, :, asked].flatten(2)
        best, places = scores.topk(min(nearest, scores.shape[2]), dim=2)
        known = torch.stack([masks[frame] for frame in asked], dim=1).flatten(1)
        answers = known.gather(1, places.flatten(1)).view_as(best)
        masks.append((functional.softmax(best / temperature, dim=2) * answers).sum(dim=2).view_as(mask))
    return torch.stack(masks, dim=1)


def disc(centre: Tensor, radius: Tensor, cells: int) -> Tensor:
    """Discs on a grid: float `[..., 2]` (right, down) and `[...]`, in sides of the picture → f32 `[..., cells, cells]`.

    A cell is 1 where its middle lies inside, and fades over one cell's width at the border.
    """
    middles = (torch.arange(cells, device=centre.device) + 0.5) / cells
    right = middles - centre[..., 0, None, None]
    down = middles[:, None] - centre[..., 1, None, None]
    distance = (right.square() + down.square()).sqrt()
    return ((radius[..., None, None] - distance) * cells + 0.5).clamp(0, 1)


def mask_centre(masks: Tensor) -> Tensor:
    """Centre of mass: float `[..., h, w]` → f32 `[..., 2]` (right, down) in sides of the picture; of nothing, the middle."""
    height, width = masks.shape[-2:]
    weight = masks.float() + torch.finfo(torch.float32).eps
    right = (torch.arange(width, device=masks.device) + 0.5) / width
    down = (torch.arange(height, device=masks.device) + 0.5) / height
    total = weight.sum(dim=(-2, -1))
    return torch.stack(
        [(weight.sum(dim=-2) * right).sum(-1) / total, (weight.sum(dim=-1) * down).sum(-1) / total], dim=-1
    )


def overlap(masks: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of what is at least half: float `[..., h, w]` twice → f32 `[...]`; of two empty ones 1."""
    found, known = masks >= 0.5, truth >= 0.5
    union = (found | known).sum(dim=(-2, -1))
    return torch.where(union > 0, (found & known).sum(dim=(-2, -1)) / union.clamp(min=1), 1.0)
