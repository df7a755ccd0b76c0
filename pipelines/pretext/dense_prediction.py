"""Dense predictive coding (Han, Xie, Zisserman, ICCV workshops 2019, arXiv 1909.04656): what comes next, place by place?

A clip is cut into blocks of a few frames. From the first blocks the features of the last ones are predicted at each
place of the map, and each prediction has to find its own block and place among all others of the batch.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.stretch import place_stretch
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.sample import Sidecar

__all__ = ["DensePrediction"]

_PLAN_FACTS: Final = ("frames", "seconds", "window_motion", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class DensePrediction:
    """Blocks of frames of one clip, the last of which are to be predicted.

    Attributes:
        blocks: of a clip; published 8.
        predicted: of these, the last so many are predicted; published 3.
        block_frames: frames in a block; published 5.
        step_seconds: time between frames, within and between blocks; published 3 frames.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels, all frames of a clip alike.
        size: side of the tower's input, in pixels; published 128.
        flip: probability that a clip is mirrored; all its frames alike.
        independent_jitter: guard; False gives all frames of a clip the same change of colour.
        brightness, contrast, saturation, hue, grey: see `Jitter`; published.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "dense_prediction"

    blocks: int = 8
    predicted: int = 3
    block_frames: int = 5
    step_seconds: float = 0.12
    window: int = 128
    crop: int = 112
    size: int = 128
    flip: float = 0.5
    independent_jitter: bool = True
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    grey: float = 0.5
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 64, "blocks")
        check_range(self, 1, self.blocks - 1, "predicted")
        check_range(self, 1, 64, "block_frames")
        check_range(self, 0.01, 60, "step_seconds")
        check_pictures(self)

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.blocks * self.block_frames

    @property
    def needs(self) -> Needs:
        """Long enough for all blocks, large enough, and moving."""
        seconds = (self.frames - 1) * self.step_seconds + 0.1
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
        return guard_words(self)

    def look(self, kind: str) -> Look:
        """Blocks."""
        if kind != "video":
            raise no_look(self.name, kind, ("video",))
        return Look(crop=self.crop, size=self.size, frames=self.block_frames, step_seconds=self.step_seconds)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """All frames of all blocks, evenly spaced; one window of the picture for all of them."""
        at = draws.uniform("plan", 3)[0].tolist()
        times = [number * self.step_seconds for number in range(self.frames)]
        stretch = place_stretch(
            sidecar, times, at=at[0], by_motion=self.motion_window, within_scene=self.scene_cuts
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
        """Input `video` f32 `[B, blocks, 3, block_frames, size, size]`, normalised.

        Targets i64 `[B, predicted]`: the numbers of the blocks that the predictions have to find.
        """
        pictures = media.pictures
        assert pictures is not None
        views = self._views(draws)
        asked = torch.arange(self.blocks - self.predicted, self.blocks, device=pictures.device)
        return PretextBatch(
            inputs={"video": render(pictures, views)},
            targets=asked.expand(len(media), self.predicted),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS} | views.facts(),
        )

    def _views(self, draws: Draws) -> Views:
        return frame_views(self, draws, frames=self.frames, layout="CTHW", clips=self.blocks)
