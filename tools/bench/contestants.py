"""Who takes part in `unreel bench loader`: bare ffmpeg, each backend on ready plans, and the whole loader."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final

import imageio_ffmpeg
import numpy as np
import torch

from unreel.pipelines.decode import available, make_backend
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.order import Order, select
from unreel.pipelines.plan import Plan, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import PlanImpossible
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Sidecar
from unreel.tools.synth import synth

__all__ = ["ClipTask", "Setting", "contestants", "generated_shards"]

SEED: Final = 20_16
WINDOW: Final = 112
"""Side of the square that every contestant gives out, in pixels: the usual input of a video tower at 128."""

Batch = tuple[list[EncodedSample], list[Plan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all contestants have in common."""

    folder: Path
    threads: int
    frames: int
    batch: int
    steps: int

    def words(self) -> dict[str, object]:
        """The setting as JSON takes it, without the folder's path."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}


@dataclass(frozen=True)
class ClipTask:
    """Consecutive frames from a random start, given out as they are decoded: the loader's work and nothing else."""

    name: ClassVar[str] = "clip"
    frames: int = 16

    @property
    def needs(self) -> Needs:
        return Needs(video=True, min_size=(WINDOW, WINDOW))

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """`frames` consecutive frames and a fixed window. Raises PlanImpossible on a shorter sample."""
        video = sidecar.video
        if video is None or video.frames < self.frames:
            raise PlanImpossible(f"sample {sidecar.key}: needs {self.frames} frames")
        start = int(draws.integers("start", 0, video.frames - self.frames + 1)[0])
        return Plan(
            frames=np.arange(start, start + self.frames, dtype=np.int32), window=Window(0, 0, WINDOW, WINDOW)
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """The decoded frames, untouched."""
        if media.frames is None:
            raise ValueError("the clip task takes frames, the batch has none")
        return PretextBatch(
            inputs={"frame": media.frames},
            targets=torch.zeros(len(media), dtype=torch.int64),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )


@contextmanager
def contestants(setting: Setting, backend: str) -> Iterator[dict[str, Callable[[int], float]]]:
    """Every contestant that can run here, ready to be timed."""
    batches = _ready_batches(setting)
    with tempfile.TemporaryDirectory(prefix="unreel-bench-") as folder:
        contest: dict[str, Callable[[int], float]] = {"ffmpeg": _ffmpeg(setting, batches, Path(folder))}
        for name, missing in available().items():
            if missing is None and _accepts(name, batches[0]):
                contest[f"bare {name}"] = _bare(name, setting, batches)
        contest["loader"] = _loader(setting, backend)
        yield contest


def generated_shards(folder: Path) -> Path:
    """Generate a small world below `folder` and build it; returns the folder of shards."""
    world, shards = folder / "world", folder / "shards"
    synth(world, clips=64)
    build([world / "labels.csv"], shards, workers=os.cpu_count() or 1)
    return shards


def _ready_batches(setting: Setting) -> list[Batch]:
    catalogue = Catalogue.open(setting.folder)
    task = ClipTask(setting.frames)
    order, reader = Order(select(catalogue, task.needs, split=None, holdout=0.0), SEED), Reader(catalogue)
    batches = []
    for step in range(setting.steps):
        positions = range(step * setting.batch, (step + 1) * setting.batch)
        samples = [reader.read(place.shard, place.ordinal) for place in order.locate(positions)]
        draws = Draws.of(SEED, task.name, positions)
        batches.append(
            (samples, [task.plan(sample.sidecar, draws.row(i)) for i, sample in enumerate(samples)])
        )
    return batches


def _accepts(name: str, batch: Batch) -> bool:
    backend = make_backend(name, threads=1)
    try:
        return not backend.decode(batch[0][:1], batch[1][:1]).failures
    finally:
        backend.close()


def _bare(name: str, setting: Setting, batches: Sequence[Batch]) -> Callable[[int], float]:
    backend = make_backend(name, threads=setting.threads)

    def run(_repeat: int) -> float:
        started = time.perf_counter()
        for samples, plans in batches:
            backend.decode(samples, plans)
        return time.perf_counter() - started

    return run


def _loader(setting: Setting, backend: str) -> Callable[[int], float]:
    def run(_repeat: int) -> float:
        # A new loader each time: one kept between repeats would start with its queue already full.
        loader = Loader(
            Catalogue.open(setting.folder),
            ClipTask(setting.frames),
            batch_size=setting.batch,
            seed=SEED,
            split=None,
            holdout=0.0,
            backend=backend,
            threads=setting.threads,
        )
        with loader:
            steps = iter(loader)
            started = time.perf_counter()
            for _ in range(setting.steps):
                next(steps)
            return time.perf_counter() - started

    return run


def _ffmpeg(setting: Setting, batches: Sequence[Batch], folder: Path) -> Callable[[int], float]:
    clips = []
    for number in range(setting.threads):
        clips.append(folder / f"{number}.mp4")
        clips[-1].write_bytes(batches[0][0][number].members["mp4"])
    frames = setting.frames * setting.batch * setting.steps // setting.threads
    commands = [_sequential(clip, frames) for clip in clips]

    def run(_repeat: int) -> float:
        started = time.perf_counter()
        processes = [_pinned(command, core) for core, command in enumerate(commands)]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError(f"bare ffmpeg stopped with {codes}")
        return time.perf_counter() - started

    return run


def _sequential(clip: Path, frames: int) -> list[str]:
    window = f"crop={WINDOW}:{WINDOW}:0:0"
    source = ["-threads", "1", "-stream_loop", "-1", "-i", str(clip)]
    sink = ["-frames:v", str(frames), "-vf", window, "-pix_fmt", "rgb24", "-f", "rawvideo", "-y", os.devnull]
    return [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-nostdin",
        "-filter_threads",
        "1",
        *source,
        *sink,
    ]


def _pinned(command: list[str], core: int) -> subprocess.Popen[bytes]:
    """Start a process on one core: ffmpeg runs decoder and filters in threads of their own even at `-threads 1`."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    try:
        return subprocess.Popen(command)
    finally:
        os.sched_setaffinity(0, cores)
