"""Odd one out: labels, what the odd sequence shares with the others, purity, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import OddOneOut
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column

SMALL = OddOneOut(sequences=4, frames=5, window=64, crop=48, size=16, min_difference=0)


def blank(sidecar: object, frames: np.ndarray) -> np.ndarray:
    return np.zeros((len(frames), 64, 64, 3), np.uint8)


def plans_of(task: OddOneOut, sidecar: Callable, rows: int) -> list:
    clips = [sidecar(number, frames=80 + number % 40) for number in range(rows)]
    return [task.plan(clip, Draws.of(3, task.name, [row])) for row, clip in enumerate(clips)]


def stacked(plans: list, name: str) -> np.ndarray:
    return np.stack([np.asarray(plan.facts[name]) for plan in plans])


@pytest.mark.parametrize("equal", [True, False])
def test_one_sequence_is_out_of_order_and_the_others_are_in_order(sidecar: Callable, equal: bool) -> None:
    plans = plans_of(replace(SMALL, equal_gaps=equal), sidecar, 200)
    odd, steps = stacked(plans, "odd"), np.diff(stacked(plans, "seconds"), axis=2)
    forwards, backwards = (steps > 0).all(2), (steps < 0).all(2)
    slots = np.arange(4) == odd[:, None]
    assert forwards[~slots].all()
    assert not forwards[slots].any() and not backwards[slots].any(), "identity and reversal are never odd"


def test_slots_are_drawn_evenly(sidecar: Callable) -> None:
    counts = np.bincount(stacked(plans_of(SMALL, sidecar, 800), "odd"), minlength=4)
    assert (np.abs(counts - 200) < 4 * (800 * 0.25 * 0.75) ** 0.5).all()


def test_sequences_in_order_may_run_backwards(sidecar: Callable) -> None:
    plans = plans_of(replace(SMALL, backwards=0.5), sidecar, 300)
    odd, steps = stacked(plans, "odd"), np.diff(stacked(plans, "seconds"), axis=2)
    others = np.arange(4) != odd[:, None]
    assert abs((steps < 0).all(2)[others].mean() - 0.5) < 0.07
    assert ((steps > 0).all(2) | (steps < 0).all(2))[others].all()


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (12, 1)])
def test_frames_of_a_sequence_are_apart(sidecar: Callable, rate: tuple[int, int]) -> None:
    clip, frame = sidecar(frames=150, rate=rate), rate[1] / rate[0]
    for position in range(40):
        facts = SMALL.plan(clip, Draws.of(1, SMALL.name, [position])).facts
        gaps = np.diff(np.sort(facts["seconds"], axis=1))
        assert gaps.min() > max(0.08 - frame / 2, frame / 2)
        assert facts["gaps"].max() <= 0.24 + frame


def slot_accuracy(plans: list, *names: str) -> float:
    """Held-out share of odd sequences found by a logistic probe on facts of each sequence alone."""
    cues = np.concatenate([per_sequence(stacked(plans, name)) for name in names], axis=2)
    cues = (cues - cues.mean((0, 1))) / (cues.std((0, 1)) + 1e-9)
    odd, half = stacked(plans, "odd"), len(plans) // 2
    labels = np.arange(cues.shape[1]) == odd[:, None]
    probe = LogisticRegression().fit(cues[:half].reshape(-1, cues.shape[2]), labels[:half].ravel())
    scores = probe.decision_function(cues[half:].reshape(-1, cues.shape[2])).reshape(-1, cues.shape[1])
    return float((scores.argmax(1) == odd[half:]).mean())


def per_sequence(fact: np.ndarray) -> np.ndarray:
    """Numbers of each sequence `[B, S, n]`, and of several their mean, spread and extremes."""
    fact = fact[..., None] if fact.ndim == 2 else fact
    if fact.shape[2] == 1:
        return fact
    numbers = (fact.mean(2), fact.std(2), fact.min(2), fact.max(2))
    return np.concatenate([fact, np.stack(numbers, axis=2)], axis=2)


def test_gaps_tell_the_odd_one_unless_they_are_equal(sidecar: Callable) -> None:
    plans, naive = (plans_of(replace(SMALL, equal_gaps=on), sidecar, 800) for on in (True, False))
    assert slot_accuracy(naive, "gaps") > 0.9
    assert abs(slot_accuracy(plans, "gaps") - 0.25) < 3 * (0.25 * 0.75 / 400) ** 0.5


def test_equal_gaps_cost_an_equal_span(sidecar: Callable) -> None:
    """What the guard cannot close: see `guards/equal_gaps.py`."""
    plans, naive = (plans_of(replace(SMALL, equal_gaps=on), sidecar, 400) for on in (True, False))
    assert slot_accuracy(plans, "span_seconds") > 0.6
    assert abs(slot_accuracy(naive, "span_seconds") - 0.25) < 3 * (0.25 * 0.75 / 200) ** 0.5


def test_windows_and_motion_do_not_tell_the_odd_one(sidecar: Callable) -> None:
    plans = plans_of(SMALL, sidecar, 600)
    assert abs(slot_accuracy(plans, "window_motion", "key_distance") - 0.25) < 4 * (0.25 * 0.75 / 300) ** 0.5


def test_sequences_lie_alike_in_the_clip(sidecar: Callable) -> None:
    plans = plans_of(SMALL, sidecar, 800)
    middle = stacked(plans, "seconds").max(2) + stacked(plans, "seconds").min(2)
    odd = np.arange(4) == stacked(plans, "odd")[:, None]
    error = middle.std() * (1 / odd.sum() + 1 / (~odd).sum()) ** 0.5
    assert abs(middle[odd].mean() - middle[~odd].mean()) < 4 * error


def test_colours_and_cuts_of_the_odd_one_are_those_of_the_others(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = [sidecar(number, frames=90) for number in range(200)]
    facts = batch_of(replace(SMALL, camera_shift=8), clips, paint=blank).facts
    odd = np.arange(4) == facts["odd"][:, None]
    for name in ("brightness", "contrast", "crop_left", "crop_top"):
        value = facts[name].reshape(200, 4, 5)
        error = value.std() * (1 / 200 + 1 / 600) ** 0.5
        assert abs(value.mean(2)[odd].mean() - value.mean(2)[~odd].mean()) < 4 * error, name


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, [sidecar(number) for number in range(6)])
    assert batch.inputs["video"].shape == (6, 4, 3, 5, 16, 16)
    assert batch.targets.shape == (6,) and batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == batch.facts["odd"].tolist()
    assert all(len(fact) == 6 for fact in batch.facts.values())


def test_frames_are_shown_in_the_order_that_the_plan_says(sidecar: Callable, batch_of: Callable) -> None:
    def dated(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to(frames[:, None, None, None].astype(np.uint8), (len(frames), 64, 64, 3)).copy()

    plain = replace(SMALL, brightness=0, contrast=0)
    batch = batch_of(plain, [sidecar(number, rate=(25, 1)) for number in range(6)], paint=dated)
    levels = batch.inputs["video"].mean((2, 4, 5)).numpy()
    seconds = batch.facts["seconds"]
    assert (np.argsort(levels, axis=2) == np.argsort(seconds, axis=2)).all()


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number) for number in range(8)]
    whole = batch_of(SMALL, clips)
    for rows in ([5], [3, 7], list(range(4))):
        part = batch_of(SMALL, [clips[row] for row in rows], positions=rows)
        assert torch.equal(part.inputs["video"], whole.inputs["video"][rows])
        assert torch.equal(part.targets, whole.targets[rows])


def test_a_failed_row_changes_no_other(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number) for number in range(6)]
    whole, hurt = (batch_of(SMALL, clips, failed=rows) for rows in ((), (2,)))
    others = [0, 1, 3, 4, 5]
    assert hurt.valid.tolist() == [row != 2 for row in range(6)]
    assert torch.equal(hurt.inputs["video"][others], whole.inputs["video"][others])
    assert torch.equal(hurt.targets[others], whole.targets[others])


def test_seeds_and_positions_give_different_questions(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(0)] * 8
    one, same, other = (batch_of(SMALL, clips, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs["video"], same.inputs["video"])
    assert not np.array_equal(one.facts["seconds"], other.facts["seconds"])
    assert len({row.tobytes() for row in one.facts["seconds"]}) == 8


def test_clips_whose_odd_sequence_is_still_are_left_out(sidecar: Callable, batch_of: Callable) -> None:
    def half_still(clip: object, frames: np.ndarray) -> np.ndarray:
        level = frames * 2 if int(clip.source.id, 16) % 2 else np.zeros(len(frames), int)
        shape = (len(frames), 64, 64, 3)
        return np.broadcast_to(level[:, None, None, None].astype(np.uint8), shape).copy()

    clips = [sidecar(number) for number in range(20)]
    still = torch.arange(20) % 2 == 0
    batch = batch_of(replace(SMALL, min_difference=4.0), clips, paint=half_still)
    assert (batch.targets[still] == -1).all() and (batch.targets[~still] >= 0).all()
    assert (batch_of(SMALL, clips, paint=half_still).targets >= 0).all()


def test_no_sequence_reaches_over_a_cut_unless_the_guard_is_off(sidecar: Callable) -> None:
    clip = sidecar(frames=120, cuts=(50,))
    for task, crossing in ((SMALL, False), (replace(SMALL, scene_cuts=False), True)):
        plans = [task.plan(clip, Draws.of(1, task.name, [position])) for position in range(60)]
        frames = np.stack([plan.frames for plan in plans]).reshape(-1, 5)
        assert ((frames.min(1) < 50) & (frames.max(1) >= 50)).any() == crossing


def test_windows_follow_motion_unless_the_guard_is_off(sidecar: Callable) -> None:
    motion = np.where(np.arange(250) // 50 == 3, 5.0, 0.05)
    clip = sidecar(frames=250, motion=pack_column("motion", motion))
    means = [
        np.mean([task.plan(clip, Draws.of(1, task.name, [n])).facts["window_motion"] for n in range(80)])
        for task in (SMALL, replace(SMALL, motion_window=False))
    ]
    assert means[0] > 2 * means[1]


def drift_accuracy(batch: object) -> float:
    """Share of odd ones found as the sequence whose mean level turns."""
    levels = batch.inputs["video"].mean((2, 4, 5)).diff(dim=2).sign().sum(2).abs()
    return float((levels.argmin(1) == batch.targets).float().mean())


def test_colour_jitter_hides_a_drift_of_exposure(sidecar: Callable, batch_of: Callable) -> None:
    def brighter(clip: object, frames: np.ndarray) -> np.ndarray:
        shape = (len(frames), 64, 64, 3)
        return np.broadcast_to((80 + frames)[:, None, None, None].astype(np.uint8), shape).copy()

    clips = [sidecar(number, rate=(25, 1)) for number in range(100)]
    off, on = (
        drift_accuracy(batch_of(replace(SMALL, independent_jitter=each), clips, paint=brighter))
        for each in (False, True)
    )
    assert off > 0.97 and on < 0.6


def test_what_needs_states_is_enough_for_a_plan(sidecar: Callable) -> None:
    for rate in ((10, 1), (24, 1), (30000, 1001)):
        frames = int(np.ceil(SMALL.needs.min_seconds * rate[0] / rate[1]))
        SMALL.plan(sidecar(frames=frames, rate=rate), Draws.of(1, SMALL.name, [0]))


def test_a_clip_that_is_too_short_is_refused_with_what_it_lacks(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match=r"clip-00000: no 25 frames without a cut among its 20"):
        SMALL.plan(sidecar(frames=20, rate=(25, 1)), Draws.of(1, SMALL.name, [0]))


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = [
        calls(SMALL.build, *film(SMALL, [sidecar(number) for number in range(rows)])) for rows in (4, 16)
    ]
    assert counts[0] == counts[1] < 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequences": 1}, "sequences = 1: must lie between 2 and 16"),
        ({"frames": 3}, "frames = 3: must lie between 4 and 8"),
        ({"gap_max_seconds": 0.1}, r"gap_max_seconds = 0\.1: must lie between 0\.16"),
        ({"camera_shift": 17}, "camera_shift = 17"),
        ({"backwards": 2}, "backwards = 2"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OddOneOut(**settings)


def test_guards_are_those_that_are_listed_and_say_how_they_stand() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
    off = replace(
        SMALL,
        equal_gaps=False,
        independent_jitter=False,
        motion_window=False,
        scene_cuts=False,
        content_box=False,
        overlay_mask=False,
    )
    assert all("off" in words for words in off.guards.values())
