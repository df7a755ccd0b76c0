"""Without media or decoders: a toy task and backend, sidecars that are made up, and a count of torch's operations."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unreel.pipelines.decode.backend import Decoded, batch_shape
from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.errors import DecodeFailed, PlanImpossible
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Audio, Facts, Packets, Sidecar, Source, Video, audio_length, pack_column


@dataclass(frozen=True)
class ToyTask:
    """Two frames at random times, and half a second of sound where `audio`; a jitter that is drawn in `build`."""

    name: ClassVar[str] = "toy"
    audio: bool = False
    group: int = 1
    impossible: tuple[str, ...] = ()
    """Keys that cannot be planned."""
    wrong: tuple[str, ...] = ()
    """Keys whose plan lies outside the sample."""

    @property
    def needs(self) -> Needs:
        return Needs(video=True, audio=self.audio, group=self.group)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        assert sidecar.video is not None
        if sidecar.key in self.impossible:
            raise PlanImpossible(f"sample {sidecar.key}: the toy does not like it")
        frames = draws.integers("frames", 0, sidecar.video.frames, 2)[0].astype(np.int32)
        if sidecar.key in self.wrong:
            frames += 10_000
        sound = Span(int(draws.integers("sound", 0, 24_000)[0]), 24_000) if self.audio else None
        return Plan(frames=frames, window=Window(8, 8, 96, 96), sound=sound, facts={"first": int(frames[0])})

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        assert media.frames is not None
        jitter = torch.from_numpy(draws.uniform("jitter")).to(media.frames.device)
        mean = media.frames.float().mean((1, 2, 3, 4)) + jitter
        inputs = {"frame": media.frames.float(), "mean": mean}
        if media.audio is not None:
            inputs["audio"] = media.audio
        return PretextBatch(
            inputs=inputs,
            targets=torch.from_numpy(draws.integers("target", 0, 2)),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={"first": media.fact("first")},
        )


@dataclass
class ToyBackend:
    """Pictures that say which clip and frame they are; sound that says which clip and where it starts."""

    name: ClassVar[str] = "toy"
    version: str = "toy 1.0"
    broken: Collection[str] = ()
    """Keys that cannot be decoded."""
    seconds: float = 0.0
    """How long a call takes."""
    error: Exception | None = None
    """Raised by `decode`."""
    decoded: list[str] = field(default_factory=list)
    """Keys, in the order in which they were decoded."""
    closed: bool = False

    def declines(self, sidecar: Sidecar) -> str | None:
        return None

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        if self.error is not None:
            raise self.error
        time.sleep(self.seconds)
        frames, audio = batch_shape(samples, plans).blank(len(plans))
        failures: dict[int, DecodeFailed] = {}
        for row, (sample, plan) in enumerate(zip(samples, plans, strict=True)):
            self.decoded.append(sample.sidecar.key)
            if sample.sidecar.key in self.broken:
                failures[row] = DecodeFailed(f"sample {sample.sidecar.key}: the toy broke it")
                continue
            number = int(sample.sidecar.key[-3:])
            if frames is not None:
                values = torch.from_numpy((number + plan.frames) % 255 + 1).to(torch.uint8)
                frames[row] = values[:, None, None, None]
            if audio is not None and plan.sound is not None:
                audio[row] = (number + plan.sound.start / 48_000) / 100
        return Decoded(frames=frames, audio=audio, failures=failures)

    def close(self) -> None:
        self.closed = True


def made_up(
    number: int = 0,
    *,
    frames: int = 75,
    rate: tuple[int, int] = (25, 1),
    size: tuple[int, int] = (160, 128),
    source: str | None = None,
    per_source: int = 1,
    gop: int = 16,
    **facts: object,
) -> Sidecar:
    """Clip `number` with picture and sound that nothing was encoded for; `size` is width, height.

    Its source is `source`, or else a new one for every `per_source` clips.
    """
    packets = Packets(
        offset=pack_column("offset", np.arange(frames) * 100),
        size=pack_column("size", np.full(frames, 100)),
        key=pack_column("key", np.arange(frames) % gop == 0),
    )
    width, height = size
    video = Video(
        codec="h264",
        width=width,
        height=height,
        frames=frames,
        rate=rate,
        matrix="bt709",
        gop=gop,
        packets=packets,
    )
    samples = audio_length(frames, 48_000, video.frame_rate)
    columns = {"motion": pack_column("motion", np.ones(frames))} | facts
    return Sidecar(
        key=f"clip-{number:05}",
        source=Source(id=source or f"{number // per_source:016x}", name="made up"),
        video=video,
        audio=Audio(codec="flac", rate=48_000, channels=1, samples=samples),
        facts=Facts(**columns),
    )


class Calls(TorchDispatchMode):
    """Counts the operations that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def counted(function: Callable[..., object], *arguments: object) -> int:
    with Calls() as calls:
        function(*arguments)
    return calls.count


@pytest.fixture
def toy_task() -> type[ToyTask]:
    return ToyTask


@pytest.fixture
def toy_backend() -> type[ToyBackend]:
    return ToyBackend


@pytest.fixture
def calls() -> Callable[..., int]:
    """Counts torch's operations in a call: function and arguments → count."""
    return counted


@pytest.fixture
def sidecar() -> Callable[..., Sidecar]:
    """Makes sidecars from which a task or a guard can plan; see `made_up`."""
    return made_up
