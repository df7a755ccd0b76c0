"""Stills: frames, short clips and sound of a sample as a tower takes them, without label and without augmentation."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops import Colour, Views, render, show
from unreel.pipelines.ops.yuv import extent_of
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.pretext.checks import no_look
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, frame_to_audio

__all__ = ["Stills"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stills:
    """What frozen features are taken of. It has the form of a pretext task, so that the loader serves it.

    Nothing is drawn: moments lie evenly over the sample, the window in its middle, the sound where it is loudest.

    Attributes:
        frames: moments of each sample at which the tower looks; 0 takes no picture.
        clip: frames that it sees at each moment, which is in their middle; 1 shows single frames.
        step_seconds: time between the frames of a clip.
        clips: the tower takes clips, even where they are of one frame.
        differences: show each frame of a clip minus the one before it; one more frame is decoded.
        crop: (height, width) in pixels of the window.
        size: (height, width) in pixels that it is resized to.
        grey: whether pictures lose their colours.
        seconds: length of the sound; 0 takes no sound.
        sound: how it is shown to a tower, see `FEATURES`.
    """

    name: ClassVar[str] = "stills"

    frames: int = 8
    clip: int = 1
    step_seconds: float = 0.0
    clips: bool = False
    differences: bool = False
    crop: tuple[int, int] = (112, 112)
    size: tuple[int, int] = (96, 96)
    grey: bool = False
    seconds: float = 0.0
    sound: str = "logmel"

    @property
    def shown(self) -> int:
        """Frames that are decoded at each moment."""
        return self.clip + self.differences

    @property
    def needs(self) -> Needs:
        """Samples that hold what is taken of them."""
        picture = self.frames > 0
        return Needs(
            video=picture,
            image=picture and self.clip == 1,
            audio=self.seconds > 0,
            min_seconds=max(self.seconds, self.shown * self.step_seconds),
            min_size=self.crop if picture else (0, 0),
        )

    @classmethod
    def of(cls, look: Look, *, moments: int) -> "Stills":
        """What a tower sees that looks like `look`, at `moments` of each sample."""
        if look.seconds:
            return cls(frames=0, seconds=look.seconds, sound=look.features)
        return cls(
            frames=moments,
            clip=look.frames,
            step_seconds=look.step_seconds,
            clips=look.clip,
            differences=look.differences,
            crop=(look.crop, look.crop),
            size=(look.size, look.size),
            grey=look.grey,
        )

    def look(self, kind: str) -> Look:
        """What it was made of."""
        if kind == "audio":
            return Look(seconds=self.seconds, features=self.sound)
        if kind not in ("frame", "video"):
            raise no_look(self.name, kind, ("frame", "video", "audio"))
        step = self.step_seconds
        return Look(
            crop=self.crop[0],
            size=self.size[0],
            frames=self.clip,
            step_seconds=step,
            clip=self.clips,
            differences=self.differences,
            grey=self.grey,
        )

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The same plan whatever `draws` says; its fact `moments`, i32 `[T]`, are the frames of which tracks are read.

        Raises:
            PlanImpossible: the sample lacks picture or sound, or its sound is too short.
        """
        moments, window = self._picture(sidecar) if self.frames else (np.empty(0, np.int32), None)
        return Plan(
            frames=self._around(moments, sidecar) if self.shown > 1 and self.frames else moments,
            window=window,
            sound=self._loudest(sidecar) if self.seconds else None,
            facts={"moments": moments},
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, T, 3, h, w]`, or of clips `video` f32 `[B, T, 3, clip, h, w]`, and `audio` f32
        `[B, 1, F, S]`; targets hold nothing, i64 `[B, 0]`.
        """
        inputs: dict[str, Tensor] = {}
        if (pictures := media.pictures) is not None:
            frames = render(pictures, self._views(*extent_of(pictures)[:2]))
            clips = frames.reshape(len(frames), -1, self.shown, *frames.shape[2:]).transpose(2, 3)
            clips = clips.diff(dim=3) if self.differences else clips
            inputs |= {"video": clips} if self.clips or self.shown > 1 else {"frame": frames}
        if media.audio is not None:
            inputs["audio"] = show(media.audio, self.sound, media.audio_rate)[:, 0]
        return PretextBatch(
            inputs=inputs,
            targets=torch.zeros((len(media), 0), dtype=torch.int64, device=media.valid.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )

    def _picture(self, sidecar: Sidecar) -> tuple[NDArray[np.int32], Window]:
        shown = sidecar.video or sidecar.image
        if shown is None:
            raise PlanImpossible(f"sample {sidecar.key}: no picture")
        # The middles of equal stretches: neither the first nor the last frame, where clips are cut. A still has one.
        length = 1 if sidecar.video is None else sidecar.video.frames
        frames = (np.arange(self.frames) + 0.5) * length / self.frames
        height, width = self.crop
        top, left = (shown.height - height) // 2, (shown.width - width) // 2
        return frames.astype(np.int32), Window(top, left, height, width)

    def _around(self, moments: NDArray[np.int32], sidecar: Sidecar) -> NDArray[np.int32]:
        """The frames of the clip about each moment, one clip after the other, inside the sample."""
        assert sidecar.video is not None
        step = max(1, round(self.step_seconds * sidecar.video.frame_rate))
        reach = step * (self.shown - 1)
        if reach >= sidecar.video.frames:
            raise PlanImpossible(
                f"sample {sidecar.key}: a clip of {reach + 1} frames, it has {sidecar.video.frames}"
            )
        first = np.clip(moments - reach // 2, 0, sidecar.video.frames - 1 - reach)
        return (first[:, None] + np.arange(self.shown) * step).ravel().astype(np.int32)

    def _loudest(self, sidecar: Sidecar) -> Span:
        audio = sidecar.audio
        length = round(self.seconds * audio.rate) if audio is not None else 0
        if audio is None or audio.samples < length:
            raise PlanImpossible(f"sample {sidecar.key}: less than {self.seconds:g} s of sound")
        if sidecar.video is None:
            return Span((audio.samples - length) // 2, length)
        frame = _loudest_frame(sidecar, seconds=self.seconds, rate=sidecar.video.frame_rate)
        start = frame_to_audio(frame, audio.rate, sidecar.video.frame_rate)
        return Span(min(start, audio.samples - length), length)

    def _views(self, rows: int, times: int) -> Views:
        nowhere = np.zeros((rows, times), np.int64)
        return Views(
            top=nowhere,
            left=nowhere,
            crop=self.crop,
            size=self.size,
            flip=np.zeros(rows, np.bool_),
            colour=Colour.unchanged(rows, times, grey=np.full((rows, times), self.grey, np.float32)),
        )


def _loudest_frame(sidecar: Sidecar, *, seconds: float, rate: Fraction) -> int:
    """First frame of the stretch of `seconds` with the most energy; 0 where loudness was not measured."""
    loudness = sidecar.facts.loudness_curve
    length = max(1, int(seconds * rate))
    if len(loudness) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(10.0 ** (loudness / 10))])
    return int(np.argmax(energy[length:] - energy[:-length]))
