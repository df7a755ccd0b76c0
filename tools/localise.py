"""Where a localising correspondence run hears the sound from: maps over held-out frames, and how often they are right."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from unreel.models.evaluation import Estimate, bootstrap, calibrate, teach_objective
from unreel.models.evaluation.scores import mean
from unreel.models.objectives.correspondence import Correspondence as Objective
from unreel.models.objectives.correspondence import MapHead
from unreel.models.training import LoadedRun, build_model
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.shards.sample import Sidecar
from unreel.tools.drawing import GOOD, INK, beside, enlarged, heat, stacked, words

__all__ = ["Localisation", "draw_maps", "localise", "localises"]

_TEACHING_STEPS: Final = 100
_CALIBRATION_BATCHES: Final = 4
_SIDE: Final = 160
_TRACKS: Final = ("x", "y", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Localisation:
    """How often the maximum of a map lies on the object, of frames of which the tracks x, y and size say where it is.

    Attributes:
        trained: by the run.
        untrained: by its first weights, batch norm calibrated and the head alone taught.
        centre: when the middle of the picture is named every time.
        chance: when a cell is named at random: the share of cells that lie on the object.
        cells: (rows, columns) of the map.
    """

    trained: Estimate
    untrained: Estimate
    centre: Estimate
    chance: Estimate
    cells: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps of R frames with their own sounds.

    Attributes:
        frames: u8 `[R, h, w, 3]`, as the tower saw them.
        scores: f32 `[R, H, W]`, the logit of correspondence at each cell.
        objects: f64 `[R, 3]`, x, y and radius of the object in shares of the cut; NaN where no track says it.
        sources: str `[R]`.
    """

    frames: NDArray[np.uint8]
    scores: NDArray[np.float32]
    objects: NDArray[np.float64]
    sources: NDArray[np.str_]


def localises(loaded: LoadedRun) -> bool:
    """Whether a run has maps to show."""
    return isinstance(loaded.objective, Objective) and isinstance(loaded.objective.head, MapHead)


def localise(
    loaded: LoadedRun, train: Loader, test: Loader, *, passes: int, picture: Path
) -> Localisation | None:
    """Draw the maps of held-out frames to `picture`, and score them; None where no track says where the object is.

    Args:
        train, test: loaders of the training and of the held-out sources, whose task does not mirror.
        passes: how often each held-out clip is drawn.
    """
    steps = math.ceil(passes * test.samples / test.batch_size)
    trained = _maps(loaded.objective, loaded.towers, test, steps)
    draw_maps(trained).save(picture)
    known = ~np.isnan(trained.objects[:, 0])
    if not known.any():
        return None
    untrained = _maps(*_taught(loaded, train), test, steps)
    on = _cells_on(trained)[known]
    sources = trained.sources[known]

    def share(hits: NDArray) -> Estimate:
        return bootstrap(mean(hits.astype(np.float64)), sources)

    return Localisation(
        trained=share(_hits(trained.scores[known], on)),
        untrained=share(_hits(untrained.scores[known], on)),
        centre=share(np.hypot(*(trained.objects[known, :2] - 0.5).T) <= trained.objects[known, 2]),
        chance=share(on.mean(axis=(1, 2))),
        cells=(trained.scores.shape[1], trained.scores.shape[2]),
    )


def draw_maps(maps: Maps, *, across: int = 6, rows: int = 2) -> Image.Image:
    """Frames with their maps beside them, the maximum as a dot, the object as a circle; one of each source first."""
    _, firsts = np.unique(maps.sources, return_index=True)
    chosen = firsts[: across * rows].tolist()
    cards = [_card(maps, row) for row in chosen]
    lines = [beside(cards[start : start + across], gap=10) for start in range(0, len(cards), across)]
    head = words([("left: what is seen; right: where it is heard from (bright), its maximum (dot)", INK)])
    return stacked([head, *lines], gap=10, margin=10)


