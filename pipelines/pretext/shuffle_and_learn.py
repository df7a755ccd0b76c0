"""Shuffle and learn (Misra, Zitnick, Hebert, ECCV 2016, arXiv 1603.08561): are three frames in the order of time?

Five times a < b < c < d < e lie in a window in which something moves. In order are (b, c, d) and its reversal (d, c, b):
direction is no cue. Not in order are (b, a, d), (b, e, d) and their reversals. The outer frames are the same in both
classes; only the middle one differs. The five times are chosen before any label, so times and gaps cannot tell it.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.gop_phase import gop_phases, times_by_phase
from unreel.pipelines.guards.motion_window import choose_start, window_motion
from unreel.pipelines.guards.overlays import cover
from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.pipelines.guards.similar_frames import frame_difference
from unreel.pipelines.guards.stabilise import Cuts, camera_path, follow
from unreel.pipelines.guards.synthetic_camera import CAMERA_PATHS, draw_pan, draw_zoom
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.ops.yuv import Pictures
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_choice, check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["ShuffleAndLearn"]

_FRAMES: Final = 5
_A, _B, _C, _D, _E = range(_FRAMES)
_GOP_SECONDS: Final = 16 / 25
"""Of the profiles' GOP at a common rate; a sample with longer ones fails by name when it is planned."""

