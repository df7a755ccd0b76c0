"""Rotation: exact turns of one cut, labels balanced by construction, and a grid of blocks that tells nothing."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unreel.pipelines.pretext import Rotation
from unreel.shards.sample import Sidecar

SMALL = Rotation(window=64, crop=48, size=48)
ODD = Rotation(window=64, crop=44, size=44, flip=0)
"""A cut of a side that is no multiple of 8: with cuts that start at blocks, each turn has another phase."""


def test_turns_change_the_places_of_pixels_and_nothing_else(batch_of: Callable, sidecar: Callable) -> None:
    frames = batch_of(SMALL, [sidecar(number) for number in range(6)]).inputs["frame"]
    for turn in range(4):
        assert torch.equal(frames[:, turn], torch.rot90(frames[:, 0], turn, dims=(2, 3)))


def test_every_picture_has_every_label(batch_of: Callable, sidecar: Callable) -> None:
    batch = batch_of(SMALL, [sidecar(number) for number in range(5)], failed=(2,))
    assert batch.targets.tolist() == [[0, 1, 2, 3]] * 5
    assert batch.valid.tolist() == [True, True, False, True, True]


def test_equal_draws_give_equal_batches(batch_of: Callable, sidecar: Callable) -> None:
    clips = [sidecar(number) for number in range(4)]
    first, again = (batch_of(SMALL, clips, positions=[7, 9, 11, 13]) for _ in range(2))
    alone = batch_of(SMALL, [clips[2]], positions=[11])
    assert torch.equal(first.inputs["frame"], again.inputs["frame"])
    assert torch.equal(first.inputs["frame"][2], alone.inputs["frame"][0])


def test_frames_come_from_the_whole_clip(batch_of: Callable, sidecar: Callable) -> None:
    frames = batch_of(SMALL, [sidecar(number, frames=40) for number in range(200)]).facts["frame"]
    assert frames.min() < 4 and frames.max() > 35 and abs(frames.mean() - 19.5) < 3


def jpeg_noise(sidecar: Sidecar, frames: np.ndarray) -> np.ndarray:
    """Grey noise that went through JPEG: nothing but the grid of blocks tells how it lies."""
    noise = np.random.default_rng(int(sidecar.source.id, 16)).normal(128, 40, (128, 160)).clip(0, 255)
    sink = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(sink, "JPEG", quality=50)
    picture = np.array(Image.open(sink))
    window = picture[:64, :64]
    return np.repeat(np.repeat(window[None, :, :, None], 3, axis=3), len(frames), axis=0)


def grid_energy(frames: torch.Tensor) -> np.ndarray:
    """Steps between neighbouring rows and columns, by their place modulo 8: f32 `[N, 16]`."""
    grey = frames.mean(1)
    steps = (grey.diff(dim=1).abs().mean(2), grey.diff(dim=2).abs().mean(1))
    phases = [torch.stack([step[:, start::8].mean(1) for start in range(8)], 1) for step in steps]
    return torch.cat(phases, 1).numpy()


@pytest.mark.parametrize(("guarded", "expected"), [(True, False), (False, True)])
def test_the_grid_of_blocks_tells_the_turn_unless_cuts_start_anywhere(
    guarded: bool, expected: bool, batch_of: Callable, sidecar: Callable
) -> None:
    task = replace(ODD, block_phase=guarded, content_box=False)
    # Windows of these clips start at (0, 0), as the pictures do, so that only the cut says where blocks start.
    clips = [sidecar(number, size=(64, 64)) for number in range(600)]
    frames = batch_of(task, clips, paint=jpeg_noise).inputs["frame"]
    features = StandardScaler().fit_transform(grid_energy(frames.flatten(0, 1)))
    labels = np.tile(np.arange(4), len(clips))
    taught = np.arange(len(labels)) < 1600
    probe = LogisticRegression(max_iter=2000).fit(features[taught], labels[taught])
    accuracy = probe.score(features[~taught], labels[~taught])
    error = (0.25 * 0.75 / (~taught).sum()) ** 0.5
    assert (accuracy > 0.4) if expected else (abs(accuracy - 0.25) < 4 * error), accuracy


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="crop = 200: must lie between 16 and 128"):
        Rotation(crop=200)
    with pytest.raises(ValueError, match="shows nothing to a tower of kind 'audio'"):
        SMALL.look("audio")
