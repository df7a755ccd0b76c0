"""Time-contrastive networks, single view (Sermanet et al., arXiv 1704.06888): which frames of a clip are near in time?

Pairs of frames are drawn from one stretch of a clip, the two of a pair at most `positive_seconds` apart. For a frame of
one pair the other of its pair is the positive, and every frame of other pairs that lies more than `negative_seconds`
away is a negative; what lies between is neither. All frames are cut and coloured each by itself, positives as negatives.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.frame_blur import draw_blur
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures, guard_words
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import TIME_FACTS, place_time, time_facts
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["TimeContrast"]


@dataclass(frozen=True, kw_only=True)
class TimeContrast:
    """`pairs` pairs of frames of a stretch of `stretch_seconds`.

    Attributes:
        pairs: of a clip; ours. More give each anchor more negatives of its own clip to choose among.
        stretch_seconds: that the anchors are drawn from, one from each of `pairs` equal parts; ours, for clips of a few
            seconds.
        positive_seconds: most time between the frames of a pair, at least one frame; published 6 frames at 29 a second.
        negative_seconds: negatives lie farther from the anchor; published twice the radius of positives.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels.
        size: side of the tower's input, in pixels; published 299.
        flip: probability that a clip is mirrored; all its frames alike.
        camera_shift: guard; how far each frame is moved on its own, in pixels, at most `window - crop`; 0 is off. A pan
            tells the time between two frames; see `guards/camera_shift.py`.
        independent_jitter: guard; False gives all frames of a clip the same change of colour, and light that drifts
            tells their time.
        brightness, contrast, saturation, hue, grey: see `Jitter`; ours.
        blur: guard; most that a frame is blurred, each by its own, in pixels of the input; 0 is off. See
            `guards/frame_blur.py`; ours.
        motion_window: guard; False draws stretches uniformly. Frames of a still stretch are alike, whatever their times.
        min_motion: smallest motion peak, in levels of [0, 255], of a sample worth a plan; ours.
        scene_cuts: guard; False lets stretches reach over a cut, by which any two times are told apart.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "time_contrast"

    pairs: int = 4
    stretch_seconds: float = 2.4
    positive_seconds: float = 0.2
    negative_seconds: float = 0.4
    window: int = 128
    crop: int = 112
    size: int = 96
    flip: float = 0.5
    camera_shift: int = 16
    independent_jitter: bool = True
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    grey: float = 0.5
    blur: float = 1.5
    motion_window: bool = True
    min_motion: float = 0.1
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 64, "pairs")
        check_range(self, 0.02, 3600, "stretch_seconds", "positive_seconds", "negative_seconds")
        if self.negative_seconds < self.positive_seconds:
            raise ValueError(
                f"negative_seconds = {self.negative_seconds}: must be {self.positive_seconds} (positive_seconds) or more"
            )
        if self.stretch_seconds <= 2 * self.negative_seconds:
            raise ValueError(
                f"stretch_seconds = {self.stretch_seconds}: must be more than twice negative_seconds = "
                f"{self.negative_seconds}, or anchors have no negatives"
            )
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """As long as the stretch, large enough, and moving."""
        seconds = self.stretch_seconds + 0.1
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
        """Single frames."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The frames of all pairs, pair by pair, and one window of the picture for all of them."""
        video = sidecar.video
        if video is None:
            raise PlanImpossible(f"sample {sidecar.key}: {self.name} takes pictures and the sample has none")
        at = draws.uniform("plan", 3)[0].tolist()
        span = int(self.stretch_seconds * float(video.frame_rate) + 1e-6)
        first, motion = place_time(
            sidecar, video, span=span, at=at[0], by_motion=self.motion_window, uncut=self.scene_cuts
        )
        frames = (first + self._pairs(sidecar, video, span, draws)).astype(np.int32)
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(frames=frames, window=window, facts=time_facts(video, frames, window, motion))

    def _pairs(self, sidecar: Sidecar, video: Video, span: int, draws: Draws) -> NDArray[np.int64]:
        """Frames of the stretch, i64 `[2 * pairs]`: anchor and positive of each pair, either of which may be earlier."""
        radius = int(self.positive_seconds * float(video.frame_rate) + 1e-6)
        if radius < 1:
            raise PlanImpossible(
                f"sample {sidecar.key}: no two frames within {self.positive_seconds:g} s at {video.frame_rate} a second"
            )
        part, way = draws.uniform("pairs", 2, self.pairs)[0]
        anchor = ((np.arange(self.pairs) + part) * span / self.pairs).astype(np.int64)
        # A step of 1 to `radius` frames to either side; the side that leaves the stretch is turned round.
        step = np.floor(way * 2 * radius).astype(np.int64) - radius
        step += step >= 0
        step = np.where((anchor + step < 0) | (anchor + step >= span), -step, step)
        return np.stack([anchor, anchor + step], axis=1).ravel()

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, 2 * pairs, 3, size, size]`, normalised, pair by pair, and `apart` bool
        `[B, pairs, 2 * pairs]`, the negatives of each pair's first frame. Targets i64 `[B, pairs]` say which frame is
        its positive.
        """
        assert media.pictures is not None
        views = self._views(draws)
        seconds = media.fact("seconds")
        shown = render(media.pictures, views)
        distance = np.abs(seconds[:, None, :] - seconds[:, ::2, None])
        positive = np.broadcast_to(1 + 2 * np.arange(self.pairs), (len(media), self.pairs))
        return PretextBatch(
            inputs={
                "frame": shown,
                "apart": torch.from_numpy(distance > self.negative_seconds + 1e-4).to(shown.device),
            },
            targets=torch.from_numpy(positive.copy()).to(shown.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in TIME_FACTS} | views.facts(),
        )

    def _views(self, draws: Draws) -> Views:
        frames = 2 * self.pairs
        return frame_views(self, draws, frames=frames, blur=draw_blur(draws, frames=frames, most=self.blur))
