"""Rotation (Gidaris, Singh, Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018,
arXiv 1803.07728): by how many quarter turns was a picture turned?

One square cut of one picture, mirrored or not, and its four turns are all in the same batch: labels are balanced by
construction, and what a turn does not change cannot tell it. Pictures come from stills and from frames of videos alike.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.block_phase import block_offsets
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import no_look
from unreel.pipelines.pretext.pictures import draw_frame
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.sample import Sidecar

__all__ = ["Rotation"]

_TURNS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """A picture and its quarter turns.

    Attributes:
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels; published as a random resized crop, of one
            size here, so that all turns were scaled alike.
        size: side of the tower's input, in pixels; published 224.
        flip: probability of mirroring before the turn; published 0.5.
        brightness, contrast, saturation, hue, grey: of the whole picture, all turns alike; published none.
        block_phase: guard; cuts start anywhere within a codec's blocks. False cuts only where a block starts, and what
            the grid of blocks says of a turn is left to be seen.
        content_box: guard; False lets windows reach into a letterbox, which tells lying from standing pictures.
    """

    name: ClassVar[str] = "rotation"

    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    block_phase: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """A still picture, or a video of which one frame is taken."""
        return Needs(video=True, image=True, min_size=(self.window, self.window))

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        return {
            "quarter_turns": "exact turns of a square, after all scaling",
            "block_phase": "cuts start anywhere within a block" if self.block_phase else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """Single frames."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """One frame, drawn uniformly, and one window of it."""
        at = draws.uniform("plan", 3)[0].tolist()
        frame = draw_frame(sidecar, at[0])
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(
            frames=np.array([frame], np.int32),
            window=window,
            facts={"frame": frame, "window_top": window.top, "window_left": window.left},
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, 4, 3, size, size]`, normalised, turn k of the picture at k.

        Targets i64 `[B, 4]`: quarter turns counter-clockwise.
        """
        assert media.pictures is not None
        views = self._views(media, draws)
        device = media.valid.device
        return PretextBatch(
            inputs={"frame": render(media.pictures, views)},
            targets=torch.arange(_TURNS, device=device).repeat(len(media), 1),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in ("frame", "window_top", "window_left")} | views.facts(),
        )

    def _views(self, media: MediaBatch, draws: Draws) -> Views:
        jitter = Jitter.of(self)
        rows = len(media)
        top, left = block_offsets(draws, media, slack=self.window - self.crop, anywhere=self.block_phase)
        return Views(
            top=_each_turn(top),
            left=_each_turn(left),
            crop=(self.crop, self.crop),
            size=(self.size, self.size),
            flip=draws.chance("flip", self.flip),
            colour=draw_colours(draws, jitter, frames=_TURNS, independent=False),
            frame=np.zeros((rows, _TURNS), np.int64),
            turn=np.tile(np.arange(_TURNS), (rows, 1)),
        )


def _each_turn(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(values[:, None], _TURNS, axis=1)
