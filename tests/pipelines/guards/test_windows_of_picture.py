"""Where the picture is cut: inside the content, and each frame at its own place."""

from collections.abc import Callable

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.content_box import place_window
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

Make = Callable[..., Sidecar]
CORNERS = [(0.0, 0.0), (0.9999, 0.0), (0.0, 0.9999), (0.9999, 0.9999), (0.5, 0.5)]


def test_windows_stay_inside_the_content_and_reach_its_edges(sidecar: Make) -> None:
    boxed = sidecar(content_box=(8, 16, 152, 120))
    windows = [place_window(boxed, size=96, at=at, inside=True) for at in CORNERS]
    assert {(w.top, w.left) for w in windows[:4]} == {(16, 8), (24, 8), (16, 56), (24, 56)}
    assert all((w.height, w.width) == (96, 96) for w in windows)


def test_without_the_guard_windows_reach_into_the_letterbox(sidecar: Make) -> None:
    boxed = sidecar(content_box=(8, 16, 152, 120))
    assert place_window(boxed, size=96, at=(0.0, 0.0), inside=False).top == 0


def test_content_smaller_than_the_window_is_refused_with_both_sizes(sidecar: Make) -> None:
    boxed = sidecar(content_box=(0, 20, 160, 108))
    with pytest.raises(PlanImpossible, match=r"160x88 pixels is smaller than a window of 96"):
        place_window(boxed, size=96, at=(0, 0), inside=True)


def test_frames_are_cut_apart_within_the_slack() -> None:
    draws = Draws.of(3, "test", np.arange(500))
    offsets = draw_offsets(draws, frames=5, slack=20, shift=12)
    assert offsets.shape == (2, 500, 5) and offsets.min() == 0 and offsets.max() == 20
    spread = np.ptp(offsets, axis=2)
    assert spread.max() == 12 and (spread > 0).mean() > 0.99
    steps = (offsets - offsets.mean(2, keepdims=True)).reshape(1000, 5)
    assert np.abs(np.corrcoef(steps.T) - 1.25 * np.eye(5) + 0.25).max() < 0.12


def test_without_the_guard_frames_are_cut_alike() -> None:
    offsets = draw_offsets(Draws.of(3, "test", np.arange(50)), frames=5, slack=20, shift=0)
    assert (np.ptp(offsets, axis=2) == 0).all() and np.ptp(offsets) == 20
