"""The scale that towers take colours in: zero mean and unit variance over natural pictures."""

from typing import Final

import torch
from torch import Tensor

__all__ = ["MEAN", "STD", "denormalise"]

MEAN: Final = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue in [0, 1]: what torchvision's weights expect."""

STD: Final = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue in [0, 1]."""


def denormalise(pictures: Tensor) -> Tensor:
    """What a tower saw, for people: float `[..., 3, H, W]` → uint8 in [0, 255], `[..., H, W, 3]`."""
    mean, std = (torch.tensor(values, device=pictures.device).view(3, 1, 1) for values in (MEAN, STD))
    levels = (pictures * std + mean).mul(255).round().clamp(0, 255)
    return levels.to(torch.uint8).movedim(-3, -1)
