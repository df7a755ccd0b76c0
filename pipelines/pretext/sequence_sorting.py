"""Sequence sorting (OPN: Lee, Huang, Singh, Yang, ICCV 2017): in which order were four shuffled frames filmed?

The label is one of 12 orders: an order and its reversal are one class, because many movements look alike both ways.
The four times are chosen before the order is, so times and gaps cannot tell it.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.channel_split import split_channels
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.equal_gaps import straight_walks
from unreel.pipelines.guards.overlays import cover
from unreel.pipelines.guards.similar_frames import nearest_difference
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

__all__ = ["SequenceSorting"]

_FRAMES: Final = 4
_PLAN_FACTS: Final = ("seconds", "window_motion", "key_distance", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class SequenceSorting:
    """Four frames of a clip, shuffled.

    Attributes:
        gap_min_seconds, gap_max_seconds: time from a frame to the next, drawn for each. Ours; the published tuples are
            chosen by optical flow and their rule is not known.
        reverse: probability that an order is shown as its reversal, of the same class; published 0.5.
        window: side of the square of the stored picture that is decoded, in pixels; published 100, chosen where much
            moves, here anywhere.
        crop: side of the square that is cut out of the window, in pixels; published 80.
        size: side of the tower's input, in pixels.
        flip: probability that a clip is mirrored; all its frames alike. Published 0.5.
        channel_split: guard; each frame shows one of its channels, drawn for itself, as grey. Published.
        camera_shift: guard; how far each frame is moved on its own, in pixels, at most `window - crop`; published 10,
            which is 5 either way. Against a panning camera it has to be longer; see `guards/camera_shift.py`. 0 is off.
        independent_jitter: guard; False gives all frames of a clip the same change of colour.
        brightness, contrast: see `Jitter`; ours, against a drift of exposure, 0 is published.
        motion_window: guard; False draws windows uniformly.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets windows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
        corner_mask: guard, ours, off: share of the picture's height and width that is covered in each corner, for clocks and
            logos that stand there; see `guards/overlays.py`. Long shifts make what is covered longer.
        overlay_mask: guard; False shows the overlays that the sidecars name.
        min_difference: guard; clips of which two frames differ less, as mean squared difference in levels of [0, 255],
            have target -1. 0 is off. Ours, what a codec alone changes.
    """

    name: ClassVar[str] = "sequence_sorting"

    gap_min_seconds: float = 0.2
    gap_max_seconds: float = 0.4
    reverse: float = 0.5
    window: int = 128
    crop: int = 104
    size: int = 96
    flip: float = 0.5
    channel_split: bool = True
    camera_shift: int = 10
    independent_jitter: bool = True
    brightness: float = 0.5
    contrast: float = 0.5
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True
    corner_mask: float = 0.0
    overlay_mask: bool = True
    min_difference: float = 4.0

    def __post_init__(self) -> None:
        check_range(self, 0.001, 60, "gap_min_seconds")
        check_range(self, self.gap_min_seconds, 600, "gap_max_seconds")
        check_range(self, 0, 1, "reverse")
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """Long enough for the longest gaps at 10 frames a second or more, large enough, and moving."""
        seconds = (_FRAMES - 1) * (self.gap_max_seconds + 0.05) + 0.1
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
            "channel_split": "each frame shows one channel" if self.channel_split else "off",
            "similar_frames": f"difference at least {self.min_difference:g}"
            if self.min_difference
            else "off",
        }

    def look(self, kind: str) -> Look:
        """Single frames."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """Four frames in the order of time, and one window of the picture for all of them."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        at = draws.uniform("plan", 3)[0].tolist()
        frames, motion = self._times(sidecar, video, draws, at[0])
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        keys = video.packets.key_frames
        return Plan(
            frames=frames,
            window=window,
            facts={
                "seconds": (frames / float(video.frame_rate)).astype(np.float32),
                "window_motion": motion,
                "key_distance": frames - keys[np.searchsorted(keys, frames, side="right") - 1],
                "window_top": window.top,
                "window_left": window.left,
            },
        )

    def _times(
        self, sidecar: Sidecar, video: Video, draws: Draws, at: float
    ) -> tuple[NDArray[np.int32], float]:
        """The four frames, ascending, i32 `[4]`, and the mean motion between them."""
        low, high = (frames_in(seconds, video) for seconds in (self.gap_min_seconds, self.gap_max_seconds))
        gaps = draws.integers("gaps", low, high + 1, _FRAMES - 1)[0]
        first, motion = place_time(
            sidecar,
            video,
            span=int(gaps.sum()) + 1,
            at=at,
            by_motion=self.motion_window,
            uncut=self.scene_cuts,
        )
        return (first + straight_walks(gaps)).astype(np.int32), motion

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Input `frame` f32 `[B, 4, 3, size, size]`, normalised, in the order that is shown; targets i64 `[B]`.

        A target is the row of `orders(4, reversible=True)`, -1 where two frames look alike. The fact `view_frame`,
        i64 `[B, 4]`, says which frame of the four, in time, is shown at each place.
        """
        pictures = media.pictures
        assert pictures is not None
        table = orders(_FRAMES, reversible=True)
        label = draws.integers("order", 0, len(table))
        views = self._views(draws, table[label])
        shown = render(pictures, views)
        shown = cover(shown, media, views, corners=self.corner_mask, measured=self.overlay_mask)
        channel = draws.integers("channel", 0, 3, _FRAMES)
        difference = nearest_difference(pictures)
        targets = torch.from_numpy(label).to(shown.device)
        return PretextBatch(
            inputs={"frame": split_channels(shown, channel) if self.channel_split else shown},
            targets=targets.masked_fill(difference < self.min_difference, -1),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS}
            | views.facts()
            | {"order": label, "channel": channel, "difference": difference.cpu().numpy()},
        )

    def _views(self, draws: Draws, order: NDArray[np.int64]) -> Views:
        """Views of the frames in the `order`, i64 `[B, 4]`, or in its reversal."""
        reverse = draws.chance("reverse", self.reverse, 1)
        return frame_views(self, draws, frames=_FRAMES, frame=np.where(reverse, order[:, ::-1], order))
