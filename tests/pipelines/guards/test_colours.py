"""Colours that change from frame to frame, and frames that look alike."""

import numpy as np
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.similar_frames import frame_difference
from unreel.pipelines.ops.yuv import PlanarYuv, yuv_to_rgb

STRONG = Jitter(brightness=0.5, shift=0.1, contrast=0.4, saturation=0.3, hue=0.25, grey=0.5)


def test_frames_of_a_clip_change_on_their_own() -> None:
    colour = draw_colours(Draws.of(1, "test", np.arange(400)), STRONG, frames=3, independent=True)
    for name, column in colour.columns().items():
        between = np.corrcoef(column.T)[np.triu_indices(3, 1)]
        assert np.abs(between).max() < 0.15, f"{name} of one frame tells that of the next"


def test_without_the_guard_a_clip_changes_as_one() -> None:
    colour = draw_colours(Draws.of(1, "test", np.arange(40)), STRONG, frames=3, independent=False)
    for column in colour.columns().values():
        assert column.shape == (40, 3) and (np.ptp(column, axis=1) == 0).all() and np.ptp(column) > 0


def test_changes_stay_within_their_limits() -> None:
    columns = draw_colours(Draws.of(1, "test", np.arange(4000)), STRONG, frames=2, independent=True).columns()
    limits = {"brightness": (0.5, 1.5), "shift": (-0.1, 0.1), "contrast": (0.6, 1.4), "hue": (-0.25, 0.25)}
    for name, (low, high) in limits.items():
        assert low <= columns[name].min() < low + 0.01 and high - 0.01 < columns[name].max() <= high
    assert abs(columns["grey"].mean() - 0.5) < 0.03


def test_nothing_changes_without_jitter() -> None:
    columns = draw_colours(Draws.of(1, "test", [4]), Jitter(), frames=2, independent=True).columns()
    assert {name: set(column.ravel().tolist()) for name, column in columns.items()} == {
        "brightness": {1.0},
        "shift": {0.0},
        "contrast": {1.0},
        "saturation": {1.0},
        "hue": {0.0},
        "grey": {0.0},
    }


def test_difference_is_to_the_most_similar_of_the_others() -> None:
    frames = torch.full((2, 4, 8, 8, 3), 100, dtype=torch.uint8)
    frames[0, 0] += 10
    frames[0, 3] += 4
    frames[1, 0] -= 3
    frames[1, 3] += 200 - 100
    assert frame_difference(frames, middle=1, others=(0, 3)).tolist() == [16.0, 9.0]


def test_difference_is_the_same_from_planes() -> None:
    luma = torch.randint(0, 256, (2, 4, 16, 24), dtype=torch.uint8)
    chroma = torch.randint(0, 256, (2, 4, 2, 8, 12), dtype=torch.uint8)
    planes = PlanarYuv(luma=luma, chroma=chroma, colours=("bt709", "smpte170m full"))
    found = frame_difference(planes, middle=1, others=(0, 3))
    assert torch.equal(found, frame_difference(yuv_to_rgb(planes), middle=1, others=(0, 3)))
