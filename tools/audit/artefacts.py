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
from unreel.tools.audit.worlds import WORLDS, clock_of, content_box, path_of
from unreel.tools.synth.world import World

__all__ = [
    "Artefact",
    "border",
    "clock",
    "colours",
    "facts",
    "key_phases",
    "loudness",
    "motion",
    "pair_facts",
    "sharpness",
    "tuple_facts",
    "tuple_set",
    "unrest",
]

Artefact = Callable[[MediaBatch, PretextBatch], Evidence]

_PAIRS: Final = ((0, 1), (1, 2), (0, 2))
_FACE: Final = 6
"""Side of the grid at which a clock's face is looked at."""
_CELLS: Final = 8
"""Side of the grid at which colours are compared, and steps of time at which loudness is."""


def facts(*names: str) -> Artefact:
    """Facts of a batch with one decision a row."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        columns = [np.asarray(batch.facts[name], np.float32).reshape(len(batch), -1) for name in names]
        return _rows(batch, np.concatenate(columns, axis=1))

    return show


def pair_facts(*names: str) -> Artefact:
    """Facts of the two that a row is asked to choose from, and their differences; the answer is which is right."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        pairs = np.stack([np.asarray(batch.facts[name], np.float64) for name in names], axis=2)
        seen = np.concatenate([pairs[:, 0], pairs[:, 1], pairs[:, 1] - pairs[:, 0]], axis=1)
        return _rows(batch, seen, answers=batch.targets.argmax(dim=1))

    return show


def key_phases(frames: int, gop: int) -> Artefact:
    """How old the key frame is of each clip of `frames` that is shown, against that of the first, in a cycle of `gop`."""

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        shown = np.take_along_axis(batch.facts["key_distance"], batch.facts["view_frame"], axis=1)[
            :, ::frames
        ]
        return _rows(batch, (shown[:, 1:] - shown[:, :1]) % gop)

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


def sharpness(media: MediaBatch, batch: PretextBatch) -> Evidence:
    """How sharp each frame of a clip is, as the tower sees it and in that order."""
    clips = batch.inputs["video"]
    detail = clips.diff(dim=5).square().mean(dim=(2, 4, 5)).flatten(1).clamp(min=1e-9).log()
    return _rows(batch, torch.cat([detail, detail.diff(dim=1)], dim=1).numpy())


def unrest(media: MediaBatch, batch: PretextBatch) -> Evidence:
    """How far any two frames of each sequence differ, of what differs in all: standardised, as a tower may do it."""
    frames = batch.inputs["video"].transpose(2, 3)
    spread, mean = torch.std_mean(frames, dim=(-3, -2, -1), keepdim=True)
    frames = (frames - mean) / spread.clamp(min=1e-3)
    first, second = torch.triu_indices(frames.shape[2], frames.shape[2], offset=1)
    apart = (frames[:, :, first] - frames[:, :, second]).abs().mean(dim=(-3, -2, -1))
    apart = apart / apart.mean(dim=(1, 2), keepdim=True).clamp(min=1e-9)
    return _rows(batch, torch.cat([apart.flatten(1), apart.sum(dim=2)], dim=1).numpy())


def loudness(media: MediaBatch, batch: PretextBatch) -> Evidence:
    """The sound as the tower hears it, without its picture: its level over time, and the levels in order of size."""
    level = batch.inputs["audio"].mean(dim=(1, 2))
    course = torch.nn.functional.adaptive_avg_pool1d(level[:, None], _CELLS)[:, 0]
    return _rows(batch, torch.cat([course, course.sort(dim=1).values], dim=1).numpy())


