"""Facts of clips whose answers are known."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.making.analyse import (
    content_box,
    fills_frame,
    loudness_curve,
    luma_curve,
    motion_curve,
    picture_box,
    silence_spans,
)

RATE = 48_000


def test_motion_is_the_mean_difference_to_the_frame_before() -> None:
    grey = np.zeros((4, 8, 8), np.uint8)
    grey[:2, :4] = 100
    grey[2:, 4:] = 100
    assert motion_curve(grey).tolist() == [0, 0, 100, 0]
    assert luma_curve(grey).tolist() == [50] * 4


def test_flicker_is_no_motion_and_does_not_hide_it() -> None:
    base = np.random.default_rng(0).integers(60, 120, (32, 32))
    flicker = np.array([1.0, 0.8, 1.4, 0.75, 1.3])[:, None, None]
    assert motion_curve((base * flicker).astype(np.uint8)).max() < 1.5
    moving = np.stack([np.roll(base, frame // 2 * 5, 1) for frame in range(5)])
    plain, lit = motion_curve(moving.astype(np.uint8)), motion_curve((moving * flicker).astype(np.uint8))
    # Movement counts in the brightness of the frame before.
    assert np.allclose(lit[[2, 4]], plain[[2, 4]] * flicker[[1, 3], 0, 0], rtol=0.1)
    assert lit[[1, 3]].max() < 1.5 < plain[[2, 4]].min() - 10


def test_a_flash_out_of_black_is_a_change() -> None:
    assert motion_curve(np.stack([np.zeros((8, 8)), np.full((8, 8), 200)]).astype(np.uint8)).tolist() == [
        0,
        100,
    ]


def test_loudness_of_a_full_scale_square_is_0_dbfs_and_of_nothing_the_floor() -> None:
    sound = np.zeros(4 * 1920, np.int16)
    sound[1920:3840] = -32768
    sound[3840:5760] = 3277
    assert loudness_curve(sound[:, None], 4, Fraction(25), RATE).tolist() == pytest.approx(
        [-120, 0, -20, -120], abs=0.01
    )


def test_loudness_has_one_value_a_frame_where_frames_are_not_whole_samples() -> None:
    rate = Fraction(24000, 1001)
    sound = np.full(round(7 * RATE / rate), 100, np.int16)
    assert np.ptp(loudness_curve(sound[:, None], 7, rate, RATE)) == 0


def test_silence_spans_are_exact_and_short_pauses_are_none() -> None:
    sound = np.full(10_000, 500, np.int16)
    sound[2_000:5_000] = 10
    sound[6_000:6_100] = 0
    sound[9_000:] = 0
    assert silence_spans(sound[:, None], level=-60, shortest=1000) == ((2_000, 5_000), (9_000, 10_000))
    assert silence_spans(np.zeros((500, 1), np.int16), level=-60, shortest=500) == ((0, 500),)
    assert silence_spans(np.full((500, 1), -32768, np.int16), level=-60, shortest=1) == ()


def test_facts_of_stereo_are_over_both_channels() -> None:
    sound = np.zeros((1920, 2), np.int16)
    sound[:, 1] = 3277
    assert loudness_curve(sound, 1, Fraction(25), RATE).tolist() == pytest.approx([-23.01], abs=0.01)
    assert silence_spans(sound, level=-60, shortest=1) == ()


def barred(top: int, bottom: int, left: int = 0, right: int = 0) -> NDArray[np.uint8]:
    picture = np.zeros((120, 160), np.uint8)
    picture[top : 120 - bottom, left : 160 - right] = 120
    return picture


def test_bars_are_found_on_all_sides() -> None:
    assert picture_box(barred(16, 16)) == (0, 16, 160, 104)
    assert picture_box(barred(0, 0, 20, 22)) == (20, 0, 138, 120)
    assert picture_box(barred(16, 16, 20, 20)) == (20, 16, 140, 104)
    assert picture_box(barred(0, 0)) is None


def test_bar_on_one_side_is_thin() -> None:
    assert picture_box(barred(0, 4)) == (0, 0, 160, 116)
    assert picture_box(barred(0, 0, 60, 0)) is None


def test_bar_beside_a_sure_one_needs_no_straight_end() -> None:
    picture = barred(16, 16)
    picture[90:104, 20:] = 0
    assert picture_box(picture) == (0, 16, 160, 104)


def test_bright_thing_on_black_has_no_bars() -> None:
    picture = np.zeros((120, 160), np.uint8)
    y, x = np.ogrid[:120, :160]
    picture[(y - 60) ** 2 + (x - 80) ** 2 < 50**2] = 200
    assert picture_box(picture) is None
    assert not fills_frame(picture)


def test_black_clip_has_no_bars() -> None:
    assert content_box(np.full((5, 120, 160), 16, np.uint8)) is None


def test_content_box_is_what_is_lit_at_any_time() -> None:
    luma = np.full((2, 120, 160), 16, np.uint8)
    luma[0, 16:60] = 150
    luma[1, 60:104] = 150
    assert content_box(luma) == (0, 16, 160, 104)