def _card(maps: Maps, row: int) -> Image.Image:
    frame = enlarged(maps.frames[row], _SIDE // 2)
    scores = maps.scores[row]
    # `heat` puts low rows at the bottom.
    picture = heat(
        scores[::-1],
        low=float(scores.min()),
        high=float(scores.max()),
        width=frame.width,
        height=frame.height,
    )
    for image in (frame, picture):
        _mark(image, maps, row)
    return beside([frame, picture], gap=2)


def _mark(image: Image.Image, maps: Maps, row: int) -> None:
    draw, side = ImageDraw.Draw(image), image.width
    x, y, radius = maps.objects[row] * side
    if not np.isnan(x):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=GOOD, width=2)
    line, column = np.unravel_index(maps.scores[row].argmax(), maps.scores[row].shape)
    centre_x, centre_y = (
        (at + 0.5) * side / count for at, count in zip((column, line), maps.scores.shape[:0:-1], strict=True)
    )
    draw.ellipse((centre_x - 4, centre_y - 4, centre_x + 4, centre_y + 4), fill=(255, 255, 255), outline=INK)


def _hits(scores: NDArray[np.float32], on: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the largest cell of each map lies on the object."""
    return np.take_along_axis(on.reshape(len(on), -1), scores.reshape(len(on), -1).argmax(1)[:, None], 1)[
        :, 0
    ]


def _cells_on(maps: Maps) -> NDArray[np.bool_]:
    """Cells whose middle lies on the object's disc, bool `[R, H, W]`."""
    lines, columns = maps.scores.shape[1:]
    y, x = np.meshgrid((np.arange(lines) + 0.5) / lines, (np.arange(columns) + 0.5) / columns, indexing="ij")
    away = np.hypot(x - maps.objects[:, 0, None, None], y - maps.objects[:, 1, None, None])
    return away <= maps.objects[:, 2, None, None]


def _taught(loaded: LoadedRun, train: Loader) -> tuple[nn.Module, Mapping[str, nn.Module]]:
    """The run's first weights, with a head that learned alone."""
    model = build_model(loaded.recipe)
    batches: Callable[[], Iterator[PretextBatch]] = lambda: map(train.batch, range(10**9))
    calibrate(model, islice(batches(), _CALIBRATION_BATCHES), run=model)
    towers = dict(model.towers.items())
    steps = min(loaded.recipe.train.steps, _TEACHING_STEPS)
    return teach_objective(model.objective, towers, batches(), steps=steps), towers


@torch.no_grad()
def _maps(objective: nn.Module, towers: Mapping[str, nn.Module], loader: Loader, steps: int) -> Maps:
    """The maps of every valid positive."""
    assert isinstance(objective, Objective)
    parts, cut = [], loader.task.look("frame").crop  # type: ignore[attr-defined]  # of correspondence
    for step in range(steps):
        media = loader.media(step).as_rgb()
        batch = loader.task.build(media, Draws.of(loader.seed, loader.task.name, media.positions))
        kept = torch.nonzero(batch.valid & (batch.targets == 1)).flatten()
        scores = objective.maps(towers, batch)[kept]
        rows = kept.tolist()
        parts.append(
            Maps(
                denormalise(batch.inputs["frame"][kept]).cpu().numpy(),
                scores.float().cpu().numpy(),
                np.array([_object(media, batch, row, cut=cut) for row in rows]).reshape(-1, 3),
                np.array([batch.sources[row] for row in rows], dtype=str),
            )
        )
    return Maps(*(np.concatenate([getattr(part, name) for part in parts]) for name in Maps.__slots__))


def _object(media: MediaBatch, batch: PretextBatch, row: int, *, cut: int) -> tuple[float, float, float]:
    """x, y and radius of the object in shares of the cut that the tower saw; tracks are in heights of the picture."""
    sidecar = media.sidecars[row]
    if sidecar is None or sidecar.video is None or not set(_TRACKS) <= set(sidecar.tracks):
        return (math.nan,) * 3
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    x, y, size = _tracked(sidecar, int(facts["frame"]))
    height = sidecar.video.height
    left, top = facts["window_left"] + facts["crop_left"][0], facts["window_top"] + facts["crop_top"][0]
    return (x * height - left) / cut, ((1 - y) * height - top) / cut, size * height / 2 / cut


def _tracked(sidecar: Sidecar, frame: int) -> tuple[float, ...]:
    return tuple(float(sidecar.track(name)[frame]) for name in _TRACKS)
