"""Contact sheets of tasks of whole clips hold the very pixels that towers take."""

from typing import Any

import numpy as np
import pytest

from unreel.pipelines.loader import Loader
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext import make_task
from unreel.shards.catalogue import Catalogue
from unreel.tools.sheets import contact_sheet

SETTINGS: dict[str, dict[str, Any]] = {
    "dense_prediction": {"blocks": 4, "block_frames": 2, "window": 96, "crop": 80, "size": 25},
    "future_frames": {"window": 96, "crop": 80, "size": 25, "min_motion": 0.1, "min_future_motion": 0.0},
}
"""Sizes that sheets enlarge three times."""


@pytest.mark.parametrize("name", SETTINGS)
def test_a_sheet_holds_the_first_frame_that_the_tower_takes(tiny_catalogue: Catalogue, name: str) -> None:
    task = make_task(name, **SETTINGS[name])
    with Loader(
        tiny_catalogue, task, batch_size=4, seed=0, split=None, backend="packets", prefetch=0
    ) as loader:
        step = next(loader)
    sheet = np.asarray(contact_sheet(step, task, rows=2))
    video = step.batch.inputs["video"][0]
    frame = denormalise(video.transpose(-3, -4).reshape(-1, 3, 25, 25)[0]).numpy()
    tile = frame.repeat(3, 0).repeat(3, 1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], tile.shape[:2])
    near = np.argwhere(windows[:, 14:16, 0, 0] == tile[0, 0, 0])
    assert any((windows[top, 14 + left] == tile[:, :, 0]).all() for top, left in near)
