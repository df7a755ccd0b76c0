"""Kernels against the reference: one contract, integers to the bit, colours within 1e-5."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.pipelines.ops import cpu, reference
from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.views import Views, kernel_of, render
from unreel.pipelines.ops.yuv import COLOURS, Pictures, PlanarYuv

TOLERANCE = 1e-5
"""Of normalised values, which lie in [-2.2, 2.7]; a level is 0.017."""


def drawn(
    seed: int, *, planar: bool = False, times: int = 3, small: bool = False, **wanted: Any
) -> tuple[Pictures, Views]:
    """Random pictures and views that use every field but for those in `wanted`."""
    rng = np.random.default_rng(seed)
    rows, count = (1, 2) if small else rng.integers(1, 5, 2).tolist()
    height, width = (2 * int(side) for side in rng.integers(6, 12 if small else 40, 2))
    side = int(rng.integers(8, 12) if small else rng.integers(2, 48))
    cut = {"height": int(rng.integers(1, height + 1 - 2)), "width": int(rng.integers(1, width + 1 - 2))}
    views = {
        "top": 1 + rng.integers(0, height - 2 - cut["height"] + 1, (rows, count)),
        "left": 1 + rng.integers(0, width - 2 - cut["width"] + 1, (rows, count)),
        "crop": (cut["height"], cut["width"]),
        "size": (side, side),
        "flip": rng.random(rows) < 0.5,
        "colour": colours(rng, rows, count),
        "frame": rng.integers(0, times, (rows, count)),
        "channel_shift": rng.integers(-1, 2, (rows, count, 3, 2)),
        "turn": rng.integers(-4, 8, (rows, count)),
        "blur": (rng.random((rows, count)) * (rng.random((rows, count)) < 0.5) * (side - 1) / 3).astype("f"),
        "layout": ("TCHW", "CTHW")[seed % 2],
        "clips": 2 if seed % 4 == 3 and count % 2 == 0 and "layout" not in wanted else None,
    }
    return pixels(rng, (rows, times, height, width), planar), Views(**(views | wanted))


def colours(rng: np.random.Generator, rows: int, count: int) -> Colour:
    def between(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (rows, count)).astype(np.float32)

    return Colour(
        brightness=between(0.5, 1.5),
        shift=between(-0.1, 0.1),
        contrast=between(0.5, 1.5),
        saturation=between(0, 2),
        hue=between(-0.5, 0.5),
        grey=(between(0, 1) < 0.3).astype(np.float32),
    )


def pixels(rng: np.random.Generator, shape: tuple[int, int, int, int], planar: bool) -> Pictures:
    rows, times, height, width = shape
    if not planar:
        return torch.from_numpy(rng.integers(0, 256, (*shape, 3), np.uint8))
    return PlanarYuv(
        luma=torch.from_numpy(rng.integers(0, 256, shape, np.uint8)),
        chroma=torch.from_numpy(rng.integers(0, 256, (rows, times, 2, height // 2, width // 2), np.uint8)),
        colours=tuple(COLOURS[place] for place in rng.integers(0, len(COLOURS), rows)),
    )


def assert_equal(pictures: Pictures, views: Views) -> None:
    found, expected = (render(pictures, views, implementation=name) for name in ("numba", "reference"))
    assert found.shape == expected.shape and found.dtype == expected.dtype and found.is_contiguous()
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@given(seed=st.integers(0, 10_000), planar=st.booleans())
@settings(max_examples=60)
def test_every_field_at_once(seed: int, planar: bool) -> None:
    assert_equal(*drawn(seed, planar=planar))


@given(seed=st.integers(0, 10_000), planar=st.booleans(), between=st.booleans())
@settings(max_examples=40)
def test_cuts_of_several_sizes_and_between_pixels(seed: int, planar: bool, between: bool) -> None:
    pictures, views = drawn(seed, planar=planar)
    rng = np.random.default_rng(seed)
    room = np.array(views.crop)
    shape = (*views.top.shape, 2)
    crop = rng.uniform(0.6, room - 0.1, shape) if between else rng.integers(1, room + 1, shape)
    start = [views.top + (room - crop)[..., 0] * 0.99, views.left + (room - crop)[..., 1] * 0.99]
    kind = np.float32 if between else np.int64
    top, left = (np.asarray(values, kind) for values in start)
    assert_equal(pictures, replace(views, crop=np.asarray(crop, kind), top=top, left=left))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("size", [8, 24, 32, 36, 48, 64, 96, 112, 200])
@pytest.mark.parametrize("side", [24, 112, 128])
def test_sizes_of_recipes(planar: bool, size: int, side: int) -> None:
    pixel = pixels(np.random.default_rng(size), (2, 2, 128, 128), planar)
    place = np.full((2, 2), 128 - side)
    views = Views(
        top=place,
        left=place // 2,
        crop=(side, side),
        size=(size, size),
        flip=np.array([True, False]),
        colour=Colour.unchanged(2, 2),
    )
    assert_equal(pixel, views)
    # Unchanged colours are levels: a difference of one level anywhere would be 0.017.
    torch.testing.assert_close(cpu.render(pixel, views), reference.render(pixel, views), atol=2e-6, rtol=0)


def test_a_tensor_that_is_not_contiguous_is_rendered_as_its_copy() -> None:
    pictures, views = drawn(5, layout="TCHW")
    assert isinstance(pictures, torch.Tensor)
    turned = pictures.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(cpu.render(turned, views), cpu.render(pictures, views))


def test_types_other_than_float32_are_rounded_once() -> None:
    pictures, views = drawn(8, layout="TCHW")
    for kind in (torch.float16, torch.bfloat16):
        expected = cpu.render(pictures, views).to(kind)
        assert torch.equal(cpu.render(pictures, replace(views, dtype=kind)), expected)


def test_no_rows_give_no_views() -> None:
    pictures, views = drawn(3, layout="TCHW", turn=None, blur=None, channel_shift=None, frame=None)
    assert isinstance(pictures, torch.Tensor)
    none = replace(
        views, top=views.top[:0], left=views.left[:0], flip=views.flip[:0], colour=Colour.unchanged(0, 3)
    )
    none = replace(none, top=np.zeros((0, 3), int), left=np.zeros((0, 3), int))
    assert render(pictures[:0], none).shape == (0, 3, 3, *views.size)


def many(threads: int) -> torch.Tensor:
    """More values than one thread takes."""
    rng = np.random.default_rng(1)
    views = Views(
        top=rng.integers(0, 17, (8, 3)),
        left=rng.integers(0, 17, (8, 3)),
        crop=(112, 112),
        size=(96, 96),
        flip=rng.random(8) < 0.5,
        colour=colours(rng, 8, 3),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return render(pixels(rng, (8, 3, 128, 128), False), views)
    finally:
        torch.set_num_threads(before)


def test_threads_change_no_bit() -> None:
    assert torch.equal(many(1), many(2)) and torch.equal(many(1), many(5))


def test_calls_may_come_from_several_threads() -> None:
    expected = many(1)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda _: many(2), range(8)))


def test_the_kernel_is_chosen_by_the_device_and_others_are_refused() -> None:
    pictures, views = drawn(4)
    assert kernel_of(torch.device("cpu")) == "numba"
    assert torch.equal(render(pictures, views), cpu.render(pictures, views))
    assert torch.equal(render(pictures, views, implementation="reference"), reference.render(pictures, views))
    with pytest.raises(ValueError, match="implementation 'triton' on cpu: choose numba, reference or auto"):
        render(pictures, views, implementation="triton")


PLAIN = """
import sys
from unreel.pipelines.ops import cpu_loops
cpu_loops._has = lambda feature: False
sys.path.insert(0, sys.argv[1])
from test_kernels import drawn, assert_equal
assert not cpu_loops.has_shuffle()
for seed in range(6):
    assert_equal(*drawn(seed, planar=seed % 2 == 1))
