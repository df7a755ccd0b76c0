"""Crop, resize and flip: against plain slicing and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from unreel.pipelines.ops.geometry import crop, flip_rows, resize


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8)


def test_crop_is_slicing_at_each_frames_own_place() -> None:
    frames = pictures(7, 40, 56)
    top, left = np.random.randint(0, 9, 7), np.random.randint(0, 7, 7)
    top[0], left[0] = 8, 6
    cut = crop(frames, top=top, left=left, size=(32, 50))
    expected = [frame[t : t + 32, x : x + 50] for frame, t, x in zip(frames, top, left, strict=True)]
    assert torch.equal(cut, torch.stack(expected))


def test_crop_takes_frames_that_are_not_contiguous() -> None:
    frames = pictures(3, 20, 24).flip(0)[:, :, ::2]
    cut = crop(frames, top=np.zeros(3, int), left=np.ones(3, int), size=(20, 11))
    assert torch.equal(cut, frames[:, :, 1:])


@pytest.mark.parametrize(("top", "left"), [(9, 0), (0, 7), (-1, 0)])
def test_crop_refuses_to_leave_the_frame(top: int, left: int) -> None:
    with pytest.raises(ValueError, match="leaves a frame"):
        crop(pictures(2, 40, 56), top=np.array([0, top]), left=np.array([0, left]), size=(32, 50))


def test_resize_rounds_as_pillow_does() -> None:
    noise = pictures(4, 28, 36)
    frames = (noise.float() * 0.3 + torch.linspace(0, 170, 36)[:, None]).to(torch.uint8)
    scaled = resize(frames, (17, 24))
    for frame, found in zip(frames, scaled, strict=True):
        expected = Image.fromarray(frame.numpy()).resize((24, 17), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(expected, int) - found.numpy()).max() <= 1


def test_resize_averages_instead_of_skipping() -> None:
    stripes = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 200
    inner = resize(stripes, (16, 16))[:, :, 1:-1].float()
    assert (inner - 100).abs().max() < 12


def test_flip_mirrors_named_clips_whole_and_leaves_the_rest() -> None:
    frames = pictures(3, 2, 4, 6)
    before = frames.clone()
    mirrored = flip_rows(frames, np.array([True, False, True]))
    assert torch.equal(mirrored[0], frames[0].flip(2)) and torch.equal(mirrored[2], frames[2].flip(2))
    assert torch.equal(mirrored[1], frames[1])
    assert torch.equal(frames, before)