_PLAN_FACTS: Final = ("frames", "seconds", "window_motion", "key_distance", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class ShuffleAndLearn:
    """Five frames of a clip and `tuples` questions about them.

    Attributes:
        tau_max_seconds: |b - d|; larger makes positives harder. Published 60 frames, unverified; ours suits clips of
            few seconds at the published ratio of 4 to `tau_min_seconds`.
        tau_min_seconds: |a - b| and |d - e|; smaller makes negatives harder. Published 15 frames, unverified.
        tuples: questions a clip, drawn independently of each other. Published 1; ours costs no frame more.
        positive: share of tuples in order; 0.25 is published, 0.5 is for evaluation.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels; published 227 of 255.
        size: side of the tower's input, in pixels.
        flip: probability that a clip is mirrored; all its frames alike.
        camera_shift: guard; how far each frame is moved on its own, in pixels, at most `window - crop`. It has to be
            about four times what the camera moves between a and e: the default does for 0.4 pixels a frame; see
            `guards/camera_shift.py`. 0 is off.
        camera_zoom: guard against zooms, ours, off: each frame is shown up to 1 + this times as large, drawn by itself; see
            `guards/synthetic_camera.py`. Its logarithm has to be about four times that of what the camera zooms.
        camera_path: `own` moves each frame by itself; `whole` does so by whole pixels, which is quicker and leaves what a
            camera moves beyond them; `steady` pans by `camera_shift` while the clip goes on, for comparison: it hides no order.
        stabilise: guard, ours, off: frames are cut where the scene has gone, as measured; see `guards/stabilise.py`. It costs
            more than the decoding, and clips whose camera leaves the window have targets -1. `camera_shift` comes on top.
        independent_jitter: guard; False gives all frames of a clip the same change of colour.
        brightness, contrast, saturation, hue, grey: see `Jitter`; the defaults are those of DPC, ours here.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
        corner_mask: guard, ours, off: share of the picture's height and width that is covered in each corner, for clocks and
            logos that stand there; see `guards/overlays.py`. Long shifts make what is covered longer.
        overlay_mask: guard; False shows the overlays that the sidecars name.
        min_difference: guard; clips whose frame c differs less from a or e, as mean squared difference in levels of
            [0, 255], have targets -1 for all their tuples, whatever their class. 0 is off. The published threshold is
            not known; ours is what a codec alone changes: 2 % of windows of mixed real clips lie below it.
        same_times: guard, off as published, where negatives show a or e in the place of c and their times alone give them
            away. True makes negatives of b, c and d themselves, with b or d in the middle.
        gop_phase: guard, ours, off; each frame's distance from its key frame is drawn, so that the times lie up to a GOP
            further apart; see `guards/gop_phase.py`.
    """

    name: ClassVar[str] = "shuffle_and_learn"

    tau_max_seconds: float = 1.0
    tau_min_seconds: float = 0.25
    tuples: int = 4
    positive: float = 0.25
    window: int = 128
    crop: int = 80
    size: int = 96
    flip: float = 0.5
    camera_shift: int = 48
    camera_zoom: float = 0.0
    camera_path: str = "own"
    stabilise: bool = False
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
    corner_mask: float = 0.0
    overlay_mask: bool = True
    min_difference: float = 4.0
    same_times: bool = False
    gop_phase: bool = False

    def __post_init__(self) -> None:
        check_range(self, 0.02, 600, "tau_max_seconds", "tau_min_seconds")
        check_range(self, 1, 64, "tuples")
        check_range(self, 0, 1, "positive")
        check_pictures(self)
        check_range(self, 0, 4, "camera_zoom")
        check_choice(self, "camera_path", CAMERA_PATHS)

    @property
    def needs(self) -> Needs:
        """Long enough for the five times at 10 frames a second or more, large enough, and moving."""
        seconds = self.tau_max_seconds + 2 * self.tau_min_seconds + 0.1
        if self.gop_phase:
            seconds = self.tau_max_seconds / 4 + self.tau_min_seconds + _FRAMES * _GOP_SECONDS
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
            **guard_words(self),
            "synthetic_camera": self._made_up,
            "stabilise": "cut where the scene has gone" if self.stabilise else "off",
            "similar_frames": f"difference at least {self.min_difference:g}"
            if self.min_difference
            else "off",
            "same_times": "negatives are other orders of b, c, d" if self.same_times else "off: as published",
            "gop_phase": "drawn for each frame" if self.gop_phase else "off",
        }

    @property
    def _made_up(self) -> str:
        """What the made-up camera does, in words."""
        zoom = f"each frame up to {1 + self.camera_zoom:g} times as large" if self.camera_zoom else ""
        pan = "a steady pan in the place of shifts" if self.camera_path == "steady" else ""
        return ", ".join(words for words in (zoom, pan) if words) or "off"

    def look(self, kind: str) -> Look:
        """Single frames."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """Five frames of one window of time, and one window of the picture for all of them."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        at = draws.uniform("plan", 4)[0].tolist()
        frames, motion = self._times(sidecar, video, draws, at[0], at[1])
        window = place_window(sidecar, size=self.window, at=(at[2], at[3]), inside=self.content_box)
        return Plan(
            frames=frames,
            window=window,
            facts={
                "frames": frames,
                "seconds": (frames / float(video.frame_rate)).astype(np.float32),
                "window_motion": motion,
                "key_distance": gop_phases(video.packets)[frames],
                "window_top": window.top,
                "window_left": window.left,
            },
        )

    def _times(
        self, sidecar: Sidecar, video: Video, draws: Draws, place: float, middle: float
    ) -> tuple[NDArray[np.int32], float]:
        """The frames a, b, c, d, e, i32 `[5]`, and the mean motion of the window that they lie in."""
        between = max(2, _frames_in(self.tau_max_seconds, video))
        margin = max(1, _frames_in(self.tau_min_seconds, video))
        # c stays away from b and d by a quarter of the way: next to them a tuple has no order to see.
        near = max(1, between // 4)
        phases = gop_phases(video.packets) if self.gop_phase else None
        gop = 0 if phases is None else int(phases.max()) + 1
        # Drawn phases add half a GOP to each gap on average.
        gaps = [max(1, gap // 2) for gap in (margin, near, near, margin)]
        span = sum(gaps) + _FRAMES * gop if gop else between + 2 * margin + 1
        first, motion = self._window(sidecar, video, span, place)
        if phases is not None:
            wanted = draws.integers("gop_phase", 0, gop, _FRAMES)[0]
            return times_by_phase(phases, first=first, gaps=gaps, wanted=wanted), motion
        b, d = first + margin, first + margin + between
        c = b + near + int(middle * (between - 2 * near + 1))
        return np.array([first, b, c, d, d + margin], np.int32), motion

    def _window(self, sidecar: Sidecar, video: Video, span: int, place: float) -> tuple[int, float]:
        """First frame of a window of `span` frames, and the mean motion in it."""
        starts = video.frames - span + 1
        cuts = sidecar.facts.cuts if self.scene_cuts else ()
        curve = sidecar.facts.motion_curve
        if len(curve) != video.frames:
            raise PlanImpossible(f"sample {sidecar.key}: its sidecar has no motion curve")
        if starts < 1 or not (allowed := uncut_starts(cuts, frames=video.frames, span=span)).any():
            raise PlanImpossible(
                f"sample {sidecar.key}: no {span} frames without a cut among its {video.frames} "
                f"(cuts at {list(cuts)}); shorten tau_max_seconds or tau_min_seconds"
            )
        motion = window_motion(curve, span)
        first = choose_start(motion if self.motion_window else np.ones(starts), allowed, place)
        return first, float(motion[first])

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, 5, 3, size, size]`, normalised, and `tuples` i64 `[B, tuples, 3]` into the five.

        Targets i64 `[B, tuples]`: 1 in order, 0 not, -1 where similar frames leave nothing to decide, or a clip could not be stabilised.
        """
        pictures = media.pictures
        assert pictures is not None
        views, steady = self._views(pictures, draws, media.fact("seconds"))
        tuples, in_order = self._tuples(draws)
        others = (_B, _D) if self.same_times else (_A, _E)
        difference = frame_difference(pictures, middle=_C, others=others)
        alike = (difference < self.min_difference)[:, None]
        unsteady = torch.from_numpy(~steady).to(pictures.device)[:, None]
        targets = torch.from_numpy(in_order.astype(np.int64)).to(pictures.device)
        shown = render(pictures, views)
        shown = cover(shown, media, views, corners=self.corner_mask, measured=self.overlay_mask)
        return PretextBatch(
            inputs={
                "frame": shown,
                "tuples": torch.from_numpy(tuples).to(pictures.device),
            },
            targets=targets.masked_fill(alike | unsteady, -1),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS}
            | views.facts()
            | {"difference": difference.cpu().numpy()},
        )

    def _views(
        self, pictures: Pictures, draws: Draws, seconds: NDArray[np.float32]
    ) -> tuple[Views, NDArray[np.bool_]]:
        """What each frame shows, and which clips are steady, bool `[B]`."""
        views = frame_views(self, draws, frames=_FRAMES)
        cuts = Cuts.still(self._offsets(views, draws, seconds), crop=self.crop)
        if self.stabilise:
            offsets = np.stack([cuts.top, cuts.left])
            path = camera_path(pictures, reference=_C)
            cuts = follow(path, offsets, crop=self.crop, extent=(self.window, self.window))
        if self.camera_zoom:
            cuts = cuts.zoomed(draw_zoom(draws, frames=_FRAMES, most=self.camera_zoom))
        crop = cuts.extents if self.stabilise or self.camera_zoom else views.crop
        return replace(views, top=cuts.top, left=cuts.left, crop=crop), cuts.steady

    def _offsets(
        self, views: Views, draws: Draws, seconds: NDArray[np.float32]
    ) -> NDArray[np.int64] | NDArray[np.float32]:
        """Where frames of a camera that stands still are cut, `[2, B, 5]`; those of `views` lie at whole pixels."""
        slack, shift = self.window - self.crop, self.camera_shift
        if self.camera_path == "steady":
            return draw_pan(draws, seconds, slack=slack, shift=shift)
        if self.camera_path == "own" and shift:
            return draw_offsets(draws, frames=_FRAMES, slack=slack, shift=shift, between=True)
        return np.stack([views.top, views.left]).astype(np.int64)

    def _tuples(self, draws: Draws) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tuples i64 `[B, K, 3]` and whether each is in order, bool `[B, K]`; every tuple has its own coins."""
        label, early, reverse = np.moveaxis(draws.uniform("tuples", self.tuples, 3), 2, 0)
        in_order = label < self.positive
        if self.same_times:
            middle = np.where(in_order, _C, np.where(early < 0.5, _B, _D))
            ends = np.where(in_order, _B, _C), np.where(middle == _D, _B, _D)
        else:
            middle = np.where(in_order, _C, np.where(early < 0.5, _A, _E))
            ends = np.full_like(middle, _B), np.full_like(middle, _D)
        first = np.where(reverse < 0.5, ends[1], ends[0])
        return np.stack([first, middle, ends[0] + ends[1] - first], axis=2), in_order


def _frames_in(seconds: float, video: Video) -> int:
    """Whole frames that fit into `seconds`; 0.28 s at 25 frames a second are 7, whatever floats make of it."""
    return int(seconds * float(video.frame_rate) + 1e-6)
