"""Where a sound is seen: maps of a correspondence run over held-out frames, and how often their maximum is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, nan
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from unreel.models.evaluation import Estimate, bootstrap
from unreel.models.evaluation.scores import mean
from unreel.models.objectives import Correspondence
from unreel.models.objectives.correspondence import MapHead
from unreel.models.towers import Tower
from unreel.models.towers.field import field_shift
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.listening import UNCHANGED
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.abilities.ability import Ability, Examined
from unreel.tools.drawing import GOOD, INK, Line, beside, enlarged, heat, stacked, words
from unreel.tools.evaluation import TRAINED, UNTRAINED
from unreel.tools.twin import with_settings

__all__ = ["localise_sound"]

_ABOUT: Final = (
    "Each frame with its own sound; the cell of the map at which they go together most is the answer. It is right when the "
    "middle of what it looks at lies on the disc of the object."
)
_CHANCE: Final = "any cell"
_MIDDLE: Final = "middle of the picture"
_TRACKS: Final = ("x", "y", "size")
_PASSES: Final = 4
_SIDE: Final = 120
_ACROSS, _DOWN = 5, 3


@dataclass(frozen=True, slots=True)
class _Maps:
    """R frames with their own sounds: frames u8 `[R, S, S, 3]`, maps by contestant f32 `[R, h, w]`, where the object is in
    sides of the frame f64 `[R, 3]` (right, down, radius; NaN where no track says it), and sources."""

    frames: NDArray[np.uint8]
    scores: Mapping[str, NDArray[np.float32]]
    objects: NDArray[np.float64]
    sources: list[str]
    shift: tuple[float, float] = (0.0, 0.0)
    """How far the cells look from where an even split has them, down and right, in sides of the frame: see `field_shift`."""


def localise_sound(examined: Examined) -> Ability | None:
    """How often the maximum of a map lies on the object; None for a run whose head has no maps.

    Beside the run: its first weights, the middle of the picture, and the share of cells that lie on the object.
    """
    objective = cast(Correspondence, examined.loaded.objective)
    if not isinstance(objective.head, MapHead):
        return None
    plain = {"flip": 0.0, "shift": 0.0, "saturation": 0.0, **UNCHANGED}
    first = examined.untrained()
    models: dict[str, tuple[Correspondence, Mapping[str, nn.Module]]] = {
        TRAINED: (objective, examined.loaded.towers),
        UNTRAINED: (
            cast(Correspondence, first.objective_of(examined.loaded.name).eval()),
            dict(first.towers.eval().items()),
        ),
    }
    with examined.held_out(with_settings(examined.loaded.task, **plain)) as loader:
        steps = range(ceil(_PASSES * loader.samples / loader.batch_size))
        maps = _joined([_maps(models, loader, step) for step in steps])
    maps = replace(maps, shift=_shift(objective, examined.loaded.towers["frame"], maps.frames.shape[1]))
    return Ability(figures=_figures(maps), picture=_picture(maps), about=_ABOUT)


def _shift(objective: Correspondence, tower: Tower, side: int) -> tuple[float, float]:
    down, right = field_shift(tower, (side, side), objective.stage)
    return down / side, right / side


@torch.no_grad()
def _maps(
    models: Mapping[str, tuple[Correspondence, Mapping[str, nn.Module]]], loader: Loader, step: int
) -> _Maps:
    """The maps of the positives of one step."""
    media = loader.media(step)
    batch = loader.task.build(media, Draws.of(loader.seed, loader.task.name, media.positions))
    kept = torch.nonzero(batch.valid & (batch.targets == 1)).flatten()
    scores = {name: objective.maps(towers, batch)[kept] for name, (objective, towers) in models.items()}
    cut = loader.task.look("frame").crop  # type: ignore[attr-defined]  # of a task that trains
    rows = kept.tolist()
    return _Maps(
        denormalise(batch.inputs["frame"][kept]).numpy(),
        {name: each.float().numpy() for name, each in scores.items()},
        np.array([_place(media, batch, row, cut=cut) for row in rows]).reshape(-1, 3),
        [batch.sources[row] for row in rows],
    )


def _joined(parts: Sequence[_Maps]) -> _Maps:
    scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
    return _Maps(
        np.concatenate([part.frames for part in parts]),
        scores,
        np.concatenate([part.objects for part in parts]),
        [source for part in parts for source in part.sources],
    )


def _place(media: MediaBatch, batch: PretextBatch, row: int, *, cut: int) -> tuple[float, float, float]:
    """Right, down and radius of the object in sides of the cut that the tower saw."""
    sidecar = media.sidecars[row]
    if sidecar is None or sidecar.video is None or not set(_TRACKS) <= set(sidecar.tracks):
        return nan, nan, nan
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    x, y, size = (float(sidecar.track(name)[int(facts["frame"])]) for name in _TRACKS)
    left, top = facts["window_left"] + facts["crop_left"][0], facts["window_top"] + facts["crop_top"][0]
    video = sidecar.video
    return (x * video.width - left) / cut, ((1 - y) * video.height - top) / cut, size * video.height / 2 / cut


def _figures(maps: _Maps) -> dict[str, dict[str, Estimate]]:
    """Empty where no track says where the object is, or where no cell lies on it."""
    on = _cells_on(maps)
    seen = np.asarray(on.any(axis=(1, 2)))
    if not seen.any():
        return {}
    sources = [source for source, shown in zip(maps.sources, seen.tolist(), strict=True) if shown]
    right, down, radius = maps.objects[seen].T
    hits = {name: _hits(scores[seen], on[seen]) for name, scores in maps.scores.items()}
    hits[_MIDDLE] = np.hypot(right - 0.5, down - 0.5) <= radius
    hits[_CHANCE] = on[seen].mean(axis=(1, 2))
    found = {name: bootstrap(mean(each.astype(np.float64)), sources) for name, each in hits.items()}
    return {"maximum on the object (share of frames)": found}


def _cells_on(maps: _Maps) -> NDArray[np.bool_]:
    """Cells the middle of whose field lies on the object's disc, bool `[R, h, w]`."""
    lines, columns = maps.scores[TRAINED].shape[1:]
    down, right = np.meshgrid(
        (np.arange(lines) + 0.5) / lines, (np.arange(columns) + 0.5) / columns, indexing="ij"
    )
    x, y, radius = (column[:, None, None] for column in maps.objects.T)
    return np.hypot(right + maps.shift[1] - x, down + maps.shift[0] - y) <= radius


