"""Overlays: what is covered lies over the box in every frame, stands still, and is no more than that."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.pretext import ArrowOfTime, OddOneOut, SequenceSorting, ShuffleAndLearn
from unreel.pipelines.pretext.task import PretextTask

CORNER = 16
"""Pixels of a corner of 64 that hold a clock."""

PLAIN = ShuffleAndLearn(
    window=64, crop=48, size=48, camera_shift=16, brightness=0, contrast=0, saturation=0, hue=0, grey=0
)
SMALL = {"window": 64, "crop": 64, "size": 64, "camera_shift": 0, "brightness": 0.0, "contrast": 0.0}
TASKS = (
    ShuffleAndLearn(**SMALL, saturation=0, hue=0, grey=0, min_difference=0),
    SequenceSorting(**SMALL, min_difference=0, channel_split=False),
    OddOneOut(**SMALL, sequences=2, frames=4, min_difference=0),
    ArrowOfTime(**SMALL, saturation=0, hue=0, grey=0, blur=0, step_seconds=0.2),
)


def ticking(sidecar: object, frames: np.ndarray) -> np.ndarray:
    """A grey scene that stands still, with a corner whose brightness is the time."""
    pictures = np.full((len(frames), 64, 64, 3), 120, np.uint8)
    pictures[:, :CORNER, -CORNER:] = (frames % 100 * 2)[:, None, None, None]
    return pictures


def unrest(task: PretextTask, clips: list, batch_of: Callable) -> float:
    """The largest difference between frames of a clip, of all that a tower sees."""
    shown = next(iter(batch_of(task, clips, paint=ticking).inputs.values()))
    frames = shown.transpose(2, 3).flatten(1, 2) if shown.ndim == 6 else shown
    return float((frames.amax(1) - frames.amin(1)).max())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_clock_in_a_corner_is_seen_unless_corners_are_covered(
    sidecar: Callable, batch_of: Callable, task: PretextTask
) -> None:
    clips = [sidecar(number, size=(64, 64)) for number in range(12)]
    assert unrest(task, clips, batch_of) > 0.5
    assert unrest(replace(task, corner_mask=0.25), clips, batch_of) == 0


def test_what_is_covered_stands_still_however_frames_are_moved(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number, size=(64, 64)) for number in range(40)]
    open_, covered = (
        batch_of(replace(PLAIN, min_difference=0, corner_mask=corner), clips, paint=ticking)
        for corner in (0.0, 0.25)
    )
    changed = (covered.inputs["frame"] != open_.inputs["frame"]).any(dim=2)
    assert (covered.inputs["frame"][changed[:, :, None].expand_as(covered.inputs["frame"])] == 0).all()
    masks = (covered.inputs["frame"] == 0).all(dim=2)
    assert torch.equal(masks, masks[:, :1].expand_as(masks)), (
        "a mask that moved would tell each frame's shift"
    )
    assert 0.1 < masks.float().mean() < 0.9
    # A corner is covered in all frames as soon as one frame shows a part of it; without it they would differ.
    frames = covered.inputs["frame"]
    assert float((frames.amax(1) - frames.amin(1)).max()) < 1e-4


def test_the_overlay_that_a_sidecar_names_is_covered_and_nothing_else(
    sidecar: Callable, batch_of: Callable
) -> None:
    task = replace(TASKS[0], flip=0.0)
    clip = sidecar(3, size=(64, 64), overlay_box=(64 - CORNER, 0, 64, CORNER))
    shown = batch_of(task, [clip], paint=ticking).inputs["frame"]
    expected = torch.zeros(64, 64, dtype=torch.bool)
    # A pixel around it as well: a resize blends neighbours.
    expected[: CORNER + 1, 64 - CORNER - 1 :] = True
    assert torch.equal((shown == 0).all(dim=2), expected.expand(1, 5, 64, 64))
    assert not (batch_of(replace(task, overlay_mask=False), [clip], paint=ticking).inputs["frame"] == 0).any()


def test_zoomed_and_mirrored_views_are_covered_where_the_box_is(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = [sidecar(number, size=(64, 64)) for number in range(40)]
    task = replace(PLAIN, min_difference=0, corner_mask=0.25, camera_zoom=0.3)
    batch = batch_of(task, clips, paint=ticking)
    frames = batch.inputs["frame"]
    assert 0 < batch.facts["flip"].mean() < 1
    assert float((frames.amax(1) - frames.amin(1)).max()) < 0.05
    uncovered = batch_of(replace(task, corner_mask=0.0), clips, paint=ticking).inputs["frame"]
    assert float((uncovered.amax(1) - uncovered.amin(1)).max()) > 1
