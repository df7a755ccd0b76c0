"""Tracking by colourising video (Vondrick et al., ECCV 2018, arXiv 1806.09594): from where do a frame's colours come?

A tower sees some reference frames and a target frame in grey. Each cell of the target points at cells of the references,
and what they are coloured in is the answer; so it has to find the same thing again, which is tracking.

Labels are clusters of the colours (a*, b*) of each clip's own references. Published are 16 clusters of a whole data
set. An answer is copied and never named, so what a cluster is called may differ from clip to clip: a clip's own palette
needs no fit before training, is the same in a batch of any size, and divides a dull clip as finely as a gaudy one.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.lab import lab
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.ops.palette import nearest_colour, palette
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.stretch import place_stretch
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.sample import Sidecar

__all__ = ["Colourisation"]

_PLAN_FACTS: Final = ("frames", "seconds", "window_motion", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class Colourisation:
    """Some reference frames in grey with their colours, and a later frame whose colours are asked.

    Attributes:
        references: frames whose colours are known; published 3.
        step_seconds: time between references; a re-implementation skips 4 frames.
        ahead_seconds: time from the last reference to the target; the same one skips 8 frames.
        clusters: colours that a clip is divided into; published 16, of a data set instead of a clip.
        cells: cells along each side that are coloured; published 32. The tower's map has to have as many.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels, all frames of a clip alike.
        size: side of the tower's input, in pixels; published 256.
        flip: probability that a clip is mirrored; all its frames alike.
        brightness, contrast: each frame's grey changes within 1 ± this, by itself; labels do not. Ours.
        luminance_only: guard; False shows the tower the colours that it is asked for.
        min_spread: guard; clips whose references' colours lie closer than this together (root mean square of a* and b*
            about their mean) have targets -1: there is no colour to follow. Ours; 0 is off.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "colourisation"

    references: int = 3
    step_seconds: float = 0.16
    ahead_seconds: float = 0.32
    clusters: int = 16
    cells: int = 32
    window: int = 128
    crop: int = 112
    size: int = 256
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    luminance_only: bool = True
    min_spread: float = 2.0
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 1, 16, "references")
        check_range(self, 0.01, 60, "step_seconds", "ahead_seconds")
        check_range(self, 2, 256, "clusters")
        check_range(self, 2, 128, "cells")
        check_range(self, 0, 255, "min_spread")
        check_pictures(self)

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds of the references and of the target after the first frame."""
        references = [number * self.step_seconds for number in range(self.references)]
        return (*references, references[-1] + self.ahead_seconds)

    @property
    def needs(self) -> Needs:
        """Long enough for the references and the target, large enough, and moving."""
        seconds = self.times[-1] + 0.1
        return Needs(
            video=True,
            min_seconds=seconds,
            min_scene_seconds=seconds if self.scene_cuts else 0.0,
            min_size=(self.window, self.window),
            min_motion=self.min_motion,
        )

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        return {
            "luminance_only": "towers see grey" if self.luminance_only else "off: towers see the colours",
            "colour_spread": f"colours spread by at least {self.min_spread:g}" if self.min_spread else "off",
            "motion_window": "drawn by motion" if self.motion_window else "off: drawn uniformly",
            "scene_cuts": "windows within a scene" if self.scene_cuts else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """Single frames, in grey."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size, grey=self.luminance_only)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The references, then the target; one window of the picture for all of them."""
        at = draws.uniform("plan", 3)[0].tolist()
        stretch = place_stretch(
            sidecar, self.times, at=at[0], by_motion=self.motion_window, within_scene=self.scene_cuts
        )
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        assert sidecar.video is not None
        return Plan(
            frames=stretch.frames,
            window=window,
            facts={
                "frames": stretch.frames,
                "seconds": (stretch.frames / float(sidecar.video.frame_rate)).astype(np.float32),
                "window_motion": stretch.motion,
                "window_top": window.top,
                "window_left": window.left,
            },
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, R + 1, 3, size, size]`, normalised, the target last; `colours` f32
        `[B, R + 1, cells, cells, 2]`, the mean a* and b* of each cell; `labels` i64 `[B, R, cells, cells]`, the clusters
        of the references, the most frequent first.

        Targets i64 `[B, cells, cells]`: the clusters of the target frame, -1 where colours do not spread.
        """
        pictures = media.pictures
        assert pictures is not None
        views = self._views(draws)
        colours = lab(denormalise(render(pictures, self._coloured(views))))[..., 1:]
        labels, spread = self._label(colours)
        return PretextBatch(
            inputs={"frame": render(pictures, views), "colours": colours, "labels": labels[:, :-1]},
            targets=labels[:, -1].masked_fill((spread < self.min_spread)[:, None, None], -1),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS}
            | views.facts()
            | {"spread": spread.cpu().numpy()},
        )

    def _label(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Clusters of every cell, i64 `[B, R + 1, cells, cells]`, and how far the references spread, f64 `[B]`."""
        known = colours[:, :-1].flatten(1, 3)
        labels = nearest_colour(colours.flatten(1, 3), palette(known, self.clusters))
        spread = known.double().var(dim=1, unbiased=False).sum(dim=1).sqrt()
        return labels.view(colours.shape[:-1]), spread

    def _views(self, draws: Draws) -> Views:
        """What towers see."""
        frames = self.references + 1
        jitter = Jitter(
            brightness=self.brightness, contrast=self.contrast, grey=1.0 if self.luminance_only else 0.0
        )
        top, left = draw_offsets(draws, frames=frames, slack=self.window - self.crop, shift=0)
        return Views(
            top=top,
            left=left,
            crop=(self.crop, self.crop),
            size=(self.size, self.size),
            flip=draws.chance("flip", self.flip),
            colour=draw_colours(draws, jitter, frames=frames, independent=True),
        )

    def _coloured(self, views: Views) -> Views:
        """The same places as they are, a pixel for each cell."""
        return Views(
            top=views.top,
            left=views.left,
            crop=views.crop,
            size=(self.cells, self.cells),
            flip=views.flip,
            colour=Colour.unchanged(*views.top.shape),
        )
