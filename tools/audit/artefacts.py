"""What a probe is shown: functions from a batch to one artefact of each decision, and to nothing else."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Window
from unreel.pipelines.pretext.task import PretextBatch
from unreel.shards.sample import Sidecar
from unreel.tools.audit.probe import Evidence
from unreel.tools.audit.worlds import WORLDS, content_box, path_of
from unreel.tools.synth.world import World

__all__ = ["Artefact", "border", "colours", "facts", "motion", "tuple_facts", "tuple_set"]

Artefact = Callable[[MediaBatch, PretextBatch], Evidence]

_PAIRS: Final = ((0, 1), (1, 2), (0, 2))
_CELLS: Final = 8
"""Side of the grid at which colours are compared."""


def facts(*names: str) -> Artefact:
    """Facts of a batch with one decision a row."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        columns = [np.asarray(batch.facts[name], np.float32).reshape(len(batch), -1) for name in names]
        return _rows(batch, np.concatenate(columns, axis=1))

    return show


def tuple_facts(*names: str) -> Artefact:
    """Facts of the frames of each tuple, in the order in which the tuple shows them."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        return _tuples(batch, np.stack([batch.facts[name] for name in names], axis=2))

    return show


def tuple_set(*names: str) -> Artefact:
    """Facts of the frames of each tuple, sorted: what the tuple is made of, without its order."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        shown = _of_tuples(batch, np.stack([batch.facts[name] for name in names], axis=2))
        shown = np.sort(shown, axis=3)
        # Differences say what is the same wherever in the clip the tuple lies.
        return _decisions(batch, np.concatenate([shown, np.diff(shown, axis=3)], axis=3))

    return show


def colours(media: MediaBatch, batch: PretextBatch) -> Evidence:
    """Mean colour of each frame as the tower takes it, and how far colours at one place differ between frames."""
    frames = batch.inputs["frame"]
    cells = torch.nn.functional.adaptive_avg_pool2d(frames.flatten(0, 1), _CELLS)
    cells = cells.view(*frames.shape[:3], -1)
    mean = _of_tuples(batch, cells.mean(dim=3).numpy())
    chosen = _gather(cells, batch)
    apart = torch.stack([(chosen[:, :, i] - chosen[:, :, j]).abs().mean(dim=3) for i, j in _PAIRS], dim=2)
    return _decisions(batch, np.concatenate([mean, apart.numpy()], axis=2))


def border(crop: int) -> Artefact:
    """Pixels of the letterbox alone, of those in cuts of `crop` pixels: their level, and how far frames differ there."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        luma = _luma(media)
        mask = _letterbox(media, luma.shape[2:]) * _cut(batch, crop, luma)
        shown = mask.sum(dim=(2, 3)).clamp(min=1)
        level = (luma * mask).sum(dim=(2, 3)) / shown
        spread = (((luma - level[:, :, None, None]) * mask).square().sum(dim=(2, 3)) / shown).sqrt()
        single = _of_tuples(batch, torch.stack([level, spread], dim=2).numpy())
        pictures, masks = _gather(luma, batch), _gather(mask, batch)
        apart = [_apart(pictures, masks, first, second) for first, second in _PAIRS]
        return _decisions(
            batch, np.concatenate([single, torch.stack(apart, dim=2)[:, :, None].numpy()], axis=2)
        )

    return show


def motion(world: str) -> Artefact:
    """How the scene moves between the frames of a tuple as the tower is shown them, from the path that was generated.

    Exact, and so more than a network could see: shift down and right in cuts, and zoom, of each pair of frames.
    """

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        places = _of_tuples(batch, _places(world, media, batch))
        steps = np.stack([places[..., j] - places[..., i] for i, j in _PAIRS], axis=-1)
        # Whether one step goes on in the direction of another is a product: trees would have to build it from pieces.
        turns = np.stack([(steps[..., i] * steps[..., j])[..., :2].sum(axis=2) for i, j in _PAIRS], axis=-1)
        zooms = np.stack([steps[:, :, 2, i] * steps[:, :, 2, j] for i, j in _PAIRS], axis=-1)
        return _decisions(batch, np.concatenate([steps.reshape(*steps.shape[:2], -1), turns, zooms], axis=2))

    return show


def _places(world: str, media: MediaBatch, batch: PretextBatch) -> NDArray:
    """(down, right, log zoom) of one point of the scene in each frame's cut, in cuts: f64 `[B, T, 3]`."""
    top, left = batch.facts["crop_top"], batch.facts["crop_left"]
    # Cuts of one size need no size: trees do not mind the unit.
    size = batch.facts.get("crop_height", np.ones(top.shape))
    rows = [
        np.zeros((top.shape[1], 3))
        if sidecar is None or plan is None or plan.window is None
        else _place(WORLDS[world], sidecar, plan.frames, plan.window)
        for sidecar, plan in zip(media.sidecars, media.plans, strict=True)
    ]
    scene = np.stack(rows)
    shown = (scene[..., :2] - np.stack([top, left], axis=2)) / size[..., None]
    return np.concatenate([shown, scene[..., 2:] - np.log(size)[..., None]], axis=2)