def _hits(scores: NDArray[np.float32], on: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the largest cell of each map lies on the object, bool `[R]`."""
    best = scores.reshape(len(scores), -1).argmax(axis=1)
    return on.reshape(len(on), -1)[np.arange(len(on)), best]


def _picture(maps: _Maps) -> Image.Image:
    """Frames of different sources, each beside its map."""
    firsts = sorted(np.unique(maps.sources, return_index=True)[1].tolist())[: _ACROSS * _DOWN]
    cards = [_card(maps, row) for row in firsts]
    lines = [beside(cards[start : start + _ACROSS], gap=10) for start in range(0, len(cards), _ACROSS)]
    head: list[Line] = [
        ("left: the frame; right: where its sound is (bright), the maximum (dot), the object (green)", INK)
    ]
    return stacked([words(head), *lines], gap=10, margin=10)


def _card(maps: _Maps, row: int) -> Image.Image:
    frame = enlarged(maps.frames[row], _SIDE)
    scores = maps.scores[TRAINED][row]
    # `heat` puts its first line at the bottom.
    low, high = float(scores.min()), float(scores.max())
    picture = heat(scores[::-1], low=low, high=high, width=_SIDE, height=_SIDE)
    _mark(ImageDraw.Draw(frame), maps, row, shift=(0.0, 0.0), field=maps.shift)
    # The map is drawn cell by cell: there the object moves instead.
    _mark(ImageDraw.Draw(picture), maps, row, shift=maps.shift, field=(0.0, 0.0))
    return beside([frame, picture], gap=2)


def _mark(
    draw: ImageDraw.ImageDraw,
    maps: _Maps,
    row: int,
    *,
    shift: tuple[float, float],
    field: tuple[float, float],
) -> None:
    """The object, moved against `shift`, and the maximum, moved along `field`."""
    x, y, radius = (maps.objects[row] - (shift[1], shift[0], 0)) * _SIDE
    if not np.isnan(x):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=GOOD, width=2)
    scores = maps.scores[TRAINED][row]
    line, column = np.unravel_index(scores.argmax(), scores.shape)
    right = ((column + 0.5) / scores.shape[1] + field[1]) * _SIDE
    down = ((line + 0.5) / scores.shape[0] + field[0]) * _SIDE
    draw.ellipse((right - 4, down - 4, right + 4, down + 4), fill=(255, 255, 255), outline=INK)
