"""The few colours that each clip is made of: k-means (Lloyd) of all clips of a batch at once, the same for any batch."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.sharing import share

__all__ = ["nearest_colour", "palette"]

_GRID: Final = 64
"""Steps of a unit that colours are rounded to for sums: sums of whole numbers do not depend on their order."""


def palette(colours: Tensor, count: int, *, rounds: int = 10) -> Tensor:
    """The `count` centres of each clip's colours: float `[B, N, C]` → f64 `[B, count, C]`, the most frequent first.

    Starts are the mean and then, one by one, the colour that is farthest from all before (Gonzalez, 1985), so that
    nothing is drawn. A centre that no colour is nearest to stays where it is.
    """
    exact = (colours.double() * _GRID).round()
    centres, members = (_compiled if colours.device.type == "cpu" else _clustered)(exact, count, rounds)
    order = members.argsort(dim=1, descending=True, stable=True)
    return centres.gather(1, order[..., None].expand_as(centres)) / _GRID


def nearest_colour(colours: Tensor, centres: Tensor) -> Tensor:
    """Which centre each colour is nearest to: float `[B, N, C]`, `[B, K, C]` → i64 `[B, N]`; the first of equals."""
    if colours.device.type != "cpu":
        return _distance(colours.double(), centres).argmin(dim=2)
    from unreel.pipelines.ops import pixel_loops

    lines, middles = _lines(colours.double()), centres.double().contiguous().numpy()
    near = np.empty(colours.shape[:2], np.int64)
    share(
        lambda start, stop: pixel_loops.name(start, stop, lines, middles, near),
        len(near),
        values=near.size * centres.shape[1],
    )
    return torch.from_numpy(near)


def _compiled(colours: Tensor, count: int, rounds: int) -> tuple[Tensor, Tensor]:
    """As `_clustered` in a compiled loop, which gives the same to the bit: sums are of whole numbers."""
    from unreel.pipelines.ops import pixel_loops

    lines, (clips, _, channels) = _lines(colours), colours.shape
    centres, members = np.empty((clips, count, channels)), np.zeros((clips, count))
    share(
        lambda start, stop: pixel_loops.cluster(start, stop, lines, centres, members, rounds),
        clips,
        values=colours.numel() * count,
    )
    return torch.from_numpy(centres), torch.from_numpy(members)


def _lines(colours: Tensor) -> NDArray[np.float64]:
    """A line for each channel, `[B, C, N]`."""
    return colours.transpose(1, 2).contiguous().numpy()


def _clustered(colours: Tensor, count: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Centres f64 `[B, count, C]`, and how many colours each had in the last of the rounds, f64 `[B, count]`."""
    centres = _farthest(colours, count)
    for _ in range(rounds):
        centres, members = _moved(colours, centres)
    return centres, members


def _farthest(colours: Tensor, count: int) -> Tensor:
    centres = colours.mean(dim=1, keepdim=True).round()
    nearest = _distance(colours, centres)[..., 0]
    for _ in range(count - 1):
        index = nearest.argmax(dim=1)[:, None, None].expand(-1, 1, colours.shape[2])
        added = colours.gather(1, index)
        centres = torch.cat([centres, added], dim=1)
        nearest = torch.minimum(nearest, _distance(colours, added)[..., 0])
    return centres


def _moved(colours: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Centres in the middle of their colours, and how many colours each has, f64 `[B, K]`."""
    near = _distance(colours, centres).argmin(dim=2)
    members = torch.zeros(centres.shape[:2], dtype=torch.float64, device=colours.device)
    members.scatter_add_(1, near, torch.ones_like(near, dtype=torch.float64))
    sums = torch.zeros_like(centres).scatter_add_(1, near[..., None].expand_as(colours), colours)
    middle = sums / members.clamp(min=1)[..., None]
    return torch.where(members[..., None] > 0, middle, centres), members


def _distance(colours: Tensor, centres: Tensor) -> Tensor:
    """Squared distances `[B, N, K]`, summed channel by channel: no row depends on the batch around it."""
    pairs = zip(colours.unbind(2), centres.unbind(2), strict=True)
    return sum(((a[:, :, None] - b[:, None]) ** 2 for a, b in pairs), start=colours.new_zeros(()))
