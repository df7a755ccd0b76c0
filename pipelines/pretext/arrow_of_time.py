"""The arrow of time (Wei, Lim, Zisserman, Freeman, CVPR 2018): does a clip run forwards or backwards?

Each clip's direction is a coin of its own. Both directions show the same frames, cut, coloured and grouped by the same
draws, in one order or in its reversal. What the tower takes is made *after* the reversal: differences of a reversed
clip are those of its own neighbours, not the forward ones in reverse. The published input is optical flow, made anew on
the reversed video; here it is RGB, or differences of neighbouring frames as its cheap form.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.frame_blur import draw_blur
from unreel.pipelines.guards.overlays import cover
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_choice, check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import TIME_FACTS, frames_in, place_time, time_facts
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["ArrowOfTime"]

_INPUTS: Final = ("difference", "rgb")


@dataclass(frozen=True, kw_only=True)
class ArrowOfTime:
    """A clip in `groups` parts, forwards or backwards.

    Attributes:
        frames: of the tower's input, all groups together; published 20 of flow. Ours suits clips of a few seconds.
        groups: parts that the tower sees one by one, the later head together; published 2.
        step_seconds: from a frame to the next; published 1 frame.
        input: `rgb`, ours; or `difference` of neighbouring frames in the order in which they are shown, the cheap form
            of the published flow. Differences drown in what `camera_shift`, `independent_jitter` and `blur` change from
            frame to frame, so switch those off with it.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels.
        size: side of the tower's input, in pixels; published 224.
        flip: probability that a clip is mirrored, which evens out pans to the left and to the right.
        camera_shift: guard; how far each frame is moved on its own, in pixels, at most `window - crop`; 0 is off.
            Published is to stabilise each clip by homographies to its middle frame.
        independent_jitter: guard; False gives all frames of a clip the same change of colour, and lets fades through.
        brightness, contrast, saturation, hue, grey: see `Jitter`; ours.
        blur: guard; most that a frame is blurred, each by its own, in pixels of the input; 0 is off. See
            `guards/frame_blur.py`; ours. The published remedy is a set of videos coded without differences: their
            quality does not change along a clip, as that of shards of the profile `clips-128-mjpeg` from such videos.
        motion_window: guard; False draws windows uniformly. Published: still stretches are dropped.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
        corner_mask: guard, ours, off: share of the picture's height and width that is covered in each corner, for clocks and
            logos that stand there; see `guards/overlays.py`. Long shifts make what is covered longer.
        overlay_mask: guard; False shows the overlays that the sidecars name.
    """

    name: ClassVar[str] = "arrow_of_time"

    frames: int = 8
    groups: int = 2
    step_seconds: float = 0.32
    input: str = "rgb"
    window: int = 128
    crop: int = 112
    size: int = 96
    flip: float = 0.5
    camera_shift: int = 8
    independent_jitter: bool = True
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    grey: float = 0.5
    blur: float = 2.5
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True
    corner_mask: float = 0.0
    overlay_mask: bool = True

    def __post_init__(self) -> None:
        check_choice(self, "input", _INPUTS)
        check_range(self, 2, 256, "frames")
        check_range(self, 1, self.frames, "groups")
        if self.frames % self.groups:
            raise ValueError(f"groups = {self.groups}: must divide frames = {self.frames}")
        check_range(self, 0.001, 60, "step_seconds")
        check_pictures(self)

    @property
    def shown(self) -> int:
        """Frames that are decoded: differences take one more."""
        return self.frames + (self.input == "difference")

    @property
    def needs(self) -> Needs:
        """Long enough for the frames at the step that is asked for, large enough, and moving."""
        seconds = (self.shown - 1) * self.step_seconds + 0.1
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
        """One group."""
        if kind != "video":
            raise no_look(self.name, kind, ("video",))
        return Look(
            crop=self.crop,
            size=self.size,
            frames=self.frames // self.groups,
            step_seconds=self.step_seconds,
            clip=True,
            differences=self.input == "difference",
        )

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The frames of one window of time, in the order of time, and one window of the picture for all of them."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        at = draws.uniform("plan", 3)[0].tolist()
        step = frames_in(self.step_seconds, video)
        first, motion = place_time(
            sidecar,
            video,
            span=(self.shown - 1) * step + 1,
            at=at[0],
            by_motion=self.motion_window,
            uncut=self.scene_cuts,
        )
        frames = (first + step * np.arange(self.shown)).astype(np.int32)
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(frames=frames, window=window, facts=time_facts(video, frames, window, motion))

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Input `video` f32 `[B, groups, 3, frames / groups, size, size]`, normalised; targets i64 `[B]`, 1 forwards.

        The fact `backward`, bool `[B]`, is the label's other name; `view_frame` says which frame is shown when.
        """
        assert media.pictures is not None
        backward = draws.chance("backward", 0.5)
        views = self._views(draws, backward)
        clips = render(media.pictures, views)
        clips = cover(clips, media, views, corners=self.corner_mask, measured=self.overlay_mask)
        clips = differences(clips) if self.input == "difference" else clips
        return PretextBatch(
            inputs={"video": torch.stack(clips.chunk(self.groups, dim=2), dim=1)},
            targets=torch.from_numpy((~backward).astype(np.int64)).to(clips.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in TIME_FACTS} | views.facts() | {"backward": backward},
        )

    def _views(self, draws: Draws, backward: NDArray[np.bool_]) -> Views:
        forward = np.arange(self.shown)
        frame = np.where(backward[:, None], forward[::-1], forward)
        blur = draw_blur(draws, frames=self.shown, most=self.blur)
        return frame_views(self, draws, frames=self.shown, blur=blur, frame=frame, layout="CTHW")


def differences(clips: Tensor) -> Tensor:
    """Each frame minus the one shown before it: float `[..., T, H, W]` → `[..., T - 1, H, W]`."""
    return clips.diff(dim=-3)
