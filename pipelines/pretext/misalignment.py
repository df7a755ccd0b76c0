"""Misalignment: which of two stretches of one recording's sound belongs to these very frames?

Owens and Efros, "Audio-visual scene analysis with self-supervised multisensory features", ECCV 2018, arXiv 1804.03641;
what is called published was read in the authors' code. Each row shows one clip with its own sound and with a stretch of
the same recording that starts at another frame, and each of the two is judged by itself.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.audio_phase import grid_phase
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.shifted_sound import choose_pair, moments_of
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

__all__ = ["Misalignment"]

_PLAN_FACTS: Final = ("frames", "clip_start", "shift_frames", "window_top", "window_left")


@dataclass(frozen=True, kw_only=True)
class Misalignment:
    """A clip, its own sound, and sound of another time of the same recording.

    Attributes:
        seconds: length of the clip and of each sound; published 4.2.
        frames: of the clip; published 125, and 32 at a quarter of the rate to begin with, which is the default.
        audio_rate: samples per second that the shards must have; published 21,000, ours 48,000.
        features: how sound is shown, see `FEATURES`; ours, published is the waveform.
        min_shift_seconds: least time between the two sounds; published 2.17, they overlap by 60 frames of 125 at most.
        max_shift_seconds: most time between them; published 5.87, ours 5.8: clips of 10 s hold that.
        window: side of the square of the stored picture that is decoded, in pixels; published 256.
        crop: side of the square that is cut out of it, the same for all frames of a clip; published 224.
        size: side of the tower's input, in pixels; published 224.
        flip: probability of mirroring; published 0.5.
        shift, saturation: see `Jitter`, one change for a clip; published 0.
        gain: sound is scaled within 1 ± this, both sounds of a row alike, never into clipping; ours.
        noise: share of rows with white noise added, 10 to 40 dB below the sound; published 0.
        mask_bands, mask_seconds: widest masks of SpecAugment over bands and time, two of each; published 0, which is off.
        audio_grid: guard; both sounds start on the frame grid, as published. False lets the shifted one start off it.
        both_ways: guard; False shifts to later times only.
        min_sound: guard; share of either sound that must not be silent; 0 is off. Ours.
        scene_cuts: guard; False lets clips and sounds reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "misalignment"

    seconds: float = 4.2
    frames: int = 32
    audio_rate: int = 48_000
    features: str = "logmel"
    min_shift_seconds: float = 2.17
    max_shift_seconds: float = 5.8
    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.5
    shift: float = 0.0
    saturation: float = 0.0
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
        check_range(self, 0.1, 60, "seconds")
        check_range(self, 2, 1024, "frames")
        check_hearing(self)
        check_range(self, 0.02, 60, "min_shift_seconds")
        check_range(self, self.min_shift_seconds, 600, "max_shift_seconds")
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """Picture and sound, as long as both stretches at their largest distance, large enough, and not silent."""
        return Needs(
            video=True,
            audio=True,
            min_seconds=self._reach,
            min_scene_seconds=self.seconds if self.scene_cuts else 0.0,
            min_size=(self.window, self.window),
            min_sound=self.min_sound,
        )

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        both = "pairs of moments are drawn both ways, evenly"
        return {
            "audio_phase": "both sounds start on the frame grid"
            if self.audio_grid
            else "off: the shifted sound starts off it",
            "shifted_sound": both if self.both_ways else "off: the shifted sound is the later one",
            "silence": f"at least {self.min_sound:.0%} not silent" if self.min_sound else "off",
            "scene_cuts": "stretches within a scene" if self.scene_cuts else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """The clip, and a stretch of sound."""
        if kind == "video":
            step = self.seconds / self.frames
            return Look(crop=self.crop, size=self.size, frames=self.frames, step_seconds=step)
        if kind == "audio":
            return Look(seconds=self.seconds, features=self.features)
        raise no_look(self.name, kind, ("video", "audio"))

    @property
    def _reach(self) -> float:
        return self.seconds + self.max_shift_seconds

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """A clip, and one stretch of sound that holds both: they are decoded together and cut alike in `build`."""
        moments = moments_of(
            sidecar,
            task=self.name,
            seconds=self.seconds,
            audio_rate=self.audio_rate,
            min_sound=self.min_sound,
            scene_cuts=self.scene_cuts,
        )
        video, audio = sidecar.video, sidecar.audio
        assert video is not None and audio is not None
        at = draws.uniform("plan", 4)[0].tolist()
        own, other = self._pair(sidecar, moments.allowed, at[0])
        total = round(self._reach * self.audio_rate)
        if audio.samples < total:
            raise PlanImpossible(
                f"sample {sidecar.key}: {audio.samples / audio.rate:.2f} s of sound, {self.name} needs {self._reach:g} s"
            )
        begin = min(int(moments.starts[min(own, other)]), audio.samples - total)
        starts = moments.starts[[own, other]] - begin
        if not self.audio_grid:
            starts[1] = min(
                starts[1] + int(at[3] * (self.audio_rate / video.frame_rate)), total - moments.length
            )
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        frames = frames_at(own, self.frames, self.seconds / self.frames, video)
        phases = [
            grid_phase(begin + int(start), audio_rate=self.audio_rate, frame_rate=video.frame_rate)
            for start in starts
        ]
        return Plan(
            frames=frames,
            window=window,
            sound=Span(begin, total),
            facts={
                "frames": frames,
                "clip_start": own,
                "shift_frames": other - own,
                "window_top": window.top,
                "window_left": window.left,
                "begin": begin,
                "starts": starts,
                "audio_phase": np.array(phases),
                "sounding": moments.sounding[[own, other]],
            },
        )

    def _pair(self, sidecar: Sidecar, allowed: np.ndarray, at: float) -> tuple[int, int]:
        assert sidecar.video is not None
        rate = float(sidecar.video.frame_rate)
        low = max(1, int(np.ceil(self.min_shift_seconds * rate - 1e-6)))
        high = int(self.max_shift_seconds * rate + 1e-6)
        pair = choose_pair(allowed, low=low, high=high, at=at, both_ways=self.both_ways)
        if pair is None:
            raise PlanImpossible(
                f"sample {sidecar.key}: no two stretches of {self.seconds:g} s within a scene that are {low} to {high} "
                f"frames apart among its {sidecar.video.frames}; shorten seconds or min_shift_seconds"
            )
        return pair

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `video` f32 `[B, 3, frames, size, size]`, normalised, and `audio` f32 `[B, 2, 1, bands, columns]`, the
        two sounds in random order.

        Targets i64 `[B, 2]`: 1 for the sound of the clip, 0 for the other, one of each in every row.
        """
        assert media.pictures is not None and media.audio is not None
        second = draws.chance("order", 0.5)
        order = np.stack([second, ~second], axis=1).astype(np.int64)
        starts = np.take_along_axis(media.fact("starts"), order, axis=1)
        length = round(self.seconds * self.audio_rate)
        sound, heard = hear(self, media.audio, draws, start=starts, length=length)
        views = frame_views(self, draws, frames=self.frames, layout="CTHW")
        return PretextBatch(
            inputs={"video": render(media.pictures, views), "audio": sound},
            targets=torch.from_numpy(1 - order).to(media.valid.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS}
            | {
                name: np.take_along_axis(media.fact(name), order, axis=1)
                for name in ("audio_phase", "sounding")
            }
            | {"audio_start": media.fact("begin")[:, None] + starts}
            | views.facts()
            | heard,
        )
