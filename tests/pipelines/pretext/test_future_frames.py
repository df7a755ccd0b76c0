"""Future frames: what is seen comes before what is painted, something moves in between, and no black is painted."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import FutureFrames
from unreel.shards.errors import PlanImpossible

SMALL = FutureFrames(seen=3, future=2, window=64, crop=56, size=32)


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def clock(clip: object, frames: np.ndarray) -> np.ndarray:
    return np.broadcast_to(frames[:, None, None, None], (len(frames), 64, 64, 3)).astype(np.uint8)


def curve(values: np.ndarray) -> bytes:
    return np.asarray(values, "<f2").tobytes()


def test_batch_has_the_promised_shapes_and_order(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 4), paint=clock)
    assert batch.inputs["video"].shape == (4, 3, 3, 32, 32) and batch.targets.shape == (4, 3, 2, 32, 32)
    clips = torch.cat([batch.inputs["video"], batch.targets], dim=2)[:, 0].mean(dim=(2, 3))
    np.testing.assert_allclose(clips.numpy() * 0.229 * 255 + 0.485 * 255, batch.facts["frames"], atol=0.1)
    assert (np.diff(batch.facts["frames"], axis=1) == 4).all()


def test_seen_and_painted_frames_are_treated_alike(sidecar: Callable, batch_of: Callable) -> None:
    """One frame shown five times gives five equal pictures: nothing but time tells seen from painted."""

    def still(clip: object, frames: np.ndarray) -> np.ndarray:
        picture = np.random.default_rng(int(clip.source.id, 16)).integers(0, 256, (64, 64, 3), np.uint8)
        return np.broadcast_to(picture, (len(frames), 64, 64, 3)).copy()

    batch = batch_of(SMALL, clips_of(sidecar, 6), paint=still)
    clips = torch.cat([batch.inputs["video"], batch.targets], dim=2)
    assert torch.equal(clips, clips[:, :, :1].expand_as(clips))
    assert 0 < batch_of(SMALL, clips_of(sidecar, 32), paint=still).facts["flip"].mean() < 1


def test_something_moves_after_the_last_seen_frame_unless_the_guard_is_off(sidecar: Callable) -> None:
    """Still but for frames 30 to 40: a copy of the last frame is right in every window that ends before."""
    clip = sidecar(0, motion=curve(np.where((np.arange(75) > 30) & (np.arange(75) <= 40), 5, 0)))
    for off, low in ((False, 1), (True, 0)):
        task = replace(SMALL, motion_window=False, **({"min_future_motion": 0.0} if off else {}))
        frames = [task.plan(clip, Draws.of(1, task.name, [n])).frames for n in range(80)]
        moving = [
            int(
                (
                    (np.arange(plan[2] + 1, plan[-1] + 1) > 30) & (np.arange(plan[2] + 1, plan[-1] + 1) <= 40)
                ).sum()
            )
            for plan in frames
        ]
        assert min(moving) >= low and (min(moving) == 0) == off


def test_clips_without_a_moving_future_say_so(sidecar: Callable) -> None:
    clip = sidecar(0, motion=curve(np.zeros(75)))
    with pytest.raises(
        PlanImpossible, match=r"no window of 17 frames moves by 0\.25 levels a frame from its frame 8 on"
    ):
        SMALL.plan(clip, Draws.of(1, SMALL.name, [0]))


def test_windows_stay_inside_the_content_unless_the_guard_is_off(sidecar: Callable) -> None:
    clip = sidecar(0, content_box=(0, 20, 160, 108))
    for inside in (True, False):
        task = replace(SMALL, content_box=inside)
        tops = [task.plan(clip, Draws.of(1, task.name, [n])).window.top for n in range(60)]
        assert (min(tops) >= 20 and max(tops) <= 44) == inside


def test_a_row_does_not_depend_on_the_batch_around_it(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 6)
    whole, again = batch_of(SMALL, clips), batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[2:4], positions=range(2, 4))
    assert torch.equal(whole.targets, again.targets)
    assert torch.equal(part.targets, whole.targets[2:4])
    assert torch.equal(part.inputs["video"], whole.inputs["video"][2:4])


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = []
    for rows in (4, 16):
        media, draws = film(SMALL, clips_of(sidecar, rows))
        SMALL.build(media, draws)
        counts.append(calls(SMALL.build, media, draws))
    assert counts[0] == counts[1] < 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seen": 0}, "seen = 0"), ({"crop": 200}, "crop = 200"), ({"flip": 2}, "flip = 2")],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FutureFrames(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
