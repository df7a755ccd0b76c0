"""Samples without media: the store never looks into a payload."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text
from unreel.shards.sample import Audio, Facts, Packets, Sidecar, Source, Video, pack_column
from unreel.shards.writer import ShardWriter

IDENTITY = {"unreel": "0", "profile": "plain"}

Sample = tuple[Sidecar, dict[str, bytes]]


def plain_sample(key: str, *, sound: bool = True, frames: int = 30) -> Sample:
    """A sidecar and payloads of random bytes: 160x128 at 25 frames a second, motion in its second half."""
    rng = np.random.default_rng(list(key.encode()))
    motion = np.where(np.arange(frames) < frames // 2, 1.0, 5.0)
    members = {"mp4": rng.bytes(700)}
    if sound:
        members["flac"] = rng.bytes(512)
    offsets = np.arange(frames) * 20
    return (
        Sidecar(
            key=key,
            source=Source(id=f"{sum(key.encode()):016x}", name=f"{key}.mp4"),
            video=Video(
                codec="h264",
                width=160,
                height=128,
                frames=frames,
                rate=(25, 1),
                matrix="bt709",
                gop=16,
                packets=Packets(
                    offset=pack_column("offset", offsets),
                    size=pack_column("size", np.full(frames, 20)),
                    key=pack_column("key", np.arange(frames) % 16 == 0),
                ),
            ),
            audio=Audio(codec="flac", rate=48_000, channels=1, samples=frames * 1920) if sound else None,
            facts=Facts(motion=pack_column("motion", motion), silence=((0, frames * 480),) if sound else ()),
        ),
        members,
    )


@pytest.fixture
def identity() -> dict[str, str]:
    """Builder identity of the shards in `folder`."""
    return IDENTITY


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """`sample(key, sound=True, frames=30)`."""
    return plain_sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two committed shards, `a` and `b`, of three samples each."""
    for name in ("a", "b"):
        with ShardWriter(tmp_path / f"{name}.tar", identity=identity_text(IDENTITY)) as writer:
            for number in range(3):
                writer.add(*plain_sample(f"{name}-{number}", sound=number != 1))
            writer.commit()
    return tmp_path


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return compile_catalogue(folder, identity=IDENTITY, profile={"name": "plain"})


def run_ffmpeg(*arguments: object) -> None:
    """Run the ffmpeg of the lock file; its last argument is the file that it writes."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """`ffmpeg(*arguments)` generates media."""
    return run_ffmpeg


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 2 s, 160x120, 25 frames a second, with sound."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    picture, sound = "testsrc2=s=160x120:r=25:d=2", "sine=f=440:d=2"
    run_ffmpeg(
        "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264", "-c:a", "aac", path
    )
    return path
