"""The camera's path is measured and followed: what moved with the camera stands still in the cuts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.stabilise import Cuts, camera_path, follow
from unreel.pipelines.ops import Colour, Views, render

SIDE, FRAMES = 128, 5
SHIFTS = np.array([[-5.5, 3.0], [-2.25, 1.5], [0, 0], [2.5, -1.25], [6.0, -4.0]])


def texture(seed: int) -> np.ndarray:
    """Smooth periodic noise about 128, f64 `[256, 256]`."""
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=(256, 256)))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None] * 256, np.fft.rfftfreq(256) * 256)
    noise = np.fft.irfft2(white / np.maximum(frequency, 4) ** 1.3, s=(256, 256))
    return 128 + 40 * noise / noise.std()


def film(*, zooms: np.ndarray, shifts: np.ndarray, thing: bool = False) -> torch.Tensor:
    """uint8 `[2, T, 128, 128, 3]`: textures under a camera, and before them a bright square that moves by itself."""
    axis = np.arange(SIDE) + 0.5 - SIDE / 2
    clips = []
    for seed in range(2):
        picture, frames = texture(seed), []
        for number, (zoom, shift) in enumerate(zip(zooms, shifts, strict=True)):
            down, right = ((axis - moved) / zoom + 128 for moved in shift)
            frame = sample(picture, down, right)
            if thing:
                frame[20 + 14 * number : 60 + 14 * number, 50:90] = 235
            frames.append(frame)
        clips.append(np.stack(frames))
    pictures = np.stack(clips).clip(0, 255).round().astype(np.uint8)
    return torch.from_numpy(np.repeat(pictures[..., None], 3, axis=-1))


def sample(picture: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bilinear, pixel centres at halves."""
    rows, columns = down - 0.5, right - 0.5
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    a, b = (rows - top)[:, None], columns - left
    corners = [[picture[np.ix_(top + i, left + j)] for j in (0, 1)] for i in (0, 1)]
    upper, lower = ((1 - b) * near + b * far for near, far in corners)
    return (1 - a) * upper + a * lower


@pytest.mark.parametrize("zooming", [False, True])
def test_the_path_is_that_of_the_ground_and_not_of_what_moves_before_it(zooming: bool) -> None:
    zooms = np.array([0.94, 0.97, 1.0, 1.03, 1.06]) if zooming else np.ones(FRAMES)
    path = camera_path(film(zooms=zooms, shifts=SHIFTS, thing=True), reference=2)
    trusted = (path.error < 0.3).numpy()
    # A tenth of the picture is the thing's; a frame may be lost to it, and is then said not to fit.
    assert trusted.mean() > 0.8
    assert np.abs(path.shift.numpy() - SHIFTS)[trusted].max() < 0.5
    assert np.abs(path.zoom.numpy() - zooms)[trusted].max() < 0.01


def test_a_still_camera_has_no_path_whatever_the_exposure() -> None:
    frames = film(zooms=np.ones(FRAMES), shifts=np.zeros((FRAMES, 2)), thing=True).float()
    darker = (frames * torch.linspace(0.7, 1, FRAMES)[:, None, None, None]).to(torch.uint8)
    path = camera_path(darker, reference=2)
    assert path.shift.abs().max() < 0.1 and (path.zoom - 1).abs().max() < 0.002


def cut(frames: torch.Tensor, cuts: Cuts) -> torch.Tensor:
    rows, times = frames.shape[:2]
    views = Views(
        top=cuts.top,
        left=cuts.left,
        crop=cuts.extents,
        size=(64, 64),
        flip=np.zeros(rows, np.bool_),
        colour=Colour.unchanged(rows, times),
    )
    return render(frames, views)


def unrest(views: torch.Tensor) -> float:
    """Mean difference of each frame to the middle one."""
    return float((views - views[:, 2:3]).abs().mean())


def test_followed_clips_stand_still_and_others_do_not() -> None:
    zooms = np.array([0.94, 0.97, 1.0, 1.03, 1.06])
    frames = film(zooms=zooms, shifts=SHIFTS)
    offsets = draw_offsets(Draws.of(1, "test", np.arange(2)), frames=FRAMES, slack=32, shift=0)
    path = camera_path(frames, reference=2)
    followed = follow(path, offsets, crop=96, extent=(SIDE, SIDE))
    assert followed.steady.all()
    top, left = offsets.astype(np.float32)
    still = replace(followed, top=top, left=left, extents=np.full((*top.shape, 2), 96, np.float32))
    assert unrest(cut(frames, followed)) < 0.15 * unrest(cut(frames, still))


def test_a_camera_that_leaves_the_window_is_not_steady_and_its_cuts_stay_inside() -> None:
    frames = film(zooms=np.ones(FRAMES), shifts=3 * SHIFTS)
    offsets = draw_offsets(Draws.of(1, "test", np.arange(2)), frames=FRAMES, slack=16, shift=0)
    cuts = follow(camera_path(frames, reference=2), offsets, crop=112, extent=(SIDE, SIDE))
    assert not cuts.steady.any()
    for start in (cuts.top, cuts.left):
        assert start.min() >= 0 and (start + cuts.extents[..., 0]).max() <= SIDE
    assert cut(frames, cuts).isfinite().all()


def test_frames_that_show_another_scene_are_not_steady() -> None:
    frames = film(zooms=np.ones(FRAMES), shifts=np.zeros((FRAMES, 2)))
    frames[0, 4] = frames[1, 4]
    offsets = draw_offsets(Draws.of(1, "test", np.arange(2)), frames=FRAMES, slack=16, shift=0)
    cuts = follow(camera_path(frames, reference=2), offsets, crop=112, extent=(SIDE, SIDE))
    assert cuts.steady.tolist() == [False, True]
