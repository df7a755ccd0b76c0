"""What `unreel bench kernels` measures: views at the sizes of recipes, and where the time of their batches goes."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from unreel.models.training import RunConfig, build_model, build_tasks
from unreel.models.training.environment import resolve
from unreel.models.training.learner import Learner
from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.loader import Loader
from unreel.pipelines.ops.views import Views, kernel_of, render
from unreel.pipelines.ops.yuv import Pictures, PlanarYuv
from unreel.shards.catalogue import Catalogue
from unreel.tools.bench.contest import Figure, run_contest
from unreel.tools.console import progress
from unreel.tools.recipe import read_recipe, shipped_recipes

__all__ = ["CASES", "Case", "Share", "contest_of", "floor_share", "shares"]

SEED: Final = 16
_AT_ONCE: Final = 6
"""Calls of one measurement: one alone is near the resolution of the clock."""

_STRONG: Final = Jitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25, grey=0.5)


@dataclass(frozen=True, slots=True)
class Case:
    """Views of one shape: `rows` of `times` frames of `window` pixels square, cut to `crop`, resized to `size`."""

    name: str
    rows: int
    times: int
    window: int
    crop: int
    size: int

    @property
    def bytes(self) -> int:
        """The cuts read once and the result written once."""
        return self.rows * self.times * 3 * (self.crop**2 + 4 * self.size**2)


CASES: Final = (
    Case("32x5, 128 → 112 → 96 (shuffle_and_learn)", 32, 5, 128, 112, 96),
    Case("32x5, 128 → 112 → 64 (…_tiny)", 32, 5, 128, 112, 64),
    Case("64x1, 128 → 112 → 64 (correspondence_tiny)", 64, 1, 128, 112, 64),
    Case("8x16, 128 → 112, not resized", 8, 16, 128, 112, 112),
)


def contest_of(case: Case, *, device: str, threads: int, repeats: int) -> list[Figure]:
    """Eager torch and the kernel, on RGB and on planes; ratios are to eager torch on RGB."""
    kernel, before = kernel_of(torch.device(device)), torch.get_num_threads()
    rgb, planes, views = _pictures(case, planar=False), _pictures(case, planar=True), _views(case)
    contest = {
        "eager torch": _timed(rgb.to(device), views, "reference", threads),
        "eager torch, planes": _timed(planes.to(device), views, "reference", threads),
        kernel: _timed(rgb.to(device), views, kernel, threads),
        f"{kernel}, planes": _timed(planes.to(device), views, kernel, threads),
    }
    torch.set_num_threads(threads)
    try:
        units = case.rows * case.times * _AT_ONCE
        return run_contest(contest, units=units, repeats=repeats, reference="eager torch")
    finally:
        torch.set_num_threads(before)


def _timed(pictures: Pictures, views: Views, name: str, threads: int) -> Callable[[int], float]:
    # A thread's own processor time is what a busy machine changes least; it does not see other threads.
    alone = threads == 1 and pictures.device.type == "cpu"
    clock = time.thread_time if alone else time.perf_counter

    def run(_repeat: int) -> float:
        began = clock()
        for _ in range(_AT_ONCE):
            render(pictures, views, implementation=name)
        if pictures.device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - began

    return run


def floor_share(case: Case) -> float:
    """On CUDA: the time in which memory moves the bytes of `case` at the speed of a plain copy, over the kernel's."""
    pictures, views = _pictures(case, planar=False).to("cuda"), _views(case)
    big = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(big)
    copied = 2 * big.numel() / _cuda_seconds(lambda: target.copy_(big))
    return case.bytes / copied / _cuda_seconds(lambda: render(pictures, views))


def _cuda_seconds(work: Callable[[], object]) -> float:
    """Median of twenty runs between events of the device, after three that are not counted."""
    seconds = []
    for number in range(23):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if number >= 3:
            seconds.append(start.elapsed_time(end) / 1000)
    return statistics.median(seconds)


def _pictures(case: Case, *, planar: bool) -> Pictures:
    rng = np.random.default_rng(SEED)
    shape, half = (case.rows, case.times, case.window, case.window), case.window // 2
    if not planar:
        return torch.from_numpy(rng.integers(0, 256, (*shape, 3), np.uint8))
    chroma = torch.from_numpy(rng.integers(0, 256, (*shape[:2], 2, half, half), np.uint8))
    luma = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    return PlanarYuv(luma=luma, chroma=chroma, colours=("bt709",) * case.rows)


def _views(case: Case) -> Views:
    draws, count = Draws.of(SEED, "bench", np.arange(case.rows)), (case.rows, case.times)
    place = draws.integers("place", 0, case.window - case.crop + 1, 2, case.times)
    return Views(
        top=place[:, 0],
        left=place[:, 1],
        crop=(case.crop, case.crop),
        size=(case.size, case.size),
        flip=draws.chance("flip", 0.5),
        colour=draw_colours(draws, _STRONG, frames=count[1], independent=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Where the processor time of a recipe's batch goes; medians over batches, in seconds.

    Attributes:
        decode: reading, planning and decoding.
        build: the task's inputs and targets, with all augmentation.
        step: the training step.
    """

    recipe: str
    batch: int
    decode: float
    build: float
    step: float

    @property
    def share(self) -> float:
        """Building, of all three."""
        return self.build / (self.decode + self.build + self.step)


def shares(folder: Path, recipes: Sequence[str] | None, *, steps: int) -> list[Share]:
    """One for each recipe, on one thread; by default the shipped ones whose names end in `_tiny`."""
    names = recipes or [name for name in shipped_recipes() if name.endswith("_tiny")]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with progress(len(names) * (steps + 1), "batches") as bar:
            return [_share(name, folder, steps, bar.advance) for name in names]
    finally:
        torch.set_num_threads(before)


def _share(name: str, folder: Path, steps: int, advance: Callable[[], None]) -> Share:
    config = read_recipe(name)
    config = msgspec.structs.replace(
        config, train=resolve(msgspec.structs.replace(config.train, device="cpu"))
    )
    size = config.train.batch_size
    learner = Learner(build_model(config), config)
    times: list[tuple[float, float, float]] = []
    loader = Loader(
        Catalogue.open(folder),
        dict(build_tasks(config)),
        batch_size=size,
        seed=SEED,
        split=None,
        share_moments=config.together.share_moments,
        backend="packets",
        threads=1,
        prefetch=0,
    )
    with loader:
        for step in range(steps + 1):
            times.append(_step(loader, learner, config, step))
            advance()
    decode, build, learn = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return Share(recipe=name, batch=size, decode=decode, build=build, step=learn)


def _step(loader: Loader, learner: Learner, config: RunConfig, step: int) -> tuple[float, float, float]:
    """Processor time of all threads for decoding, building and learning, of all tasks together."""
    moments = [time.process_time()]
    found = loader.media_of_tasks(step)
    moments.append(time.process_time())
    batches = {
        name: loader.tasks[name].build(media, Draws.of(SEED, loader.tasks[name].name, media.positions))
        for name, media in found.items()
    }
    moments.append(time.process_time())
    learner.learn(step, batches)
    moments.append(time.process_time())
    decode, build, learn = np.diff(moments).tolist()
    return decode, build, learn
