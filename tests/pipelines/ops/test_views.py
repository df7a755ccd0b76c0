"""The whole way from decoded frames to a tower's input."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.normalise import STD
from unreel.pipelines.ops.views import Views, render


def views(rows: int, times: int, **changes: object) -> Views:
    rng = np.random.default_rng(rows)
    settings = {
        "top": rng.integers(0, 9, (rows, times)),
        "left": rng.integers(0, 9, (rows, times)),
        "crop": (24, 24),
        "size": (16, 16),
        "flip": np.arange(rows) % 2 == 0,
        "colour": Colour.unchanged(rows, times, brightness=rng.uniform(0.5, 1.5, (rows, times)).astype("f")),
    }
    return Views(**(settings | changes))


def frames(rows: int, times: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, times, 32, 32, 3), dtype=torch.uint8)


def test_contract_of_shapes_and_types() -> None:
    out = render(frames(4, 3), views(4, 3))
    assert out.shape == (4, 3, 3, 16, 16) and out.dtype == torch.float32 and out.is_contiguous()


def test_work_does_not_grow_with_the_batch_in_calls(calls: Callable[..., int]) -> None:
    few, many = (calls(render, frames(rows, 5), views(rows, 5)) for rows in (2, 16))
    assert few == many < 100


def test_decoded_frames_are_not_written_to() -> None:
    decoded = frames(2, 2)
    before = decoded.clone()
    whole = views(2, 2, crop=(32, 32), size=(32, 32), top=np.zeros((2, 2), int), left=np.zeros((2, 2), int))
    render(decoded, whole)
    assert torch.equal(decoded, before)


def test_a_row_does_not_depend_on_the_others() -> None:
    decoded, all_rows = frames(4, 3), views(4, 3)
    others = decoded.clone()
    others[[0, 1, 3]] = 0
    torch.testing.assert_close(render(decoded, all_rows)[2], render(others, all_rows)[2], atol=0, rtol=0)


@pytest.mark.gpu
def test_device_gives_the_same_views_within_a_level() -> None:
    decoded, chosen = frames(4, 3), views(4, 3)
    found = render(decoded.cuda(), chosen).cpu()
    assert (found - render(decoded, chosen)).abs().max() < 1.6 / 255 / min(STD) * 1.5
