"""Who takes part in `unreel bench build`: the builder, and bare ffmpeg processes that decode, scale and encode the same."""

import cProfile
import os
import pstats
import queue
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.shards.border.sandbox import probe_safely
from unreel.shards.build import build
from unreel.shards.engines import InlineEngine, LocalEngine
from unreel.shards.grouping import Entry
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.codecs import CODECS
from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import Profile
from unreel.shards.making.transcode import SCALE_FLAGS

__all__ = ["Cpu", "Work", "builders", "stages"]

# Stage → the functions, by file and name, whose time it is; time inside a function of another stage is that stage's.
_STAGES: Final = {
    "probe": {("sandbox.py", "probe_safely"), ("isolation.py", "start_without_network")},
    "wait for the decode": {("streams.py", "_drain")},
    "analyse": {("facts.py", "picture_facts"), ("facts.py", "sound_facts")},
    "encode picture": {("encode.py", "encode_picture")},
    "encode sound": {("encode.py", "encode_sound")},
    "write and commit": {("writer.py", "add"), ("writer.py", "commit"), ("files.py", "write_atomic")},
}


@dataclass(frozen=True, slots=True)
class Work:
    """What all contestants do: the sources that the builder takes, and where to write."""

    entries: list[Entry]
    profile: Profile
    workers: int
    folder: Path

    @classmethod
    def prepare(cls, sources: Sequence[str], profile: str, workers: int, folder: Path) -> "Work":
        """Build the sources once, outside of all timing, to see which moving pictures among them are taken to their end.

        Raises:
            ValueError: none is.
        """
        found = find_profile(profile)
        with LocalEngine(workers) as engine:
            summary = build(sources, folder / "trial", profile=found, engine=engine)
        shutil.rmtree(folder / "trial")
        done = {report.source for report in summary.reports if report.status == "done"}
        # A source behind a URL would measure the network.
        local = [source for source in list_sources(sources) if source.path in done and not source.remote]
        looked_at = [Entry(source, probe_safely(source, found, DEFAULT_LIMITS)) for source in local]
        entries = [entry for entry in looked_at if entry.probe.video is not None]
        if not entries:
            raise ValueError(f"bench build {' '.join(sources)}: no source among them is taken by {profile}")
        return cls(entries, found, workers, folder)

    @property
    def paths(self) -> list[str]:
        return [entry.source.path for entry in self.entries]

    @property
    def seconds(self) -> float:
        """Of video, in all sources together."""
        return sum(entry.probe.seconds for entry in self.entries)


@dataclass
class Cpu:
    """Processor time of each contestant's processes, by repeat."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Over the repeats that count."""
        return statistics.median(self.seconds[name])


def builders(work: Work) -> tuple[dict[str, Callable[[int], float]], Cpu]:
    """The contestants, and the processor time that they will have used."""
    cpu = Cpu()
    runs = {"ffmpeg": lambda: _run_bare(work), "builder": lambda: _run_builder(work)}
    return {name: _timed(name, run, cpu) for name, run in runs.items()}, cpu


def stages(work: Work) -> dict[str, float]:
    """Stage → its share of the time of one build in this process."""
    profiler = cProfile.Profile()
    target = work.folder / "profiled"
    profiler.enable()
    build(work.paths, target, profile=work.profile, engine=InlineEngine())
    profiler.disable()
    shutil.rmtree(target)
    spent: dict[str, float] = dict.fromkeys(_STAGES, 0.0)
    entries = profiler.getstats()
    total = sum(entry.inlinetime for entry in entries)
    for (file, _, name), row in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        for stage, functions in _STAGES.items():
            if (Path(file).name, name) in functions:
                spent[stage] += row[3]
    shares = {stage: seconds / total for stage, seconds in spent.items()}
    return {**shares, "other": 1 - sum(shares.values())}


def _timed(name: str, run: Callable[[], None], cpu: Cpu) -> Callable[[int], float]:
    def measure(repeat: int) -> float:
        before, started = _cpu_seconds(), time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        if repeat >= 0:
            cpu.seconds.setdefault(name, []).append(_cpu_seconds() - before)
        return seconds

    return measure


def _cpu_seconds() -> float:
    """Of this process and of all that it has started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _run_builder(work: Work) -> None:
    target = work.folder / "shards"
    with LocalEngine(work.workers) as engine:
        build(work.paths, target, profile=work.profile, engine=engine)
    shutil.rmtree(target)


def _run_bare(work: Work) -> None:
    target = work.folder / "bare"
    target.mkdir()
    cores: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0))[: work.workers]:
        cores.put(core)

    def encode(entry: Entry) -> None:
        core = cores.get()
        try:
            command = bare_command(entry, work.profile, target / f"{entry.probe.id}.mkv")
            # ffmpeg runs decoder, filters and encoder in threads of their own even at `-threads 1`.
            subprocess.run(["taskset", "-c", str(core), *command], check=True)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(work.workers) as pool:
        list(pool.map(encode, work.entries))
    shutil.rmtree(target)


def bare_command(entry: Entry, profile: Profile, target: Path) -> list[str]:
    """ffmpeg's arguments for one source: decoded, scaled and encoded as the builder does it, and nothing else."""
    probe = entry.probe
    filters = [f"framestep={probe.step}"] if probe.step > 1 else []
    filters.append("fps={}/{}".format(*probe.rate))
    if probe.crop is not None:
        left, top, right, bottom = probe.crop
        filters.append(f"crop={right - left}:{bottom - top}:{left}:{top}")
    colour = f"out_color_matrix={profile.matrix}:out_range=limited"
    if probe.matrix is not None:
        colour += f":in_color_matrix={probe.matrix}"
    filters.append(f"scale={probe.width}:{probe.height}:flags={SCALE_FLAGS}:{colour}")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    command += ["-threads", "1", "-filter_threads", "1", "-i", f"file:{entry.source.path}"]
    command += ["-map", f"0:{probe.video}", "-vf", ",".join(filters), "-pix_fmt", "yuv420p"]
    command += ["-c:v", CODECS[profile.codec].encoder, "-threads:v", "1"]
    for name, value in profile.encoder_options.items():
        command += [f"-{name}:v" if name != "x264-params" else "-x264-params", value]
    if probe.audio is not None:
        command += ["-map", f"0:{probe.audio}", "-c:a", "flac", "-ar", str(profile.audio_rate), "-ac", "1"]
        command += ["-sample_fmt", "s16"]
    return [*command, f"file:{target}"]
