"""An overlay is what stays still while the picture moves; where nothing is sure, there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.making.overlay import overlay_box

HEIGHT, WIDTH, FRAMES = 128, 176, 50
LOGO = (120, 8, 160, 32)
CAPTION = (0, 96, 176, 120)

Clip = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Blobs of several sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        np.kron(rng.uniform(0, 1, (height // side + 1, width // side + 1)), np.ones((side, side)))
        for side in (4, 16)
    ]
    return sum(layer[:height, :width] for layer in layers) * 90 + 30


def pan(pixels: float = 3.0) -> Clip:
    """A textured picture that moves to the left by so many pixels a frame."""
    wide = texture(HEIGHT, WIDTH + int(pixels * FRAMES) + 1)
    starts = (pixels * np.arange(FRAMES)).astype(int)
    return np.stack([wide[:, start : start + WIDTH] for start in starts]).astype(np.uint8)


def still() -> Clip:
    noise = np.random.default_rng(1).normal(0, 2, (FRAMES, HEIGHT, WIDTH))
    return np.clip(texture(HEIGHT, WIDTH) + noise, 0, 255).astype(np.uint8)


def letters(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Strokes that reach to the borders of the box."""
    left, top, right, bottom = box
    rows, columns = np.mgrid[top:bottom, left:right]
    return ((columns - left) // 4 % 2 == 0) | (rows == top) | (rows == bottom - 1) | (columns == right - 1)


def overlaid(clip: Clip, box: tuple[int, int, int, int], *, opacity: float = 1.0) -> Clip:
    left, top, right, bottom = box
    out = clip.astype(np.float64)
    area = out[:, top:bottom, left:right]
    area += opacity * letters(box) * (235 - area)
    return out.astype(np.uint8)


def overlap(found: tuple[int, int, int, int] | None, box: tuple[int, int, int, int]) -> float:
    if found is None:
        return 0.0
    inner = [min(found[2], box[2]) - max(found[0], box[0]), min(found[3], box[3]) - max(found[1], box[1])]
    common = max(0, inner[0]) * max(0, inner[1])
    sizes = [(one[2] - one[0]) * (one[3] - one[1]) for one in (found, box)]
    return common / (sum(sizes) - common)


@pytest.mark.parametrize("box", [LOGO, CAPTION])
@pytest.mark.parametrize("opacity", [1.0, 0.8])
def test_a_logo_and_a_caption_over_a_moving_picture_are_found(
    box: tuple[int, int, int, int], opacity: float
) -> None:
    assert overlap(overlay_box(overlaid(pan(), box, opacity=opacity)), box) > 0.7


def test_it_stays_through_cuts() -> None:
    clip = pan()
    clip[FRAMES // 2 :] = 255 - clip[FRAMES // 2 :]
    assert overlap(overlay_box(overlaid(clip, LOGO)), LOGO) > 0.7


def test_of_two_the_one_with_more_edges_is_given() -> None:
    both = overlaid(overlaid(pan(), LOGO), CAPTION)
    assert overlap(overlay_box(both), CAPTION) > 0.7


@pytest.mark.parametrize("clip", [pan(), pan(0.2), still(), np.full((FRAMES, HEIGHT, WIDTH), 60, np.uint8)])
def test_there_is_none_where_nothing_lies_over_the_picture(clip: Clip) -> None:
    assert overlay_box(clip) is None


def test_a_still_picture_cannot_show_that_something_is_laid_over_it() -> None:
    assert overlay_box(overlaid(still(), LOGO)) is None


def test_a_thing_that_moves_before_a_still_ground_makes_the_ground_no_overlay() -> None:
    clip = still()
    for frame, picture in enumerate(clip):
        picture[30:90, 2 * frame : 2 * frame + 60] = texture(60, 60, 2)
    assert overlay_box(clip) is None


def test_flicker_of_a_still_picture_is_no_movement() -> None:
    light = 1 + 0.3 * np.sin(np.arange(FRAMES))
    assert overlay_box((still() * light[:, None, None] * 0.7).astype(np.uint8)) is None


def test_a_pattern_that_repeats_itself_moves_all_the_same() -> None:
    stripes = (np.arange(WIDTH) // 5 % 2 * 150 + 40)[None, :].repeat(HEIGHT, 0)
    clip = np.stack([np.roll(stripes, frame, axis=1) for frame in range(FRAMES)]).astype(np.uint8)
    assert overlay_box(clip) is None


@pytest.mark.parametrize("shape", [(1, 128, 176), (50, 16, 16), (50, 8, 176)])
def test_too_little_to_judge_is_none(shape: tuple[int, int, int]) -> None:
    assert overlay_box(np.zeros(shape, np.uint8)) is None
