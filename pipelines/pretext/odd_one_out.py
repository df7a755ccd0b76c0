"""Odd one out (Fernando, Bilen, Gavves, Gould, CVPR 2017, arXiv 1611.06646): which sequence is out of order?

`sequences` short sequences of one clip, all but one in the order of time; the label is the slot of the odd one. What
the tower takes is their motion: differences of frames, see `models/towers/motion.py`. A difference shows how far two
frames are apart, and shuffled frames are further apart than ordered ones; see `guards/equal_gaps.py`.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.equal_gaps import straight_walks, turning_walks, walkable_gaps
from unreel.pipelines.guards.overlays import cover
from unreel.pipelines.guards.similar_frames import step_difference
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.permutations import orders
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import frames_in, place_time
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["OddOneOut"]

_CANDIDATES: Final = 16
"""Gaps drawn for each sequence until some can be walked with a turn; one in three or more can."""

_PLAN_FACTS: Final = (
    "odd",
    "seconds",
    "gaps",
    "span_seconds",
    "window_motion",
    "key_distance",
    "window_top",
    "window_left",
)


@dataclass(frozen=True, kw_only=True)
class OddOneOut:
    """Several sequences of frames, one of them out of order.

    Attributes:
        sequences: of a clip, one of which is odd; published 6.
        frames: of a sequence; published 6.
        gap_min_seconds, gap_max_seconds: time between neighbouring frames of a sequence. Ours; the published sampling
            takes neighbouring frames, or frames at random distances in order.
        backwards: share of the sequences in order that run backwards, each its own coin; the reversal of a sequence is
            never odd. 0 is published; with 0.5 the direction of time is no help.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels; published 227 of 256.
        size: side of the tower's input, in pixels.
        flip: probability that a clip is mirrored; all its frames alike.
        equal_gaps: guard; the odd sequence's frames are as far from their neighbours as those of the others. False
            takes frames as the others do and permutes them, as published: 100 % can be answered from gaps alone.
        camera_shift: guard; how far each frame is moved on its own, in pixels, at most `window - crop`. 0, our
            default, is off: a difference of frames that were moved shows the move first.
        independent_jitter: guard; False gives all frames of a clip the same change of colour.
        brightness, contrast: see `Jitter`; ours. Hue and saturation stay: a difference would show their change first,
            while a tower that standardises each frame takes these two away.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets sequences reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
        corner_mask: guard, ours, off: share of the picture's height and width that is covered in each corner, for clocks and
            logos that stand there; see `guards/overlays.py`. Long shifts make what is covered longer.
        overlay_mask: guard; False shows the overlays that the sidecars name.
        min_difference: guard; clips whose odd sequence changes less from frame to frame, as mean squared difference in
            levels of [0, 255], have target -1. 0 is off. Ours, what a codec alone changes.
    """

    name: ClassVar[str] = "odd_one_out"

    sequences: int = 6
    frames: int = 6
    gap_min_seconds: float = 0.08
    gap_max_seconds: float = 0.24
    backwards: float = 0.0
    window: int = 128
    crop: int = 112
    size: int = 96
    flip: float = 0.5
    equal_gaps: bool = True
    camera_shift: int = 0
    independent_jitter: bool = True
    brightness: float = 0.3
    contrast: float = 0.3
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True
    corner_mask: float = 0.0
    overlay_mask: bool = True
    min_difference: float = 4.0

    def __post_init__(self) -> None:
        check_range(self, 2, 16, "sequences")
        check_range(self, 4, 8, "frames")
        check_range(self, 0.001, 10, "gap_min_seconds")
        check_range(self, 2 * self.gap_min_seconds, 20, "gap_max_seconds")
        check_range(self, 0, 1, "backwards")
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """Long enough for a sequence with the longest gaps, large enough, and moving."""
        seconds = (self.frames - 1) * self.gap_max_seconds + 0.1 * self.frames
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
            "equal_gaps": "steps of equal lengths in and out of order" if self.equal_gaps else "off",
            "similar_frames": f"steps differ by at least {self.min_difference:g}"
            if self.min_difference
            else "off",
        }

    def look(self, kind: str) -> Look:
        """One sequence in order, with gaps of the middle length."""
        if kind != "video":
            raise no_look(self.name, kind, ("video",))
        step = (self.gap_min_seconds + self.gap_max_seconds) / 2
        return Look(crop=self.crop, size=self.size, frames=self.frames, step_seconds=step)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The sequences one after the other, each in the order in which it is shown, and one window for all."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        odd = int(draws.integers("odd", 0, self.sequences)[0])
        each = draws.uniform("sequences", 3, self.sequences)[0]
        turn, down, aside = draws.uniform("plan", 3)[0].tolist()
        gaps = self._gaps(sidecar, video, draws)
        times = straight_walks(gaps)
        times[each[0] < self.backwards] = times[each[0] < self.backwards, ::-1]
        times[odd] = self._out_of_order(gaps[odd], self._gap_range(video)[0], turn)
        times, motion = self._place(sidecar, video, times, each[1:])
        window = place_window(sidecar, size=self.window, at=(down, aside), inside=self.content_box)
        keys, rate = video.packets.key_frames, float(video.frame_rate)
        return Plan(
            frames=times.ravel().astype(np.int32),
            window=window,
            facts={
                "odd": odd,
                "seconds": (times / rate).astype(np.float32),
                "gaps": (np.abs(np.diff(times, axis=1)) / rate).astype(np.float32),
                "span_seconds": (np.ptp(times, axis=1) / rate).astype(np.float32),
                "window_motion": motion,
                "key_distance": times - keys[np.searchsorted(keys, times, side="right") - 1],
                "window_top": window.top,
                "window_left": window.left,
            },
        )

    def _gaps(self, sidecar: Sidecar, video: Video, draws: Draws) -> NDArray[np.int64]:
        """Distances of neighbouring frames, i64 `[sequences, frames - 1]`, drawn alike for all sequences."""
        low, high = self._gap_range(video)
        candidates = draws.integers("gaps", low, high + 1, _CANDIDATES, self.sequences, self.frames - 1)[0]
        try:
            return walkable_gaps(candidates, apart=low) if self.equal_gaps else candidates[0]
        except ValueError as error:
            raise PlanImpossible(f"sample {sidecar.key}: {error} (gap_max_seconds)") from error

    def _out_of_order(self, gaps: NDArray[np.int64], apart: int, at: float) -> NDArray[np.int64]:
        """Times of the odd sequence, i64 `[frames]`: neither ascending nor descending."""
        if self.equal_gaps:
            times, possible = turning_walks(gaps[None], apart=apart)
            walks = times[0, possible[0]]
            return walks[int(at * len(walks))]
        # In lexicographic order the first is the identity and the last its reversal.
        permutations = orders(self.frames)[1:-1]
        return straight_walks(gaps)[permutations[int(at * len(permutations))]]

    def _place(
        self, sidecar: Sidecar, video: Video, times: NDArray[np.int64], at: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The sequences in the clip, and the motion of the window that each lies in, f32 `[sequences]`.

        All windows are as long as the longest sequence could be, whichever is odd.
        """
        span = (self.frames - 1) * self._gap_range(video)[1] + 1
        windows = [
            place_time(
                sidecar, video, span=span, at=place, by_motion=self.motion_window, uncut=self.scene_cuts
            )
            for place in at[0].tolist()
        ]
        first = np.array([start for start, _ in windows])
        free = span - times.max(axis=1)
        placed = times + (first + (at[1] * free).astype(np.int64))[:, None]
        return placed, np.array([motion for _, motion in windows], np.float32)

    def _gap_range(self, video: Video) -> tuple[int, int]:
        """The shortest and the longest gap, in frames; the longest is at least twice the shortest."""
        low = frames_in(self.gap_min_seconds, video)
        return low, max(2 * low, frames_in(self.gap_max_seconds, video))

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Input `video` f32 `[B, sequences, 3, frames, size, size]`, normalised, in the order that is shown.

        Targets i64 `[B]`: the slot of the odd sequence, -1 where it shows no change.
        """
        pictures = media.pictures
        assert pictures is not None
        views = self._views(draws)
        odd = torch.from_numpy(media.fact("odd").astype(np.int64)).to(pictures.device)
        difference = step_difference(pictures, sequences=self.sequences)
        still = difference.gather(1, odd[:, None])[:, 0] < self.min_difference
        shown = cover(
            render(pictures, views), media, views, corners=self.corner_mask, measured=self.overlay_mask
        )
        return PretextBatch(
            inputs={"video": shown},
            targets=odd.masked_fill(still, -1),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS}
            | views.facts()
            | {"difference": difference.cpu().numpy()},
        )

    def _views(self, draws: Draws) -> Views:
        frames = self.sequences * self.frames
        return frame_views(self, draws, frames=frames, layout="CTHW", clips=self.sequences)