"""


def test_processors_without_the_named_instructions_give_the_same(tmp_path: Any) -> None:
    here = os.path.dirname(__file__)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    code = [sys.executable, "-W", "ignore", "-c", PLAIN, here]
    done = subprocess.run(code, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


INTERPRETED = """
import sys
from dataclasses import replace
import torch
sys.path.insert(0, sys.argv[1])
from test_kernels import drawn
from unreel.pipelines.ops import cuda, reference
from unreel.pipelines.ops.colour import Colour
for seed in range(3):
    pictures, views = drawn(seed, planar=seed == 1, small=True)
    plain = Colour.unchanged(*views.top.shape)
    for chosen in (views, replace(views, blur=None), replace(views, blur=None, colour=plain)):
        found, expected = cuda.render(pictures, chosen), reference.render(pictures, chosen)
        assert found.shape == expected.shape and found.is_contiguous(), seed
        assert (found - expected).abs().max() < 1e-5, (seed, (found - expected).abs().max())
half = replace(views, dtype=torch.bfloat16)
found, expected = cuda.render(pictures, half), cuda.render(pictures, views)
# The interpreter cuts where a GPU rounds.
assert found.dtype == torch.bfloat16 and (found.float() - expected).abs().max() < 0.02
"""


def test_triton_in_its_interpreter_gives_the_numbers_of_the_reference() -> None:
    """Triton decides when it is imported whether it interprets: a process of its own."""
    code = [sys.executable, "-W", "ignore", "-c", INTERPRETED, os.path.dirname(__file__)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(code, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("blurred", [False, True])
def test_triton_on_a_gpu_gives_the_numbers_of_the_cpu(planar: bool, blurred: bool) -> None:
    rng = np.random.default_rng(1)
    pictures = pixels(rng, (32, 5, 128, 128), planar)
    views = Views(
        top=rng.integers(0, 17, (32, 5)),
        left=rng.integers(0, 17, (32, 5)),
        crop=(112, 112),
        size=(96, 96),
        flip=rng.random(32) < 0.5,
        colour=colours(rng, 32, 5),
        blur=rng.uniform(0, 2, (32, 5)).astype(np.float32) if blurred else None,
    )
    found = render(pictures.to("cuda"), views)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), render(pictures, views), atol=TOLERANCE, rtol=0)
