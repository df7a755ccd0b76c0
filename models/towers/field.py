"""Where the cells of a map look: the middle of a cell's receptive field, which need not be the middle of its share of the picture."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from unreel.models.towers.tower import Tower

__all__ = ["field_shift"]

_NORMS = (
    nn.modules.batchnorm._NormBase,  # of batch and instance norm alike, in all dimensions
    nn.GroupNorm,
    nn.LayerNorm,
)


def field_shift(tower: Tower, size: tuple[int, int], stage: str | None = None) -> tuple[float, float]:
    """How far the fields of a frame tower's cells lie from an even split of its input, down and right, in pixels.

    A convolution of 5 pixels with stride 2 and padding 2 looks at pixels 0, 2, 4 ...; an even split has the middles of its
    cells at 0.5, 2.5, 4.5. Three such stages are half a cell off. Patches are where the split has them: 0.

    Measured as the centroid of the middle cell's gradient in a copy of the network whose weights are all alike, which is
    what is left of it when only its geometry counts.

    Args:
        tower: a frame tower.
        size: height and width of its input, in pixels.
        stage: as in `Tower.map`.

    Raises:
        ValueError: for another kind of tower, and as `Tower.map`.
    """
    if tower.kind != "frame":
        raise ValueError(f"a {tower.kind} tower: fields of cells are measured of frame towers")
    if any(isinstance(module, nn.MultiheadAttention) for module in tower.modules()):
        return 0.0, 0.0
    picture = torch.ones(1, tower.inputs[0].channels, *size, requires_grad=True)
    with torch.enable_grad():
        cells = _geometry(tower).map(picture, stage)[0].sum(dim=0)
        middle = cells.shape[0] // 2, cells.shape[1] // 2
        (gradient,) = torch.autograd.grad(cells[middle], picture)
    seen = gradient[0].sum(dim=0).double()
    down, right = (
        _centroid(seen.sum(dim=1 - axis)) - (middle[axis] + 0.5) * size[axis] / cells.shape[axis]
        for axis in (0, 1)
    )
    return down, right


def _centroid(weights: Tensor) -> float:
    places = torch.arange(len(weights), dtype=weights.dtype) + 0.5
    return float((weights * places).sum() / weights.sum())


def _geometry(tower: Tower) -> Tower:
    """A copy in which every weight is alike, nothing is normalised, and maxima are means."""
    copy = deepcopy(tower).eval()
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            setattr(parent, name, _plain(child))
    return copy


def _plain(module: nn.Module) -> nn.Module:
    if isinstance(module, _NORMS):
        return nn.Identity()
    if isinstance(module, nn.MaxPool2d):
        return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
    if isinstance(module, nn.Conv2d):
        nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return module
