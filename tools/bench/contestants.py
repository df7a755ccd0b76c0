"""Who takes part in `unreel bench loader`: bare ffmpeg, each backend on ready plans, and the whole loader."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from unreel.tools.bench.peers import (
    READERS,
    Clip,
    dali_reader,
    data_loader,
    missing_peers,
    spdl_pipeline,
    webdataset_loader,
)
from unreel.tools.console import console
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
    peers: bool = False
    """Whether other people's loaders take part."""
    sources: Path | None = None
    """Where the untouched source files of the shards lie."""
    vp9: Path | None = None
    """Shards of the same sources in VP9, for DALI's CPU reader."""

    def words(self) -> dict[str, object]:
        """The setting as JSON takes it, without the paths."""
        words: dict[str, object] = {"threads": self.threads, "frames": self.frames, "batch": self.batch}
        return {**words, "steps": self.steps, "repeat_clips": self.batch * self.steps}


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
        if setting.peers:
            contest |= _peers(setting, batches)
        yield contest


def _peers(setting: Setting, batches: Sequence[Batch]) -> dict[str, Callable[[int], float]]:
    """Other people's loaders on the same shards, on the untouched sources, and on VP9 shards beside our own."""
    missing = missing_peers()
    for name, why in missing.items():
        console.print(f"no {name}: {why}", markup=False, soft_wrap=True)
    contest = _shard_peers(setting, _clips_in_shards(setting, batches), missing)
    if setting.sources is not None:
        clips = _clips_in_sources(setting.sources, batches)
        contest |= _library_peers(setting, clips, missing, "sources: ")
    if setting.vp9 is not None and "dali" not in missing:
        contest["vp9: loader"] = _loader(replace(setting, folder=setting.vp9), "packets")
        contest["vp9: DALI reader"] = _dali(setting, setting.vp9)
    return contest


def _shard_peers(
    setting: Setting, clips: Sequence[Clip], missing: Collection[str]
) -> dict[str, Callable[[int], float]]:
    contest = _library_peers(setting, clips, missing, "")
    if "webdataset" not in missing:
        shards = [Path(path) for path in sorted({clip.path for clip in clips})]
        contest["WebDataset + PyAV"] = webdataset_loader(
            shards,
            len(clips),
            frames=setting.frames,
            side=WINDOW,
            batch=setting.batch,
            workers=setting.threads,
        )
    return contest


def _library_peers(
    setting: Setting, clips: Sequence[Clip], missing: Collection[str], prefix: str
) -> dict[str, Callable[[int], float]]:
    common = {"frames": setting.frames, "side": WINDOW, "batch": setting.batch}
    contest = {
        f"{prefix}DataLoader + {name}": data_loader(name, clips, workers=setting.threads, **common)
        for name in READERS
        if name not in missing
    }
    if "spdl" not in missing:
        contest[f"{prefix}SPDL"] = spdl_pipeline(clips, threads=setting.threads, **common)
    return contest


def _dali(setting: Setting, folder: Path) -> Callable[[int], float]:
    catalogue = Catalogue.open(folder)
    return dali_reader(
        [catalogue.path(shard) for shard in range(len(catalogue.counts))],
        setting.batch * setting.steps,
        frames=setting.frames,
        side=WINDOW,
        batch=setting.batch,
        threads=setting.threads,
        shortest=min(row.frames for _, _, row in catalogue.rows()),
    )


def _clips_in_shards(setting: Setting, batches: Sequence[Batch]) -> list[Clip]:
    clips = []
    for sample, plan in _pairs(batches):
        video = sample.sidecar.video
        assert video is not None
        member = next(member for member in sample.row.members if member.name == video.member)
        path = str(setting.folder / f"{sample.shard}.tar")
        clips.append(Clip(path, member.offset, member.size, int(plan.frames[0]), video.rate))
    return clips


def _clips_in_sources(folder: Path, batches: Sequence[Batch]) -> list[Clip]:
    """The same moments of the same recordings, in the files that the shards were built from.

    Raises:
        ValueError: a source is not below `folder`.
    """
    clips = []
    for sample, plan in _pairs(batches):
        source, video = sample.sidecar.source, sample.sidecar.video
        assert video is not None
        path = folder / source.name
        if not path.is_file():
            raise ValueError(
                f"--sources {folder}: no file {source.name}; name the folder that the shards were built from"
            )
        start = source.start_frame + int(plan.frames[0])
        clips.append(Clip(str(path), 0, -1, start, video.rate, resize=True))
    return clips


def _pairs(batches: Sequence[Batch]) -> Iterator[tuple[EncodedSample, Plan]]:
    for samples, plans in batches:
        yield from zip(samples, plans, strict=True)


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
