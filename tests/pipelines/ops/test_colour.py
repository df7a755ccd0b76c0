"""One matrix a frame against torchvision's step by step."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as vision

from unreel.pipelines.ops.colour import Colour, recolour
from unreel.pipelines.ops.normalise import MEAN, STD, denormalise


def middling(rows: int, times: int, spread: int = 40) -> torch.Tensor:
    """Frames whose levels stay clear of black and white, where torchvision clamps between its steps and we do not."""
    return (128 + spread * (2 * torch.rand(rows, times, 12, 10, 3) - 1)).to(torch.uint8)


def plain(frames: torch.Tensor, colour: Colour) -> torch.Tensor:
    """Recoloured frames in [0, 1], `[B, T, 3, H, W]`."""
    return recolour(frames, colour) * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)


def unit(frames: torch.Tensor) -> torch.Tensor:
    return frames.permute(0, 1, 4, 2, 3).float() / 255


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


FACTORS = (0.7, 1.0, 1.3)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_equal_torchvision(name: str) -> None:
    frames = middling(3, 1)
    found = plain(frames, Colour.unchanged(3, 1, **{name: column(*FACTORS)}))
    adjust = getattr(vision, f"adjust_{name}")
    expected = torch.stack([adjust(row, factor) for row, factor in zip(unit(frames), FACTORS, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_all_factors_together_equal_torchvision_in_our_order() -> None:
    frames = middling(1, 2)
    factors = {"brightness": [0.9, 1.1], "contrast": [1.2, 0.8], "saturation": [0.6, 1.4]}
    colour = Colour.unchanged(1, 2, **{name: np.float32([values]) for name, values in factors.items()})
    found = plain(frames, colour)
    for time, (brightness, contrast, saturation) in enumerate([(0.9, 1.2, 0.6), (1.1, 0.8, 1.4)]):
        expected = vision.adjust_contrast(
            vision.adjust_brightness(unit(frames)[0, time], brightness), contrast
        )
        expected = vision.adjust_saturation(expected, saturation)
        torch.testing.assert_close(found[0, time], expected, atol=1e-3, rtol=0)


def test_grey_equals_torchvision_and_is_for_the_named_frames_only() -> None:
    frames = middling(2, 1)
    found = plain(frames, Colour.unchanged(2, 1, grey=column(1, 0)))
    expected = vision.rgb_to_grayscale(unit(frames), num_output_channels=3)
    torch.testing.assert_close(found[0], expected[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1], unit(frames)[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("turn", [1 / 3, -1 / 3])
def test_a_third_of_a_hue_turn_is_that_of_hsv(turn: float) -> None:
    frames = middling(1, 1)
    found = plain(frames, Colour.unchanged(1, 1, hue=column(turn)))
    torch.testing.assert_close(found, vision.adjust_hue(unit(frames), turn), atol=2e-5, rtol=0)


@pytest.mark.parametrize("turn", [-0.25, -0.1, 0.05, 0.2])
def test_hue_turns_as_far_as_in_hsv(turn: float) -> None:
    frames = middling(1, 1)
    found = plain(frames, Colour.unchanged(1, 1, hue=column(turn)))[0, 0]
    before, after = (
        [colorsys.rgb_to_hsv(*pixel)[0] for pixel in picture.flatten(1).T.tolist()]
        for picture in (unit(frames)[0, 0], found)
    )
    turned = (np.array(after) - before - turn + 0.5) % 1 - 0.5
    # A hexagon's corners and a circle differ by up to 1.1 degrees at each end.
    assert np.abs(turned).max() < 2.3 / 360


def test_hue_leaves_grey_pixels_alone() -> None:
    grey = middling(1, 1)[..., :1].expand(-1, -1, -1, -1, 3)
    torch.testing.assert_close(
        plain(grey, Colour.unchanged(1, 1, hue=column(0.2))), unit(grey), atol=1e-5, rtol=0
    )


def test_unchanged_colours_come_back_exactly() -> None:
    frames = torch.randint(0, 256, (2, 3, 9, 11, 3), dtype=torch.uint8)
    assert torch.equal(denormalise(recolour(frames, Colour.unchanged(2, 3))), frames)


def test_colours_end_at_black_and_white() -> None:
    frames = middling(2, 1)
    found = plain(frames, Colour.unchanged(2, 1, shift=column(-1, 1)))
    torch.testing.assert_close(found[0], torch.zeros_like(found[0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], torch.ones_like(found[1]), atol=1e-6, rtol=0)


def test_each_frame_takes_its_own_change() -> None:
    frames = middling(1, 1).expand(2, 3, -1, -1, -1)
    brightness = np.array([[0.8, 1.0, 1.2], [1.1, 0.9, 0.7]], np.float32)
    found = plain(frames, Colour.unchanged(2, 3, brightness=brightness)).mean((2, 3, 4))
    np.testing.assert_allclose(found / found[0, 1], brightness, rtol=1e-4)
