"""What holds for every task in the table: `build` works on whole batches, and from planes as from RGB."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops import cpu_loops, sound_loops
from unreel.pipelines.ops.yuv import PlanarYuv
from unreel.pipelines.pretext import TASKS, PretextTask, make_task

LONG = {"frames": 500, "size": (160, 128)}
"""Made-up clips in which the defaults of every task find their place: 20 s at 25 frames a second."""


def media_of(task: PretextTask, rows: int, sidecar: Callable, film: Callable) -> tuple[MediaBatch, Draws]:
    """Noise of the size of the task's own windows."""
    first = task.plan(sidecar(0, **LONG), Draws.of(7, task.name, [0]))
    window = first.window
    height, width = (window.height, window.width) if window else (64, 64)

    def paint(_sidecar: object, frames: np.ndarray) -> np.ndarray:
        return np.random.default_rng(1).integers(0, 256, (len(frames), height, width, 3), np.uint8)

    return film(task, [sidecar(number, **LONG) for number in range(rows)], paint=paint)


def planes_like(frames: torch.Tensor) -> PlanarYuv:
    rows, times, height, width, _ = frames.shape
    chroma = torch.randint(0, 256, (rows, times, 2, height // 2, width // 2), dtype=torch.uint8)
    return PlanarYuv(luma=frames[..., 0].contiguous(), chroma=chroma, colours=("bt709",) * rows)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call of the compiled loops."""
    seen: list[int] = []

    def counted(loop: Callable) -> Callable:
        return lambda *arguments: (seen.append(1), loop(*arguments))[1]

    for module, name in ((cpu_loops, "render_views"), (sound_loops, "band_powers"), (sound_loops, "measure")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return seen


@pytest.mark.parametrize("name", TASKS)
def test_calls_do_not_grow_with_the_batch(
    name: str, sidecar: Callable, film: Callable, calls: Callable, launches: list[int]
) -> None:
    """A loop over samples would make four times as many operations of torch or launches of a kernel."""
    task = make_task(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = max(4, task.needs.aligned)
        # The first batch fills caches of windows and tables.
        task.build(*media_of(task, rows, sidecar, film))
        launches.clear()
        few, few_launches = calls(task.build, *media_of(task, rows, sidecar, film)), len(launches)
        launches.clear()
        many = calls(task.build, *media_of(task, 4 * rows, sidecar, film))
    finally:
        torch.set_num_threads(threads)
    assert few == many and few_launches == len(launches)


@pytest.mark.parametrize("name", TASKS)
def test_planes_make_the_batch_that_their_rgb_makes(name: str, sidecar: Callable, film: Callable) -> None:
    task = make_task(name)
    media, draws = media_of(task, max(4, task.needs.aligned), sidecar, film)
    if media.frames is None:
        pytest.skip("takes no picture")
    planes = replace(media, frames=None, yuv=planes_like(media.frames))
    found, expected = task.build(planes, draws), task.build(planes.as_rgb(), draws)
    for key, value in expected.inputs.items():
        assert torch.equal(found.inputs[key], value), key
    assert torch.equal(found.targets, expected.targets)
