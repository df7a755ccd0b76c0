"""Masks of the first frame, carried through held-out clips by what places look like to a tower."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unreel.models.evaluation import Estimate, bootstrap
from unreel.models.evaluation.features import still_batches
from unreel.models.evaluation.propagation import disc, mask_centre, overlap, propagate
from unreel.models.evaluation.scores import mean
from unreel.models.towers import Tower
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.plan import Plan
from unreel.pipelines.stills import Stills
from unreel.shards.sample import Sidecar
from unreel.tools.abilities.ability import Ability, Examined
from unreel.tools.drawing import BAD, GOOD, INK, Line, beside, enlarged, stacked, words
from unreel.tools.evaluation import TRAINED, UNTRAINED

__all__ = ["carry_masks"]

_STAYS: Final = "mask stays"
_FRAMES: Final = 10
_STEP_SECONDS: Final = 0.16
_TRACKS: Final = frozenset({"x", "y", "size"})
_SHOWN: Final = 4
"""Clips of the picture."""

_SIDE: Final = 110


@dataclass(frozen=True, slots=True)
class _Clips:
    """Clips whose object is known: pictures u8 `[B, T, S, S, 3]`, vectors by tower, true masks f32 `[B, T, h, w]`, centres."""

    pictures: NDArray[np.uint8]
    masks: Mapping[str, Tensor]
    truth: Tensor
    centres: Tensor
    sources: list[str]


def carry_masks(examined: Examined) -> Ability | None:
    """How well the disc of an object is found again in the frames that follow; None where no track says where it is.

    Beside the run: the same tower before training, and a mask that stays where it was in the first frame.
    """
    look = examined.loaded.task.look("frame")
    stage = examined.loaded.recipe.named_objectives[examined.loaded.name]["stage"]
    stills = Stills(
        frames=1,
        clip=_FRAMES,
        step_seconds=_STEP_SECONDS,
        crop=(look.crop,) * 2,
        size=(look.size,) * 2,
        grey=look.grey,
    )
    with examined.held_out(stills) as loader:
        if not _TRACKS <= _first_tracks(loader.media(0)):
            return None
        untrained = examined.untrained().towers["frame"]
        assert isinstance(untrained, Tower)
        towers = {TRAINED: examined.loaded.towers["frame"], UNTRAINED: untrained}
        parts = [
            _carried(media, batch.inputs["video"][:, 0], towers, stage)
            for media, batch in still_batches(loader, loader.samples)
        ]
    return Ability(figures=_figures(parts), picture=_picture(parts[0]), about=_about())


def _about() -> str:
    seconds = (_FRAMES - 1) * _STEP_SECONDS
    return (
        f"The disc of the object in the first frame is carried through {_FRAMES} frames ({seconds:.2f} s) by the likeness "
        "of features; overlap and centre are means over all frames but the first."
    )


def _first_tracks(media: MediaBatch) -> set[str]:
    return next((set(sidecar.tracks) for sidecar in media.sidecars if sidecar is not None), set())


@torch.no_grad()
def _carried(media: MediaBatch, video: Tensor, towers: Mapping[str, Tower], stage: str) -> _Clips:
    """float `[B, 3, T, S, S]` → the masks that each contestant finds."""
    rows = torch.nonzero(media.valid).flatten().tolist()
    video = video[rows]
    frames = video.transpose(1, 2)
    known = torch.from_numpy(np.stack([_place(media.sidecars[row], media.plans[row]) for row in rows]))
    centres, radii = known[..., :2], known[..., 2]
    maps = {name: _map(tower, frames, stage) for name, tower in towers.items()}
    truth = disc(centres, radii, next(iter(maps.values())).shape[-1])
    masks = {name: propagate(vectors, truth[:, 0]) for name, vectors in maps.items()}
    masks[_STAYS] = truth[:, :1].expand_as(truth)
    return _Clips(denormalise(frames).numpy(), masks, truth, centres, [media.sources[row] for row in rows])


def _map(tower: Tower, frames: Tensor, stage: str) -> Tensor:
    """float `[B, T, 3, S, S]` → float `[B, C, T, h, w]`."""
    maps = tower.map(frames.flatten(0, 1), stage or None)
    return maps.reshape(*frames.shape[:2], *maps.shape[1:]).transpose(1, 2)


def _place(sidecar: Sidecar | None, plan: Plan | None) -> NDArray[np.float32]:
    """Where the object is in each frame, f32 `[T, 3]`: right, down and radius in sides of the window."""
    assert sidecar is not None and sidecar.video is not None and plan is not None and plan.window is not None
    video, window = sidecar.video, plan.window
    x, y, size = (sidecar.track(name)[plan.frames] for name in ("x", "y", "size"))
    right, down = x * video.width - window.left, (1 - y) * video.height - window.top
    places = np.stack([right, down, size * video.height / 2], axis=1) / window.height
    return places.astype(np.float32)


def _figures(parts: Sequence[_Clips]) -> dict[str, dict[str, Estimate]]:
    sources = [source for part in parts for source in part.sources]
    overlaps: dict[str, Estimate] = {}
    errors: dict[str, Estimate] = {}
    for name in parts[0].masks:
        found = [overlap(part.masks[name], part.truth)[:, 1:].mean(dim=1) for part in parts]
        missed = [
            (mask_centre(part.masks[name]) - part.centres)[:, 1:].norm(dim=2).mean(dim=1) for part in parts
        ]
        overlaps[name] = bootstrap(mean(torch.cat(found)), sources)
        errors[name] = bootstrap(mean(torch.cat(missed)), sources)
    return {"overlap of masks (IoU)": overlaps, "error of the centre (sides of the window)": errors}


def _picture(clips: _Clips) -> Image.Image:
    """The first clips, a row for each contestant: what it found in red, where the object is in a green ring."""
    height = clips.pictures.shape[2]
    shown = range(0, _FRAMES, 3)
    blocks = []
    for clip in range(min(_SHOWN, len(clips.sources))):
        for name, masks in clips.masks.items():
            large = functional.interpolate(masks[clip][:, None], (height, height), mode="bilinear")[:, 0]
            ring = _ring(clips, clip, height)
            cells = [_painted(clips.pictures[clip, time], large[time], ring[time]) for time in shown]
            blocks.append(beside([*(enlarged(cell, _SIDE) for cell in cells), words([(name, INK)])]))
    head: list[Line] = [("given in the first frame; red: found, green: where the object is", INK)]
    return stacked([words(head), *blocks], margin=10)


def _ring(clips: _Clips, clip: int, side: int) -> Tensor:
    """The border of the true disc, bool `[T, side, side]`."""
    truth = functional.interpolate(clips.truth[clip][:, None], (side, side), mode="bilinear")[:, 0] >= 0.5
    inner = -functional.max_pool2d(-truth.float()[:, None], 5, stride=1, padding=2)[:, 0]
    return truth & (inner < 1)


def _painted(picture: NDArray[np.uint8], mask: Tensor, ring: Tensor) -> NDArray[np.uint8]:
    share = 0.6 * mask.clamp(0, 1)[..., None].numpy()
    red = picture * (1 - share) + np.array(BAD) * share
    return np.where(ring[..., None].numpy(), np.array(GOOD), red).astype(np.uint8)
