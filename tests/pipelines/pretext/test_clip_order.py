"""Clip order prediction: labels, what orders share, published times, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import ClipOrder
from unreel.pipelines.pretext.permutations import orders
from unreel.shards.errors import PlanImpossible

SMALL = ClipOrder(window=64, crop=48, size=32, frames=4, step_seconds=0.08, gap_seconds=0.16)
PLAIN = replace(SMALL, camera_shift=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, blur=0)
"""Every guard on the pictures off."""
QUICK = {"crop": 16, "size": 16}
"""For tests that need many rows."""


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 6))
    assert batch.inputs["video"].shape == (6, 3, 3, 4, 32, 32)
    assert batch.targets.shape == (6,) and batch.targets.dtype == torch.int64
    assert all(len(fact) == 6 for fact in batch.facts.values())


def test_orders_are_equally_likely() -> None:
    target = Draws.of(3, SMALL.name, np.arange(6000)).integers("order", 0, 6)
    assert abs(np.bincount(target, minlength=6) / 6000 - 1 / 6).max() < 4 * (5 / 36 / 6000) ** 0.5


def test_published_times(sidecar: Callable) -> None:
    task = replace(SMALL, frames=16, step_seconds=0.04, gap_seconds=0.32, key_phase=False)
    frames = task.plan(sidecar(0), Draws.of(1, SMALL.name, [0])).frames.reshape(3, 16)
    assert (np.diff(frames, axis=1) == 1).all()
    assert (frames[1:, 0] - frames[:-1, -1] - 1 == 8).all()
    assert frames[-1, -1] - frames[0, 0] + 1 == 64


def test_orders_differ_in_which_clip_is_where_and_in_nothing_else(
    sidecar: Callable, batch_of: Callable
) -> None:
    # Clips of exactly the length that is needed: every seed plans the same frames.
    clips, in_time = clips_of(sidecar, 24, frames=39), []
    for seed in (7, 8):
        batch = batch_of(replace(PLAIN, crop=64), clips, seed=seed)
        order = orders(3)[batch.targets.numpy()]
        assert len(set(batch.targets.tolist())) == 6
        assert (batch.facts["view_frame"].reshape(24, 3, 4) == order[:, :, None] * 4 + np.arange(4)).all()
        back = torch.from_numpy(np.argsort(order, axis=1))
        in_time.append(batch.inputs["video"][torch.arange(24)[:, None], back])
    assert torch.equal(*in_time)


def probe(cues: np.ndarray, labels: np.ndarray) -> float:
    """Held-out accuracy of the label from `cues` alone."""
    cues = (cues - cues.mean(0)) / (cues.std(0) + 1e-9)
    half = len(labels) // 2
    learned = LogisticRegression(max_iter=500).fit(cues[:half], labels[:half])
    return float(learned.score(cues[half:], labels[half:]))


CHANCE = 1 / 6 + 3 * (5 / 36 / 240) ** 0.5


def test_nothing_but_the_order_tells_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(replace(SMALL, **QUICK), clips_of(sidecar, 480))
    names = ("seconds", "window_top", "window_left", "crop_top", "crop_left", "brightness", "grey", "blur")
    cues = np.concatenate([batch.facts[name].reshape(480, -1).astype(np.float64) for name in names], axis=1)
    assert probe(cues, batch.targets.numpy()) < CHANCE


def shown_phases(batch: object) -> np.ndarray:
    """Distance of each shown clip's first frame to its key frame, less the first shown clip's, one-hot."""
    distance = np.take_along_axis(batch.facts["key_distance"], batch.facts["view_frame"], axis=1)[:, ::4]
    return ((distance[:, 1:] - distance[:, :1])[:, :, None] % 16 == np.arange(16)).reshape(len(distance), -1)


def test_key_phase_closes_what_no_guard_leaves_open(sidecar: Callable, batch_of: Callable) -> None:
    # 4 frames 2 apart and a gap of 4: clips start 12 frames apart, three quarters of a cycle.
    clips = clips_of(sidecar, 480)
    open_, closed = (batch_of(replace(PLAIN, key_phase=on, **QUICK), clips) for on in (False, True))
    assert probe(shown_phases(open_), open_.targets.numpy()) > 0.95
    assert probe(shown_phases(closed), closed.targets.numpy()) < CHANCE


def test_key_phase_only_lengthens_gaps(sidecar: Callable) -> None:
    frames = SMALL.plan(sidecar(0), Draws.of(1, SMALL.name, [0])).frames.reshape(3, 4)
    assert (np.diff(frames[:, 0]) == 16).all()


def test_clip_wise_jitter_hides_a_fade(sidecar: Callable, batch_of: Callable) -> None:
    def fading(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to((80 + frames // 4)[:, None, None, None], (len(frames), 64, 64, 3)).astype(
            np.uint8
        )

    def told(task: ClipOrder) -> float:
        batch = batch_of(task, clips_of(sidecar, 480), paint=fading)
        levels = batch.inputs["video"].mean((2, 3, 4, 5)).numpy()
        return probe(np.sign(levels[:, [0, 0, 1]] - levels[:, [1, 2, 2]]), batch.targets.numpy())

    shared = replace(SMALL, independent_jitter=False, **QUICK)
    assert told(shared) > 0.95
    assert told(replace(shared, independent_jitter=True)) < 0.4


def test_each_clip_is_cut_at_its_own_place_and_coloured_alike(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 64))
    for name in ("crop_left", "crop_top", "brightness", "hue", "blur"):
        by_clip = batch.facts[name].reshape(64, 3, 4)
        assert (by_clip == by_clip[:, :, :1]).all() and (np.ptp(by_clip[:, :, 0], axis=1) > 0).mean() > 0.8
    still = batch_of(replace(SMALL, camera_shift=0), clips_of(sidecar, 64)).facts["crop_left"]
    assert (still == still[:, :1]).all()


def test_windows_shun_cuts_and_letterbox(sidecar: Callable) -> None:
    clip = sidecar(0, frames=150, cuts=(60,), content_box=(40, 30, 140, 100))
    for task, inside in ((SMALL, True), (replace(SMALL, scene_cuts=False, content_box=False), False)):
        plans = [task.plan(clip, Draws.of(1, SMALL.name, [position])) for position in range(60)]
        crossing = any(plan.frames[0] < 60 <= plan.frames[-1] for plan in plans)
        outside = any(plan.window.top < 30 or plan.window.top + 64 > 100 for plan in plans)
        assert crossing == outside == (not inside)


def test_clips_that_are_too_short_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="clip-00000: no 39 frames without a cut among its 30"):
        SMALL.plan(sidecar(0, frames=30), Draws.of(1, SMALL.name, [0]))


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 12)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[5:9], positions=range(5, 9))
    assert torch.equal(part.inputs["video"], whole.inputs["video"][5:9])
    assert torch.equal(part.targets, whole.targets[5:9])
    assert not torch.equal(batch_of(SMALL, clips, seed=8).targets, whole.targets)


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 4)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (8, 32)]
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 9}, "clips = 9"),
        ({"camera_shift": 20}, "camera_shift = 20"),
        ({"gap_seconds": -1}, "gap_sec"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipOrder(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
    off = replace(PLAIN, key_phase=False, motion_window=False, scene_cuts=False, content_box=False)
    assert all(off.guards[name].startswith("off") for name in set(off.guards) - {"colour_jitter"})
