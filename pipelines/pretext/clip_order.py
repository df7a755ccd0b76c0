"""Clip order prediction (VCOP; Xu, Xiao, Zhao, Shao, Xie, Zhuang, CVPR 2019): in which order were a few clips filmed?

Clips of one stretch of a video follow each other with gaps between them, and are shown in one of all their orders. Every
order shows the same clips, each cut and coloured by draws that belong to its place in the showing and not to its time.
"""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.frame_blur import draw_blur
from unreel.pipelines.guards.key_phase import whole_step
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.permutations import orders
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import TIME_FACTS, frames_in, place_time, time_facts
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["ClipOrder"]


@dataclass(frozen=True, kw_only=True)
class ClipOrder:
    """`clips` clips of `frames` frames, in one of all their orders.

    Attributes:
        clips: published 3, of which the orders are 6 classes.
        frames: of a clip; published 16.
        step_seconds: from a frame of a clip to the next; published 1 frame.
        gap_seconds: from a clip's last frame to the next clip's first, less one step; published 8 frames, which lie
            between the clips. See `key_phase`.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels; published 112 of 128 by 171.
        size: side of the tower's input, in pixels; published 112.
        flip: probability that all clips of a sample are mirrored; published 0.
        camera_shift: guard; how far each clip is moved on its own, in pixels, at most `window - crop`. Published: each
            clip is cut anywhere. A pan is hidden when the shift is several times its path; see `guards/camera_shift.py`.
        independent_jitter: guard; False gives all clips of a sample the same change of colour, and lets fades through.
        brightness, contrast, saturation, hue, grey: see `Jitter`; ours, published none. All frames of a clip change
            alike.
        blur: guard; most that a clip is blurred, each by its own, in pixels of the input; 0 is off. See
            `guards/frame_blur.py`; ours.
        key_phase: guard; the gap becomes the nearest one, no shorter, with which all clips start at one place between
            key frames. False keeps it as asked for: with 16 frames, the published gap and a key frame every 16 frames,
            the middle clip alone starts half a cycle away, which tells a third of the answer.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "clip_order"

    clips: int = 3
    frames: int = 16
    step_seconds: float = 0.04
    gap_seconds: float = 0.32
    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.0
    camera_shift: int = 16
    independent_jitter: bool = True
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    grey: float = 0.5
    blur: float = 1.5
    key_phase: bool = True
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 5, "clips")
        check_range(self, 1, 256, "frames")
        check_range(self, 0.001, 60, "step_seconds")
        check_range(self, 0, 600, "gap_seconds")
        check_pictures(self)

    @property
    def classes(self) -> int:
        """Orders to choose from."""
        return math.factorial(self.clips)

    @property
    def needs(self) -> Needs:
        """Long enough for the clips with the gaps that are asked for, large enough, and moving."""
        clip = self.frames * self.step_seconds
        seconds = self.clips * clip + (self.clips - 1) * self.gap_seconds
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
        phase = "clips start at one place between key frames" if self.key_phase else "off: any gap"
        return guard_words(self, each="clip") | {"key_phase": phase}

    def look(self, kind: str) -> Look:
        """One clip."""
        if kind != "video":
            raise no_look(self.name, kind, ("video",))
        return Look(crop=self.crop, size=self.size, frames=self.frames, step_seconds=self.step_seconds)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The frames of all clips in the order of time, and one window of the picture for all of them."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        at = draws.uniform("plan", 3)[0].tolist()
        offsets = self._offsets(sidecar, video)
        first, motion = place_time(
            sidecar,
            video,
            span=int(offsets[-1]) + 1,
            at=at[0],
            by_motion=self.motion_window,
            uncut=self.scene_cuts,
        )
        frames = (first + offsets).astype(np.int32)
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(frames=frames, window=window, facts=time_facts(video, frames, window, motion))

    def _offsets(self, sidecar: Sidecar, video: Video) -> NDArray[np.int64]:
        """Frames from the first one on, i64 `[clips * frames]`."""
        step = frames_in(self.step_seconds, video)
        apart = self.frames * step + round(self.gap_seconds * float(video.frame_rate))
        if self.key_phase:
            apart = whole_step(sidecar, least=apart)
        return np.add.outer(np.arange(self.clips) * apart, np.arange(self.frames) * step).ravel()

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Input `video` f32 `[B, clips, 3, frames, size, size]`, normalised; targets i64 `[B]`, a row of `orders`.

        `orders(clips)[target]` says which clip in time is shown at each place.
        """
        assert media.pictures is not None
        target = draws.integers("order", 0, self.classes)
        views = self._views(draws, orders(self.clips)[target])
        video = render(media.pictures, views)
        return PretextBatch(
            inputs={"video": video},
            targets=torch.from_numpy(target).to(video.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in TIME_FACTS} | views.facts(),
        )

    def _views(self, draws: Draws, order: NDArray[np.int64]) -> Views:
        """Views of the clips that `order`, i64 `[B, clips]`, shows at each place."""
        jitter = Jitter.of(self)
        slack = self.window - self.crop
        top, left = draw_offsets(draws, frames=self.clips, slack=slack, shift=self.camera_shift)
        frame = order[:, :, None] * self.frames + np.arange(self.frames)
        colour = draw_colours(draws, jitter, frames=self.clips, independent=self.independent_jitter)
        blur = draw_blur(draws, frames=self.clips, most=self.blur)
        return Views(
            top=top.repeat(self.frames, axis=1),
            left=left.repeat(self.frames, axis=1),
            crop=(self.crop, self.crop),
            size=(self.size, self.size),
            flip=draws.chance("flip", self.flip),
            colour=_for_frames(colour, self.frames),
            blur=None if blur is None else blur.repeat(self.frames, axis=1),
            frame=frame.reshape(len(order), -1),
            layout="CTHW",
            clips=self.clips,
        )


def _for_frames(colour: Colour, frames: int) -> Colour:
    """The colours of clips, `[B, clips]`, for each of their frames, `[B, clips * frames]`."""
    return Colour(
        **{field.name: getattr(colour, field.name).repeat(frames, axis=1) for field in fields(colour)}
    )
