"""Colourisation: what a tower sees says nothing of colours, labels are the clip's own, and what each guard does."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.ops.lab import lab
from unreel.pipelines.ops.palette import nearest_colour, palette
from unreel.pipelines.pretext import Colourisation
from unreel.shards.errors import PlanImpossible

SMALL = Colourisation(window=64, crop=56, size=32, cells=8, clusters=4)


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def blocks(sidecar: object, frames: np.ndarray) -> np.ndarray:
    """Four colours in blocks of 16 pixels that move right by a block every eight frames."""
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [180, 180, 40]], np.uint8)
    rows, columns = np.mgrid[:64, :64] // 16
    return np.stack([colours[(columns - frame // 8 + 2 * rows) % 4] for frame in frames])


def equally_bright(colours: bool) -> Callable:
    """The same squares in red and green of one luma, or in the grey of that luma."""
    red, green = np.array([150, 0, 0]), np.array([0, 76, 3])
    luma = np.array([0.299, 0.587, 0.114])
    assert abs(red @ luma - green @ luma) < 0.2

    def paint(sidecar: object, frames: np.ndarray) -> np.ndarray:
        squares = (np.mgrid[:64, :64] // 8).sum(0)[..., None] % 2
        picture = np.where(squares == 1, red, green) if colours else np.full((64, 64, 3), round(red @ luma))
        return np.broadcast_to(picture, (len(frames), 64, 64, 3)).astype(np.uint8)

    return paint


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 6), paint=blocks)
    assert batch.inputs["frame"].shape == (6, 4, 3, 32, 32)
    assert batch.inputs["colours"].shape == (6, 4, 8, 8, 2)
    assert batch.inputs["labels"].shape == (6, 3, 8, 8)
    assert batch.targets.shape == (6, 8, 8) and batch.targets.dtype == torch.int64
    assert all(len(fact) == 6 for fact in batch.facts.values())


def test_what_the_tower_sees_says_nothing_of_the_colours_that_it_is_asked_for(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 4)
    coloured = batch_of(SMALL, clips, paint=equally_bright(True))
    grey = batch_of(SMALL, clips, paint=equally_bright(False))
    assert torch.allclose(coloured.inputs["frame"], grey.inputs["frame"], atol=0.03)
    assert (
        coloured.facts["spread"].min() > 4 * SMALL.min_spread
        and grey.facts["spread"].max() < SMALL.min_spread
    )
    open_task = replace(SMALL, luminance_only=False, brightness=0, contrast=0)
    seen = batch_of(open_task, clips, paint=equally_bright(True)).inputs["frame"]
    assert (seen.amax(dim=2) - seen.amin(dim=2)).mean() > 0.3


def test_each_frame_has_its_own_light_and_all_share_their_place(
    sidecar: Callable, batch_of: Callable
) -> None:
    facts = batch_of(SMALL, clips_of(sidecar, 32), paint=blocks).facts
    assert np.ptp(facts["brightness"], axis=1).min() > 0
    assert np.ptp(facts["crop_top"], axis=1).max() == 0 == np.ptp(facts["crop_left"], axis=1).max()
    assert facts["flip"].shape == (32,) and 4 < facts["flip"].sum() < 28


def test_labels_are_the_colours_whatever_light_the_tower_gets(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 8)
    batch = batch_of(SMALL, clips, paint=blocks)
    steady = batch_of(replace(SMALL, brightness=0, contrast=0), clips, paint=blocks)
    assert torch.equal(batch.targets, steady.targets)
    assert torch.equal(batch.inputs["labels"], steady.inputs["labels"])
    assert not torch.equal(batch.inputs["frame"], steady.inputs["frame"])


def test_labels_are_balanced_where_colours_are(sidecar: Callable, batch_of: Callable) -> None:
    """Four colours on equal areas, and the most frequent is label 0."""
    batch = batch_of(replace(SMALL, crop=64, cells=16, flip=0), clips_of(sidecar, 8), paint=blocks)
    shares = torch.bincount(batch.targets.flatten(), minlength=4) / batch.targets.numel()
    assert shares.min() > 0.2
    counts = torch.stack([row.flatten().bincount(minlength=4) for row in batch.inputs["labels"]])
    assert (counts.diff(dim=1) <= 0).all()


def test_a_row_does_not_depend_on_the_batch_around_it(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 12)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[4:7], positions=range(4, 7))
    again = batch_of(SMALL, clips)
    for name in ("frame", "colours", "labels"):
        assert torch.equal(part.inputs[name], whole.inputs[name][4:7]), name
        assert torch.equal(again.inputs[name], whole.inputs[name]), name
    assert torch.equal(part.targets, whole.targets[4:7])


def test_clips_without_colour_are_left_out_unless_the_guard_is_off(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 4)
    grey = equally_bright(False)
    assert (batch_of(SMALL, clips, paint=grey).targets == -1).all()
    assert (batch_of(replace(SMALL, min_spread=0), clips, paint=grey).targets >= 0).all()


def test_the_target_comes_later_than_every_reference(sidecar: Callable) -> None:
    for position in range(30):
        plan = SMALL.plan(sidecar(0), Draws.of(1, SMALL.name, [position]))
        assert np.diff(plan.frames).tolist() == [4, 4, 8]


def test_windows_follow_motion_and_keep_within_a_scene(sidecar: Callable) -> None:
    motion = np.zeros(75)
    motion[40:60] = 5
    clip = sidecar(0, motion=np.asarray(motion, "<f2").tobytes(), cuts=(45,))
    starts = {SMALL.plan(clip, Draws.of(1, SMALL.name, [n])).frames[0] for n in range(60)}
    assert all(start + 16 < 45 or start >= 45 for start in starts) and min(starts) > 20
    free = replace(SMALL, motion_window=False, scene_cuts=False)
    starts = {free.plan(clip, Draws.of(1, SMALL.name, [n])).frames[0] for n in range(60)}
    assert min(starts) < 20 and any(start <= 44 < start + 16 for start in starts)


def test_what_cannot_be_planned_says_why(sidecar: Callable) -> None:
    draws = Draws.of(1, SMALL.name, [0])
    with pytest.raises(PlanImpossible, match="no 17 frames without a cut among its 12"):
        SMALL.plan(sidecar(0, frames=12), draws)
    with pytest.raises(PlanImpossible, match="at 5 frames a second two of the task's times are one frame"):
        replace(SMALL, step_seconds=0.05).plan(sidecar(0, rate=(5, 1)), draws)


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = []
    for rows in (4, 16):
        media, draws = film(SMALL, clips_of(sidecar, rows))
        SMALL.build(media, draws)
        counts.append(calls(SMALL.build, media, draws))
    assert counts[0] == counts[1] < 600


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"references": 0}, "references = 0"), ({"clusters": 1}, "clusters = 1"), ({"crop": 200}, "crop = 200")],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Colourisation(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)


def test_lab_of_known_colours() -> None:
    """Red, white and a mid grey (Lindbloom's calculator, D65)."""
    pixels = torch.tensor([[255, 0, 0], [255, 255, 255], [119, 119, 119]], dtype=torch.uint8)
    expected = torch.tensor([[53.24, 80.09, 67.20], [100, 0, 0], [50.03, 0, 0]])
    assert torch.allclose(lab(pixels), expected, atol=0.05)


def test_a_palette_finds_well_kept_colours_and_their_order() -> None:
    truth = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    names = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    colours = truth[names] + torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    centres = palette(colours[None], 3)
    assert torch.allclose(centres[0].float(), truth, atol=1.0)
    assert torch.equal(nearest_colour(colours[None], centres)[0], names)