def border(crop: int) -> Artefact:
    """Pixels of the letterbox alone, of those in cuts of `crop` pixels: their level, and how far frames differ there.

    Of the frames of each tuple, or of a whole clip in the order in which it is shown.
    """

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        luma = _luma(media)
        mask = _letterbox(media, luma.shape[2:]) * _cut(batch, crop, luma)
        shown = mask.sum(dim=(2, 3)).clamp(min=1)
        level = (luma * mask).sum(dim=(2, 3)) / shown
        spread = (((luma - level[:, :, None, None]) * mask).square().sum(dim=(2, 3)) / shown).sqrt()
        single = torch.stack([level, spread], dim=2).numpy()
        if "view_frame" in batch.facts:
            ordered = np.take_along_axis(single, batch.facts["view_frame"][..., None], axis=1)
            return _rows(
                batch, np.concatenate([ordered, np.diff(ordered, axis=1)], axis=1).reshape(len(batch), -1)
            )
        pictures, masks = _gather(luma, batch), _gather(mask, batch)
        apart = torch.stack([_apart(pictures, masks, first, second) for first, second in _PAIRS], dim=2)
        return _decisions(
            batch, np.concatenate([_of_tuples(batch, single), apart[:, :, None].numpy()], axis=2)
        )

    return show


def clock(media: MediaBatch, batch: PretextBatch) -> Evidence:
    """What the tower sees where the clock was painted, and how far frames differ there; cuts are whole pictures."""
    frames = batch.inputs["frame"].mean(dim=2)
    faces = torch.stack([_face(row, sidecar) for row, sidecar in zip(frames, media.sidecars, strict=True)])
    faces = faces - faces.mean(dim=2, keepdim=True)
    # Faces and not their colours, which are jittered; a face that is covered has nothing to divide by.
    faces = faces / faces.std(dim=2, keepdim=True).clamp(min=1e-3)
    chosen = _gather(faces, batch)
    apart = torch.stack([(chosen[:, :, i] - chosen[:, :, j]).abs().mean(dim=2) for i, j in _PAIRS], dim=2)
    return _decisions(batch, torch.cat([chosen.flatten(2), apart], dim=2).numpy())


def _face(frames: Tensor, sidecar: Sidecar | None) -> Tensor:
    """The clock in frames `[T, h, w]` of a sample: `[T, 36]`."""
    if sidecar is None:
        return torch.zeros(len(frames), _FACE**2)
    world = WORLDS["clock"]
    top, left, side = (edge * frames.shape[1] / world.height for edge in clock_of(world, sidecar))
    rows, columns = (slice(round(start), round(start + side)) for start in (top, left))
    face = torch.nn.functional.adaptive_avg_pool2d(frames[:, None, rows, columns], _FACE)
    return face.flatten(1)


def motion(world: str) -> Artefact:
    """How the scene moves between the frames of a tuple as the tower is shown them, from the path that was generated.

    Exact, and so more than a network could see: shift down and right, and zoom, of each pair of frames, and what is left of
    the shift beside whole pixels.
    """

    def show(media: MediaBatch, batch: PretextBatch) -> Evidence:
        places = _of_tuples(batch, _places(world, media, batch))
        steps = np.stack([places[..., j] - places[..., i] for i, j in _PAIRS], axis=-1)
        # Whether one step goes on in the direction of another is a product: trees would have to build it from pieces.
        parts = (steps[:, :, :2] + 0.5) % 1 - 0.5
        kinds = (steps[:, :, :2], steps[:, :, 2:], parts)
        turns = [(kind[..., i] * kind[..., j]).sum(axis=2) for kind in kinds for i, j in _PAIRS]
        flat = [values.reshape(*values.shape[:2], -1) for values in (steps, parts)]
        return _decisions(batch, np.concatenate([*flat, np.stack(turns, axis=-1)], axis=2))

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


def _rows(batch: PretextBatch, seen: NDArray, *, answers: Tensor | None = None) -> Evidence:
    """One decision a row; its answer is the target where no other is named."""
    told = (batch.targets if answers is None else answers).numpy()
    valid = batch.valid.numpy() & (told >= 0)
    return Evidence(
        seen=seen[valid].astype(np.float32), answers=told[valid], sources=np.array(batch.sources)[valid]
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
