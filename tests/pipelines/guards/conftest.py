"""Sidecars made up for guards: they plan from facts alone, so no media is needed."""

from collections.abc import Callable

import numpy as np
import pytest

from unreel.shards.sample import Audio, Facts, Packets, Sidecar, Source, Video, audio_length, pack_column


def made_up(
    *,
    frames: int = 75,
    rate: tuple[int, int] = (25, 1),
    size: tuple[int, int] = (160, 128),
    source: str = "0" * 16,
    **facts: object,
) -> Sidecar:
    """A clip with picture and sound that nothing was encoded for; `size` is width, height."""
    packets = Packets(
        offset=pack_column("offset", np.arange(frames) * 100),
        size=pack_column("size", np.full(frames, 100)),
        key=pack_column("key", np.arange(frames) % 16 == 0),
    )
    video = Video(
        codec="h264",
        width=size[0],
        height=size[1],
        frames=frames,
        rate=rate,
        matrix="bt709",
        gop=16,
        packets=packets,
    )
    audio = Audio(
        codec="flac", rate=48_000, channels=1, samples=audio_length(frames, 48_000, video.frame_rate)
    )
    columns = {"motion": pack_column("motion", np.ones(frames))} | facts
    return Sidecar(
        key=f"clip-{source}",
        source=Source(id=source, name="made up"),
        video=video,
        audio=audio,
        facts=Facts(**columns),
    )


@pytest.fixture
def sidecar() -> Callable[..., Sidecar]:
    """Makes sidecars; see `made_up`."""
    return made_up
