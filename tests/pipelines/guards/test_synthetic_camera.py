"""A made-up camera: sizes and places of frames that hide a real camera's path, and forms that do not."""

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.stabilise import Cuts
from unreel.pipelines.guards.synthetic_camera import draw_pan, draw_zoom

ROWS = 4000


def draws(rows: int = ROWS) -> Draws:
    return Draws.of(3, "test", np.arange(rows))


def test_sizes_are_drawn_for_each_frame_and_evenly_on_a_logarithmic_scale() -> None:
    share = draw_zoom(draws(), frames=3, most=1.0)
    assert share.dtype == np.float32 and share.min() > 0.5 and share.max() <= 1
    assert abs(np.median(share) - 0.5**0.5) < 0.01
    assert abs(np.corrcoef(share[:, 0], share[:, 1])[0, 1]) < 0.05
    assert (draw_zoom(draws(), frames=2, most=0) == 1).all()


def test_a_zoomed_cut_keeps_its_middle_and_stays_inside() -> None:
    cuts = Cuts.still(draw_offsets(draws(), frames=4, slack=16, shift=16), crop=48)
    share = draw_zoom(draws(), frames=4, most=0.5)
    zoomed = cuts.zoomed(share)
    assert np.allclose(zoomed.extents[..., 0], 48 * share) and zoomed.top.dtype == np.float32
    assert np.allclose(zoomed.top + zoomed.extents[..., 0] / 2, cuts.top + 24)
    assert (zoomed.left >= 0).all() and (zoomed.left + zoomed.extents[..., 1] <= 64).all()


def test_a_steady_pan_goes_straight_and_stays_inside() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 2, (ROWS, 5)), axis=1)
    path = draw_pan(draws(), times, slack=40, shift=30)
    assert path.shape == (2, ROWS, 5) and path.min() >= 0 and path.max() <= 40
    assert 29 < np.ptp(path, axis=2).max() <= 30
    speed = np.diff(path, axis=2) / np.diff(times, axis=1)
    assert np.abs(speed - speed[..., :1]).max() < 0.01 * np.abs(speed).max() + 1e-3


def between_told(path: np.ndarray, cuts: np.ndarray, *, wrapped: bool) -> float:
    """How often both steps lead one way where the frames are in order, and not where the middle one is first: `[2, B, 3]`."""
    told = []
    for order, truth in (((0, 1, 2), True), ((1, 0, 2), False)):
        steps = np.diff((path - cuts)[..., order], axis=2)
        steps = (steps + 0.5) % 1 - 0.5 if wrapped else steps
        told.append(((steps[..., 0] * steps[..., 1]).sum(axis=0) > 0) == truth)
    return float(np.mean(told))


@pytest.mark.parametrize(("between", "least", "most"), [(False, 0.95, 1.0), (True, 0.47, 0.53)])
def test_only_shifts_between_pixels_hide_what_a_slow_pan_moves_beyond_whole_ones(
    between: bool, least: float, most: float
) -> None:
    angle = np.random.default_rng(1).uniform(0, 2 * np.pi, ROWS)
    pan = 0.01 * np.stack([np.sin(angle), np.cos(angle)])[..., None] * np.array([0, 12, 25])
    cuts = draw_offsets(draws(), frames=3, slack=48, shift=48, between=between)
    assert least <= between_told(pan, cuts, wrapped=True) <= most
    assert cuts.min() >= 0 and cuts.max() <= 48


def test_a_made_up_steady_pan_tells_the_order_by_itself() -> None:
    times = np.broadcast_to(np.array([0.0, 12.0, 25.0]), (ROWS, 3))
    assert (
        between_told(np.zeros((2, 1, 3)), draw_pan(draws(), times, slack=48, shift=48), wrapped=False) > 0.99
    )
