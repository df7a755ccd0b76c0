"""Windows of time: within a scene, and where something moves."""

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.motion_window import choose_start, window_motion
from unreel.pipelines.guards.scene_cuts import uncut_starts


@pytest.mark.parametrize("cuts", [(), (1,), (29,), (5, 6, 20), (10,)])
@pytest.mark.parametrize("span", [1, 2, 7, 30])
def test_uncut_starts_against_looking_at_every_window(cuts: tuple[int, ...], span: int) -> None:
    expected = [not any(start < cut < start + span for cut in cuts) for start in range(30 - span + 1)]
    assert uncut_starts(cuts, frames=30, span=span).tolist() == expected


def test_window_motion_leaves_out_what_led_to_its_first_frame() -> None:
    motion = np.array([0, 4, 0, 2, 6], np.float32)
    assert window_motion(motion, 3).tolist() == [2.0, 1.0, 4.0]


def test_windows_are_drawn_in_proportion_to_motion() -> None:
    weights, allowed = np.array([1.0, 3.0, 50.0, 6.0]), np.array([True, True, False, True])
    chances = Draws.of(1, "test", np.arange(4000)).uniform("window")
    drawn = np.bincount([choose_start(weights, allowed, at) for at in chances], minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0.1, 0.3, 0.0, 0.6], atol=0.03)


def test_stillness_is_drawn_uniformly_and_never_where_it_is_not_allowed() -> None:
    allowed = np.array([False, True, True, False])
    assert {choose_start(np.zeros(4), allowed, at) for at in (0.0, 0.49, 0.51, 0.9999999)} == {1, 2}


def test_no_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="no window"):
        choose_start(np.ones(3), np.zeros(3, bool), 0.5)
