"""Future frames: what will the next frames of a clip look like? (Also a part of ELo: Piergiovanni et al., CVPR 2020.)

A tower sees some frames, a decoder paints the next ones. Two trivial answers stand beside every score: copying the last
frame, which is right wherever nothing moves, and the blurred mean of all that could happen.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.stretch import place_stretch
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.sample import Sidecar

__all__ = ["FutureFrames"]

_PLAN_FACTS: Final = ("frames", "seconds", "window_motion", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class FutureFrames:
    """Some frames of a clip, and those that follow.

    Attributes:
        seen: frames that the tower is shown; what ELo takes is not known to us.
        future: frames that follow and are to be painted; likewise.
        step_seconds: time between frames; ours. It has to be long enough for things to move.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels, all frames of a clip alike.
        size: side of the tower's input and of what is painted, in pixels.
        flip: probability that a clip is mirrored; all its frames alike.
        min_future_motion: guard; least mean motion, in levels of [0, 255] a frame, from the last seen frame to the last
            painted one. 0 is off. Ours.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox, whose black is predicted without any skill.
    """

    name: ClassVar[str] = "future_frames"

    seen: int = 4
    future: int = 2
    step_seconds: float = 0.16
    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.5
    min_future_motion: float = 0.25
    motion_window: bool = True
    min_motion: float = 1.0
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 1, 64, "seen", "future")
        check_range(self, 0.01, 60, "step_seconds")
        check_range(self, 0, 255, "min_future_motion")
        check_pictures(self)

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.seen + self.future

    @property
    def needs(self) -> Needs:
        """Long enough for all frames, large enough, and moving."""
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
        least = self.min_future_motion
        return {
            "moving_future": f"at least {least:g} levels a frame after the last seen one" if least else "off",
            "motion_window": "drawn by motion" if self.motion_window else "off: drawn uniformly",
            "scene_cuts": "windows within a scene" if self.scene_cuts else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """What is seen before the future."""
        if kind != "video":
            raise no_look(self.name, kind, ("video",))
        return Look(crop=self.crop, size=self.size, frames=self.seen, step_seconds=self.step_seconds)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """Seen and future frames, evenly spaced; one window of the picture for all of them."""
        at = draws.uniform("plan", 3)[0].tolist()
        stretch = place_stretch(
            sidecar,
            [number * self.step_seconds for number in range(self.frames)],
            at=at[0],
            by_motion=self.motion_window,
            within_scene=self.scene_cuts,
            min_motion=self.min_future_motion,
            moving_from=self.seen - 1,
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
        """Input `video` f32 `[B, 3, seen, size, size]`, targets f32 `[B, 3, future, size, size]`, both normalised."""
        pictures = media.pictures
        assert pictures is not None
        views = self._views(draws)
        clips = render(pictures, views)
        return PretextBatch(
            inputs={"video": clips[:, :, : self.seen]},
            targets=clips[:, :, self.seen :],
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS} | views.facts(),
        )

    def _views(self, draws: Draws) -> Views:
        """Colours stay: a change of light from frame to frame cannot be foreseen, and one a clip changes no question."""
        return frame_views(self, draws, frames=self.frames, layout="CTHW")
