"""Audio-visual temporal synchronisation: do a clip and a stretch of sound belong together, and to the same moment?

AVTS (Korbar, Tran, Torresani, "Cooperative learning of audio and video models from self-supervised synchronization",
NeurIPS 2018, arXiv 1807.00230). A positive is a clip with its own sound. Negatives are easy (the sound of another
source), hard (the same clip at a time apart) or super-hard (the same clip, shifted by less than its length).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.audio_phase import grid_phase
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.partner_swap import Swap, draw_roles, role_of, swap_partners
from unreel.pipelines.guards.shifted_sound import Moments, choose_moment, choose_pair, moments_of
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import render
from unreel.pipelines.plan import Plan, Span
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.listening import check_hearing, hear
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import frames_at
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["KINDS", "Synchronisation"]

KINDS: Final = ("easy", "hard", "super-hard")
"""Of negatives, by the number that the fact `kind` has."""

_SEEN: Final = ("frames", "clip_start", "shift_frames", "window_top", "window_left")
"""Facts of a row's own picture."""

_HEARD: Final = ("audio_start", "audio_phase", "sounding")
"""Facts of the sound, which come from the row that gives it."""


@dataclass(frozen=True, kw_only=True)
class Synchronisation:
    """A clip and a stretch of sound of the same length.

    What is called unverified is recalled from the paper and was not found in a source that could be read.

    Attributes:
        frames: of the clip; ours.
        step_seconds: time from one of them to the next, each at the nearest frame; ours. The sound is `frames` times as
            long.
        audio_rate: samples per second that the shards must have; ours.
        features: how sound is shown, see `FEATURES`; ours.
        group: rows among which easy negatives swap their sounds, half of them negative; ours.
        hard: share of the negatives that are hard; published 0.25 for the second part of the training (unverified).
        super_hard: share of the negatives that are super-hard; published 0, they were found not to help (unverified).
        hard_after: rows of the run, steps times rows of a step, before which all negatives are easy: the curriculum. It is
            a function of the position and so the same after any resume. Published are 50 of 90 epochs
            (unverified); the default, 0, is no curriculum.
        hard_gap_seconds: least time between the end of one stretch and the start of the other of a hard negative;
            published 0.5 (unverified).
        min_shift_seconds: least shift of a super-hard negative; ours. The most is the clip's length less a frame.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, the same for all frames of a clip, in pixels; ours.
        size: side of the tower's input, in pixels; ours.
        flip: probability of mirroring; ours.
        shift, saturation: see `Jitter`, one change for a clip; ours, those of correspondence.
        gain: sound is scaled within 1 ± this, never into clipping; ours, that of correspondence.
        noise: share of rows with white noise added, 10 to 40 dB below the sound; published 0.
        mask_bands, mask_seconds: widest masks of SpecAugment over bands and time, two of each; published 0, which is off.
        audio_grid: guard; all sound starts on the frame grid. False lets the sounds of negatives start off it.
        both_ways: guard; False shifts the sound of hard negatives to later times only.
        min_sound: guard; share of the stretch that must not be silent; 0 is off. Ours.
        scene_cuts: guard; False lets stretches reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "synchronisation"

    frames: int = 16
    step_seconds: float = 0.08
    audio_rate: int = 48_000
    features: str = "logmel"
    group: int = 16
    hard: float = 0.25
    super_hard: float = 0.0
    hard_after: int = 0
    hard_gap_seconds: float = 0.5
    min_shift_seconds: float = 0.2
    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.5
    shift: float = 32 / 255
    saturation: float = 0.5
    gain: float = 0.1
    noise: float = 0.0
    mask_bands: int = 0
    mask_seconds: float = 0.0
    audio_grid: bool = True
    both_ways: bool = True
    min_sound: float = 0.25
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 1024, "frames")
        check_range(self, 0.01, 10, "step_seconds")
        check_hearing(self)
        check_range(self, 4, 1024, "group")
        if self.group % 2:
            raise ValueError(f"group = {self.group}: must be even, half of its rows are negatives")
        check_range(self, 0, 1, "hard", "super_hard")
        check_range(self, 0, 1 - self.hard + 1e-9, "super_hard")
        check_range(self, 0, 10**15, "hard_after")
        check_range(self, 0, 60, "hard_gap_seconds")
        check_range(self, 0.02, self.seconds, "min_shift_seconds")
        check_pictures(self)

    @property
    def seconds(self) -> float:
        """Length of the clip and of its sound."""
        return self.frames * self.step_seconds

    @property
    def needs(self) -> Needs:
        """Picture and sound, long enough for the hardest negatives asked for, large enough, and not silent."""
        longest = self.seconds
        if self.super_hard:
            longest = self.seconds + self.min_shift_seconds
        if self.hard:
            longest = max(longest, 2 * self.seconds + self.hard_gap_seconds)
        return Needs(
            video=True,
            audio=True,
            min_seconds=longest,
            min_scene_seconds=self.seconds if self.scene_cuts else 0.0,
            min_size=(self.window, self.window),
            min_sound=self.min_sound,
            group=self.group,
        )

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        swap = f"easy negatives swap sounds in groups of {self.group}, never within a source"
        both = "moments are drawn both ways, alike for both classes"
        return {
            "audio_phase": "all sound starts on the frame grid"
            if self.audio_grid
            else "off: negatives start off it",
            "partner_swap": swap,
            "shifted_sound": both if self.both_ways else "off: hard negatives hear later sound",
            "silence": f"at least {self.min_sound:.0%} not silent" if self.min_sound else "off",
            "scene_cuts": "stretches within a scene" if self.scene_cuts else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """The clip, and the stretch of sound."""
        if kind == "video":
            return Look(crop=self.crop, size=self.size, frames=self.frames, step_seconds=self.step_seconds)
        if kind == "audio":
            return Look(seconds=self.seconds, features=self.features)
        raise no_look(self.name, kind, ("video", "audio"))

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """A clip, and its own sound or, for harder negatives, that of another time; easy ones are swapped in `build`."""
        moments = moments_of(
            sidecar,
            task=self.name,
            seconds=self.seconds,
            audio_rate=self.audio_rate,
            min_sound=self.min_sound,
            scene_cuts=self.scene_cuts,
        )
        assert sidecar.video is not None
        at = draws.uniform("plan", 4)[0].tolist()
        negative, kind = self._role(draws)
        seen, heard = self._moments(sidecar, moments, kind, at[0])
        start = int(moments.starts[heard if negative else seen])
        if negative and not self.audio_grid:
            room = sidecar.audio.samples - moments.length  # type: ignore[union-attr]  # checked by moments_of
            start = min(start + int(at[3] * (self.audio_rate / sidecar.video.frame_rate)), room)
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        frames = frames_at(seen, self.frames, self.step_seconds, sidecar.video)
        return Plan(
            frames=frames,
            window=window,
            sound=Span(start, moments.length),
            facts={
                "frames": frames,
                "clip_start": seen,
                "shift_frames": heard - seen if negative else 0,
                "window_top": window.top,
                "window_left": window.left,
                "audio_start": start,
                "audio_phase": grid_phase(
                    start, audio_rate=self.audio_rate, frame_rate=sidecar.video.frame_rate
                ),
                "sounding": moments.sounding[heard if negative else seen],
            },
        )

    @property
    def _shares(self) -> tuple[float, float]:
        return self.hard, self.super_hard

    def _role(self, draws: Draws) -> tuple[bool, int]:
        return role_of(draws, group=self.group, shares=self._shares, since=self.hard_after)

    def _moments(self, sidecar: Sidecar, moments: Moments, kind: int, at: float) -> tuple[int, int]:
        """Frame at which the clip starts, and at which a negative of this `kind` would have its sound start."""
        assert sidecar.video is not None
        if kind == 0:
            return (choose_moment(moments.allowed, at),) * 2
        low, high = self._shifts(float(sidecar.video.frame_rate), moments.frames)[kind]
        pair = choose_pair(moments.allowed, low=low, high=high, at=at, both_ways=self.both_ways)
        if pair is None:
            raise PlanImpossible(
                f"sample {sidecar.key}: no two stretches of {self.seconds:g} s in its {sidecar.video.frames} frames "
                f"are {low} frames apart, for a {KINDS[kind]} negative; shorten the clip or hard_gap_seconds"
            )
        return pair

    def _shifts(self, rate: float, span: int) -> dict[int, tuple[int, int]]:
        """Kind → least and largest shift, in frames."""
        apart = span + int(np.ceil(self.hard_gap_seconds * rate - 1e-6))
        least = max(1, int(np.ceil(self.min_shift_seconds * rate - 1e-6)))
        return {1: (apart, 10**9), 2: (least, max(least, span - 1))}

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `video` f32 `[B, 3, frames, size, size]`, normalised, `audio` f32 `[B, 1, bands, columns]`, and `kind`
        i64 `[B]` into `KINDS`: of a negative, or of those that a positive stands against.

        Targets i64 `[B]`: 1 in step. A row is not valid when it or its partner failed, or when its partner has the same
        source.
        """
        assert media.pictures is not None and media.audio is not None
        device = media.valid.device
        roles = draw_roles(draws, group=self.group, shares=self._shares, since=self.hard_after)
        swap = swap_partners(draws, media.sources, group=self.group, swapping=roles.swapping)
        partner = torch.from_numpy(swap.partner).to(device)
        views = frame_views(self, draws, frames=self.frames, layout="CTHW")
        sound, heard = hear(self, media.audio, draws, row=swap.partner)
        return PretextBatch(
            inputs={
                "video": render(media.pictures, views),
                "audio": sound[:, 0],
                "kind": torch.from_numpy(roles.kind).to(device),
            },
            targets=torch.from_numpy(swap.corresponds.astype(np.int64)).to(device),
            valid=media.valid & media.valid[partner] & torch.from_numpy(swap.fair).to(device),
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts=_pair_facts(media, swap) | {"kind": roles.kind} | views.facts() | heard,
        )


def _pair_facts(media: MediaBatch, swap: Swap) -> dict[str, NDArray]:
    """Facts of what each row sees and hears, and the position whose sound it hears."""
    seen = {name: media.fact(name) for name in _SEEN}
    heard = {name: media.fact(name)[swap.partner] for name in _HEARD}
    return seen | heard | {"partner": media.positions[swap.partner]}
