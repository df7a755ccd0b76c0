"""The arrow of time: labels, what directions share, inputs made after the reversal, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import ArrowOfTime
from unreel.pipelines.stills import Stills
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column

SMALL = ArrowOfTime(window=64, crop=48, size=32, frames=4, step_seconds=0.32)
PLAIN = replace(SMALL, camera_shift=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, flip=0, blur=0)
"""Every guard on the pictures off."""
QUICK = {"crop": 16, "size": 16}
"""For tests that need many rows."""


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    for settings in ({}, {"input": "difference"}):
        batch = batch_of(replace(SMALL, **settings), clips_of(sidecar, 8))
        assert batch.inputs["video"].shape == (8, 2, 3, 2, 32, 32)
        assert batch.targets.shape == (8,) and batch.targets.dtype == torch.int64
        assert all(len(fact) == 8 for fact in batch.facts.values())


def test_both_directions_are_equally_likely(sidecar: Callable) -> None:
    backward = Draws.of(3, SMALL.name, np.arange(4000)).chance("backward", 0.5)
    assert abs(backward.mean() - 0.5) < 4 * 0.5 / 4000**0.5


def test_a_backward_clip_is_the_forward_one_in_reverse(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(PLAIN, clips_of(sidecar, 16))
    order = batch.facts["view_frame"]
    backward = batch.targets.numpy() == 0
    assert 0 < backward.sum() < 16 and np.array_equal(backward, batch.facts["backward"])
    assert (order[~backward] == np.arange(4)).all() and (order[backward] == np.arange(4)[::-1]).all()
    # The texture moves by two pixels a frame; the shift between two frames shown tells which was filmed first.
    clips = batch.inputs["video"].transpose(1, 2).flatten(2, 3)
    moved = (clips[:, :, 0, :, 4:] - clips[:, :, 0, :, :-4]).abs().sum((1, 2, 3))
    assert (moved > 0).all()


def test_differences_are_made_after_the_reversal(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 16)
    shown = batch_of(replace(PLAIN, frames=5, groups=1), clips)
    batch = batch_of(replace(PLAIN, frames=4, groups=1, input="difference"), clips)
    assert torch.equal(batch.targets, shown.targets)
    by_hand = shown.inputs["video"][:, 0, :, 1:] - shown.inputs["video"][:, 0, :, :-1]
    assert torch.equal(batch.inputs["video"][:, 0], by_hand)


def probe(cues: np.ndarray, labels: np.ndarray) -> float:
    """Held-out accuracy of the label from `cues` alone."""
    cues = (cues - cues.mean(0)) / (cues.std(0) + 1e-9)
    half = len(labels) // 2
    learned = LogisticRegression(max_iter=500).fit(cues[:half], labels[:half])
    return float(learned.score(cues[half:], labels[half:]))


def test_nothing_but_the_order_tells_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(replace(SMALL, **QUICK), clips_of(sidecar, 960))
    names = ("seconds", "window_top", "window_left", "crop_top", "crop_left", "brightness", "grey", "flip")
    cues = np.concatenate([batch.facts[name].reshape(960, -1).astype(np.float64) for name in names], axis=1)
    assert abs(probe(cues, batch.targets.numpy()) - 0.5) < 3 * 0.5 / 480**0.5


def refined(clip: object, frames: np.ndarray) -> np.ndarray:
    """A still texture that a codec makes sharper from frame to frame."""
    rng = np.random.default_rng(int(clip.source.id, 16))
    detail = rng.normal(0, 1, (64, 64, 1)) * (10 + 0.3 * frames)[:, None, None, None]
    return (128 + detail).clip(0, 255).repeat(3, axis=3).astype(np.uint8)


def test_blur_closes_what_no_guard_leaves_open(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 480)

    def told(blur: float) -> float:
        batch = batch_of(replace(PLAIN, blur=blur, crop=32), clips, paint=refined)
        detail = batch.inputs["video"].diff(dim=5).square().mean((2, 4, 5)).flatten(1).log().numpy()
        return probe(detail, batch.targets.numpy())

    assert told(0) > 0.95
    assert told(1.5) < 0.6


def test_independent_jitter_hides_a_fade(sidecar: Callable, batch_of: Callable) -> None:
    def fading(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to((80 + frames // 4)[:, None, None, None], (len(frames), 64, 64, 3)).astype(
            np.uint8
        )

    def slope(task: ArrowOfTime) -> float:
        batch = batch_of(task, clips_of(sidecar, 400), paint=fading)
        levels = batch.inputs["video"].mean((2, 4, 5)).flatten(1).numpy()
        return probe(levels[:, [0, -1]], batch.targets.numpy())

    shared = replace(SMALL, independent_jitter=False, camera_shift=0, **QUICK)
    assert slope(shared) > 0.95
    assert slope(replace(shared, independent_jitter=True)) < 0.65


def test_camera_shift_moves_each_frame_by_itself(sidecar: Callable, batch_of: Callable) -> None:
    offsets = batch_of(SMALL, clips_of(sidecar, 64)).facts["crop_left"]
    assert (offsets.max(1) - offsets.min(1)).max() == SMALL.camera_shift
    still = batch_of(replace(SMALL, camera_shift=0), clips_of(sidecar, 64)).facts["crop_left"]
    assert (still == still[:, :1]).all()


def test_windows_follow_motion_and_shun_cuts_and_letterbox(sidecar: Callable) -> None:
    curve = np.full(150, 0.01)
    curve[100:140] = 5
    clip = sidecar(
        0, frames=150, motion=pack_column("motion", curve), cuts=(60,), content_box=(40, 30, 140, 100)
    )
    plans = [SMALL.plan(clip, Draws.of(1, SMALL.name, [position])) for position in range(100)]
    for plan in plans:
        assert plan.frames[-1] < 60 or plan.frames[0] >= 60
        assert plan.window.top >= 30 and plan.window.top + 64 <= 100 and plan.window.left >= 40
    assert np.mean([plan.frames[0] > 75 for plan in plans]) > 0.95
    naive = replace(SMALL, motion_window=False, scene_cuts=False, content_box=False)
    plans = [naive.plan(clip, Draws.of(1, SMALL.name, [position])) for position in range(100)]
    assert any(plan.frames[0] < 60 <= plan.frames[-1] for plan in plans)
    assert any(plan.window.top < 30 for plan in plans)


def test_clips_that_are_too_short_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="clip-00000: no 25 frames without a cut among its 20"):
        SMALL.plan(sidecar(0, frames=20), Draws.of(1, SMALL.name, [0]))


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 16)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[5:9], positions=range(5, 9))
    assert torch.equal(part.inputs["video"], whole.inputs["video"][5:9])
    assert torch.equal(part.targets, whole.targets[5:9])
    assert torch.equal(batch_of(SMALL, clips).inputs["video"], whole.inputs["video"])
    assert not torch.equal(batch_of(SMALL, clips, seed=8).targets, whole.targets)


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 4)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (8, 32)]
    assert counts[0] == counts[1] < 200


def test_probes_see_what_a_group_shows(sidecar: Callable, batch_of: Callable) -> None:
    for task in (SMALL, replace(SMALL, input="difference")):
        stills = Stills.of(task.look("video"), moments=3)
        clips = batch_of(stills, clips_of(sidecar, 4)).inputs["video"]
        assert clips.shape == (4, 3, 3, 2, 32, 32)
    later = batch_of(
        Stills.of(replace(SMALL, frames=6).look("video"), moments=3), clips_of(sidecar, 4)
    ).inputs
    expected = later["video"][:, :, :, 1:] - later["video"][:, :, :, :-1]
    assert torch.equal(clips, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": "flow"}, "input = 'flow': choose one of difference, rgb"),
        ({"groups": 3}, "groups = 3: must divide frames = 8"),
        ({"camera_shift": 20}, "camera_shift = 20"),
        ({"step_seconds": 0}, "step_seconds = 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArrowOfTime(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
    off = replace(PLAIN, motion_window=False, scene_cuts=False, content_box=False, overlay_mask=False)
    switched = set(off.guards) - {"colour_jitter"}
    assert all(off.guards[name].startswith("off") for name in switched)
