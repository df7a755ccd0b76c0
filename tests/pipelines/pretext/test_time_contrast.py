"""Time contrast: radii, what positives and negatives share, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import TimeContrast
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column

SMALL = TimeContrast(window=64, crop=48, size=32)
PLAIN = replace(SMALL, camera_shift=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, flip=0, blur=0)
"""Every guard on the pictures off."""


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def planned(task: TimeContrast, clip: object, count: int) -> np.ndarray:
    """Frames of `count` plans, `[count, pairs, 2]`."""
    plans = [task.plan(clip, Draws.of(1, task.name, [position])) for position in range(count)]
    return np.stack([plan.frames for plan in plans]).reshape(count, -1, 2)


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 6))
    assert batch.inputs["frame"].shape == (6, 8, 3, 32, 32)
    assert batch.inputs["apart"].shape == (6, 4, 8) and batch.inputs["apart"].dtype == torch.bool
    assert torch.equal(batch.targets, torch.tensor([1, 3, 5, 7]).expand(6, 4))
    assert all(len(fact) == 6 for fact in batch.facts.values())


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1), (15, 1)])
def test_positives_are_near_and_never_the_anchor(sidecar: Callable, rate: tuple[int, int]) -> None:
    frames = planned(SMALL, sidecar(0, frames=150, rate=rate), 300)
    step = frames[:, :, 1] - frames[:, :, 0]
    radius = int(0.2 * rate[0] / rate[1] + 1e-6)
    assert set(np.abs(step).ravel()) == set(range(1, radius + 1))
    # Either way equally often: earlier and later frames of a pair are no cue of which is the anchor.
    assert abs((step > 0).mean() - 0.5) < 0.08
    assert frames.min() >= 0 and frames.max() < 150
    assert (np.ptp(frames.reshape(300, -1), axis=1) < 2.4 * rate[0] / rate[1]).all()


def test_negatives_lie_outside_the_second_radius(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 64))
    frames, apart = batch.facts["frames"], batch.inputs["apart"].numpy()
    distance = np.abs(frames[:, None] - frames[:, ::2, None])
    assert np.array_equal(apart, distance > 10)
    assert not np.take_along_axis(apart, batch.targets.numpy()[:, :, None], axis=2).any()
    assert apart.any(2).mean() > 0.99 and apart.mean() > 0.4


def test_each_frame_is_cut_and_coloured_by_itself(sidecar: Callable, batch_of: Callable) -> None:
    facts = batch_of(SMALL, clips_of(sidecar, 400)).facts
    distance = np.abs(facts["frames"][:, None] - facts["frames"][:, ::2, None])
    for name in ("crop_left", "crop_top", "brightness", "hue", "grey", "blur"):
        apart = np.abs(facts[name][:, None].astype(float) - facts[name][:, ::2, None])
        near, far = apart[(distance > 0) & (distance <= 5)], apart[distance > 10]
        assert abs(near.mean() - far.mean()) < 5 * apart.std() / len(near) ** 0.5, name
    shared = batch_of(replace(SMALL, independent_jitter=False, camera_shift=0), clips_of(sidecar, 8)).facts
    assert all((shared[name] == shared[name][:, :1]).all() for name in ("crop_left", "brightness", "grey"))


def nearest_by(values: np.ndarray, batch: object) -> float:
    """How often the positive is nearer than every negative by `values` of frames, `[B, F]`."""
    apart, positive = batch.inputs["apart"].numpy(), batch.targets.numpy()
    distance = np.abs(values[:, None] - values[:, ::2, None])
    own = np.take_along_axis(distance, positive[:, :, None], axis=2)[:, :, 0]
    return float((own < np.where(apart, distance, np.inf).min(2)).mean())


def test_independent_jitter_hides_drifting_light(sidecar: Callable, batch_of: Callable) -> None:
    def drifting(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to((80 + frames)[:, None, None, None], (len(frames), 64, 64, 3)).astype(np.uint8)

    def told(task: TimeContrast) -> float:
        batch = batch_of(task, clips_of(sidecar, 300), paint=drifting)
        return nearest_by(batch.inputs["frame"].mean((2, 3, 4)).numpy(), batch)

    shared = replace(SMALL, independent_jitter=False)
    assert told(shared) > 0.95
    assert told(replace(shared, independent_jitter=True)) < 0.35


def test_camera_shift_hides_a_pan(sidecar: Callable, batch_of: Callable) -> None:
    def told(shift: int) -> float:
        batch = batch_of(replace(PLAIN, crop=16, size=16, camera_shift=shift), clips_of(sidecar, 300))
        # Where the cut lies in the scene, on a camera that moves by a quarter of a pixel a frame.
        place = batch.facts["crop_left"] + 0.25 * batch.facts["frames"]
        return nearest_by(place, batch)

    assert told(0) > 0.95
    assert told(48) < 0.3


def test_stretches_follow_motion_and_shun_cuts_and_letterbox(sidecar: Callable) -> None:
    curve = np.full(250, 0.01)
    curve[150:220] = 5
    clip = sidecar(
        0, frames=250, motion=pack_column("motion", curve), cuts=(60,), content_box=(40, 30, 140, 100)
    )
    frames = planned(SMALL, clip, 100)
    assert not ((frames.min((1, 2)) < 60) & (frames.max((1, 2)) >= 60)).any()
    assert (frames.max((1, 2)) > 150).mean() > 0.95
    naive = replace(SMALL, motion_window=False, scene_cuts=False, content_box=False)
    frames = planned(naive, clip, 100)
    assert ((frames.min((1, 2)) < 60) & (frames.max((1, 2)) >= 60)).any()
    tops = [task.plan(clip, Draws.of(1, SMALL.name, [0])).window.top for task in (SMALL,)]
    assert min(tops) >= 30


def test_clips_that_are_too_short_or_slow_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="clip-00000: no 60 frames without a cut among its 30"):
        SMALL.plan(sidecar(0, frames=30), Draws.of(1, SMALL.name, [0]))
    with pytest.raises(PlanImpossible, match=r"clip-00000: no two frames within 0\.2 s at 4 a second"):
        SMALL.plan(sidecar(0, rate=(4, 1)), Draws.of(1, SMALL.name, [0]))


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 12)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[5:9], positions=range(5, 9))
    for name in ("frame", "apart"):
        assert torch.equal(part.inputs[name], whole.inputs[name][5:9])
    assert not torch.equal(batch_of(SMALL, clips, seed=8).inputs["frame"], whole.inputs["frame"])


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 4)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (8, 32)]
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negative_seconds": 0.1}, r"negative_seconds = 0\.1: must be 0\.2 \(positive_seconds\) or more"),
        (
            {"stretch_seconds": 0.8},
            r"stretch_seconds = 0\.8: must be more than twice negative_seconds = 0\.4",
        ),
        ({"pairs": 1}, "pairs = 1"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeContrast(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
    off = replace(PLAIN, motion_window=False, scene_cuts=False, content_box=False)
    assert all(off.guards[name].startswith("off") for name in set(off.guards) - {"colour_jitter"})