def _place(world: World, sidecar: Sidecar, frames: NDArray, window: Window) -> NDArray:
    """(down, right, log zoom) of the middle of the scene in each frame's window: f64 `[T, 3]`, in pixels."""
    assert sidecar.video is not None
    view, stored = path_of(world, sidecar), sidecar.video
    down = (0.5 - view.dy[frames]) * stored.height - window.top
    right = (0.5 + view.dx[frames]) * stored.width - window.left
    return np.stack([down, right, np.log(view.zoom[frames])], axis=1)


def _apart(pictures: Tensor, masks: Tensor, first: int, second: int) -> Tensor:
    """Mean absolute difference of two frames of each tuple where the mask holds in both: `[B, K]`."""
    both = masks[:, :, first] * masks[:, :, second]
    apart = (pictures[:, :, first] - pictures[:, :, second]).abs() * both
    return apart.sum(dim=(2, 3)) / both.sum(dim=(2, 3)).clamp(min=1)


def _luma(media: MediaBatch) -> Tensor:
    """f32 `[B, T, H, W]` in [0, 255]."""
    assert media.frames is not None
    return media.frames.float() @ torch.tensor([0.2126, 0.7152, 0.0722])


def _letterbox(media: MediaBatch, shape: Sequence[int]) -> Tensor:
    """1 where a window shows a painted bar, else 0: `[B, 1, H, W]`."""
    rows = [
        torch.zeros(*shape)
        if sidecar is None or plan is None or plan.window is None
        else _outside(shape, plan.window, content_box(WORLDS["letterbox"], sidecar))
        for sidecar, plan in zip(media.sidecars, media.plans, strict=True)
    ]
    return torch.stack(rows)[:, None]


def _outside(shape: Sequence[int], window: Window, box: tuple[int, int, int, int]) -> Tensor:
    left, top, right, bottom = box
    mask = torch.ones(*shape)
    rows = slice(max(0, top - window.top), max(0, bottom - window.top))
    columns = slice(max(0, left - window.left), max(0, right - window.left))
    mask[rows, columns] = 0
    return mask


def _cut(batch: PretextBatch, crop: int, like: Tensor) -> Tensor:
    """1 inside each frame's cut of the window, else 0: as `like`, `[B, T, H, W]`."""
    inside = [
        (place >= start) & (place < start + crop)
        for place, start in (
            (
                torch.arange(like.shape[2])[:, None],
                torch.from_numpy(batch.facts["crop_top"])[..., None, None],
            ),
            (torch.arange(like.shape[3])[None], torch.from_numpy(batch.facts["crop_left"])[..., None, None]),
        )
    ]
    return (inside[0] & inside[1]).float()


def _rows(batch: PretextBatch, seen: NDArray) -> Evidence:
    """One decision a row."""
    valid = batch.valid.numpy() & (batch.targets.numpy() >= 0)
    return Evidence(
        seen=seen[valid].astype(np.float32),
        answers=batch.targets.numpy()[valid],
        sources=np.array(batch.sources)[valid],
    )


def _tuples(batch: PretextBatch, values: NDArray) -> Evidence:
    """`values` `[B, T, D]` of the frames of each tuple, in its order."""
    return _decisions(batch, _of_tuples(batch, values))


def _of_tuples(batch: PretextBatch, values: NDArray) -> NDArray:
    """`[B, T, D]` of each frame → `[B, K, D, 3]` of each tuple."""
    members = batch.inputs["tuples"].numpy()
    return np.moveaxis(values[np.arange(len(batch))[:, None, None], members], 3, 2)


def _gather(values: Tensor, batch: PretextBatch) -> Tensor:
    return values[torch.arange(len(batch))[:, None, None], batch.inputs["tuples"]]


def _decisions(batch: PretextBatch, seen: NDArray) -> Evidence:
    """K decisions a row; `seen` is `[B, K, ...]`."""
    targets = batch.targets.numpy()
    asked = batch.valid.numpy()[:, None] & (targets >= 0)
    flat = seen.reshape(*targets.shape, -1)
    sources = np.broadcast_to(np.array(batch.sources)[:, None], targets.shape)
    return Evidence(
        seen=flat[asked].astype(np.float32), answers=targets[asked], sources=sources[asked].astype(str)
    )
