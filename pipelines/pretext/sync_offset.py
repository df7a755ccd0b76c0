"""Sync offset: by how much is the sound of a clip early or late?

SyncNet (Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshop 2016): 0.2 s of frames are
compared with 0.2 s of sound at every offset of -15 … +15 frames; the right one is nearest. What is called published was
read in the code of `joonson/syncnet_python`. Here a row shows several such windows of one clip, whose sound is late by one
and the same number of steps; which, is the question.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.pipelines.guards.shifted_sound import choose_moment
from unreel.pipelines.guards.silence import sounding_share
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import render
from unreel.pipelines.plan import Plan, Span
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.listening import check_hearing, cut_columns, hear
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.pipelines.pretext.windows import frames_at
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Audio, Sidecar, Video, frame_to_audio

__all__ = ["SyncOffset"]

_PLAN_FACTS: Final = ("frames", "first", "target", "audio_start", "window_top", "window_left", "sounding")

_SPARE_SECONDS: Final = 0.05
"""Sound that is decoded beyond the last stretch: steps lie at whole frames, which round up by half a frame at most."""


@dataclass(frozen=True, kw_only=True)
class SyncOffset:
    """Several short clips of one stretch of a recording, and its sound at every offset.

    Attributes:
        frames: of each clip; published 5.
        step_seconds: time from one of them to the next, and the unit of offsets; published 0.04, a frame at 25 a second.
            Steps lie at the nearest frame. Each sound is `frames` steps long.
        max_offset: steps by which sound may be early or late; published 15.
        windows: clips of a row, whose distances are averaged; published is every frame of a file, ours 5.
        stride: steps between the starts of two clips; ours.
        audio_rate: samples per second that the shards must have; published 16,000, ours 48,000.
        features: how sound is shown, see `FEATURES`; ours, published are 13 MFCC.
        window: side of the square of the stored picture that is decoded, in pixels; ours, published is a face crop.
        crop: side of the square that is cut out of it, the same for all frames of a row; ours.
        size: side of the tower's input, in pixels; ours.
        flip: probability of mirroring; ours.
        shift, saturation: see `Jitter`, one change for a row; ours.
        gain: sound is scaled within 1 ± this, all of a row alike, never into clipping; ours.
        noise: share of rows with white noise added, 10 to 40 dB below the sound; published 0.
        mask_bands, mask_seconds: widest masks of SpecAugment over bands and time, two of each; published 0, which is off.
        any_offset: guard; the right offset is any of them, evenly. With False it is always 0: so the offset of a
            recording is measured, but a network could learn that the middle one is right.
        min_sound: guard; share of the sound that must not be silent; 0 is off. Ours.
        scene_cuts: guard; False lets rows reach over a cut.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "sync_offset"

    frames: int = 5
    step_seconds: float = 0.04
    max_offset: int = 15
    windows: int = 5
    stride: int = 5
    audio_rate: int = 48_000
    features: str = "logmel"
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
    any_offset: bool = True
    min_sound: float = 0.25
    scene_cuts: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 250, "frames")
        check_range(self, 0.01, 1, "step_seconds")
        check_range(self, 1, 250, "max_offset", "windows", "stride")
        check_hearing(self)
        check_pictures(self)

    @property
    def candidates(self) -> int:
        """Offsets that a clip's sound is looked for at."""
        return 2 * self.max_offset + 1

    @property
    def needs(self) -> Needs:
        """Picture and sound, long enough for all windows at all offsets, large enough, and not silent."""
        return Needs(
            video=True,
            audio=True,
            min_seconds=self._total_seconds,
            min_scene_seconds=self._total_seconds if self.scene_cuts else 0.0,
            min_size=(self.window, self.window),
            min_sound=self.min_sound,
        )

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        return {
            "audio_phase": "all sounds start on the frame grid",
            "shifted_sound": "any offset may be the right one" if self.any_offset else "off: it is always 0",
            "silence": f"at least {self.min_sound:.0%} not silent" if self.min_sound else "off",
            "scene_cuts": "rows within a scene" if self.scene_cuts else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """One short clip, and as much sound."""
        if kind == "video":
            return Look(crop=self.crop, size=self.size, frames=self.frames, step_seconds=self.step_seconds)
        if kind == "audio":
            return Look(seconds=self.frames * self.step_seconds, features=self.features)
        raise no_look(self.name, kind, ("video", "audio"))

    @property
    def _run(self) -> int:
        """Steps from the first clip's start to the end of the last."""
        return (self.windows - 1) * self.stride + self.frames

    @property
    def _sounds(self) -> int:
        return (self.windows - 1) * self.stride + self.candidates

    @property
    def _total_seconds(self) -> float:
        return (self._run + 2 * self.max_offset) * self.step_seconds + _SPARE_SECONDS

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """A stretch of sound, and the clips of a part of it: how far into it they begin is the question."""
        video, audio = sidecar.video, sidecar.audio
        if video is None or audio is None or audio.rate != self.audio_rate:
            found = f"{audio.rate} Hz" if audio else "no sound"
            raise PlanImpossible(
                f"sample {sidecar.key}: {self.name} takes picture and sound of {self.audio_rate} Hz, "
                f"found {'a' if video else 'no'} picture and {found}"
            )
        at = draws.uniform("plan", 4)[0].tolist()
        first, sounding = self._first(sidecar, video, audio, at[0])
        target = int(at[3] * self.candidates) if self.any_offset else self.max_offset
        grid = frames_at(first, self._run + 2 * self.max_offset, self.step_seconds, video)
        starts = np.array(
            [frame_to_audio(int(f), audio.rate, video.frame_rate) for f in grid[: self._sounds]]
        )
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(
            frames=grid[target : target + self._run],
            window=window,
            sound=Span(int(starts[0]), self._length),
            facts={
                "frames": grid[target : target + self._run],
                "first": first,
                "target": target,
                "starts": starts - starts[0],
                "audio_start": int(starts[0]),
                "window_top": window.top,
                "window_left": window.left,
                "sounding": sounding,
            },
        )

    @property
    def _length(self) -> int:
        return round(self._total_seconds * self.audio_rate)

    def _first(self, sidecar: Sidecar, video: Video, audio: Audio, at: float) -> tuple[int, float]:
        """Frame at which the sound starts, and the share of the sound that is not silent."""
        span = int(frames_at(0, self._run + 2 * self.max_offset, self.step_seconds, video)[-1]) + 1
        last = min(video.frames - span, int((audio.samples - self._length) * video.frame_rate / audio.rate))
        if last < 0:
            raise PlanImpossible(
                f"sample {sidecar.key}: {video.frames} frames hold no {self._total_seconds:g} s of picture and sound; "
                "fewer windows or a smaller max_offset need less"
            )
        starts = np.rint(np.arange(last + 1) * (audio.rate / float(video.frame_rate))).astype(np.int64)
        sounding = sounding_share(sidecar.facts.silence, starts, self._length)
        cuts = sidecar.facts.cuts if self.scene_cuts else ()
        allowed = uncut_starts(cuts, frames=video.frames, span=span)[: last + 1] & (
            sounding >= self.min_sound
        )
        if not allowed.any():
            raise PlanImpossible(
                f"sample {sidecar.key}: no {self._total_seconds:g} s of it lie within a scene (cuts at {list(cuts)}) and "
                f"are {self.min_sound:.0%} above silence"
            )
        first = choose_moment(allowed, at)
        return first, float(sounding[first])

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `video` f32 `[B, windows, 3, frames, size, size]`, normalised, `audio` f32 `[B, S, 1, bands, columns]`, the
        sounds that start at each step, and `candidates` i64 `[B, windows, 2 * max_offset + 1]` into S.

        Targets i64 `[B]`: which candidate is in step, the same for all windows of a row. Candidate c is the sound that is
        `c - max_offset` steps late where `any_offset` is off.
        """
        assert media.pictures is not None and media.audio is not None
        device = media.valid.device
        sound, heard = hear(self, media.audio, draws)
        shown = sound[:, 0]
        share = self.frames * self.step_seconds * self.audio_rate / self._length
        sounds = cut_columns(
            shown, media.fact("starts"), samples=self._length, width=round(share * shown.shape[3])
        )
        views = frame_views(self, draws, frames=self._run)
        clips = render(media.pictures, views).unfold(1, self.frames, self.stride).permute(0, 1, 2, 5, 3, 4)
        return PretextBatch(
            inputs={
                "video": clips,
                "audio": sounds,
                "candidates": torch.from_numpy(self._candidates(len(media))).to(device),
            },
            targets=torch.from_numpy(media.fact("target").astype(np.int64)).to(device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={name: media.fact(name) for name in _PLAN_FACTS} | views.facts() | heard,
        )

    def _candidates(self, rows: int) -> NDArray[np.int64]:
        """Which sounds each clip is compared with, the earliest first."""
        begin = np.arange(self.windows)[:, None] * self.stride
        return np.broadcast_to(
            begin + np.arange(self.candidates), (rows, self.windows, self.candidates)
        ).copy()
