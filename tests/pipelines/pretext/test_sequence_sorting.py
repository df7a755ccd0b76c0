"""Sequence sorting: labels, what orders share, purity, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import SequenceSorting
from unreel.pipelines.pretext.permutations import orders
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column

SMALL = SequenceSorting(window=64, crop=48, size=16, camera_shift=16, min_difference=0)
PLAIN = replace(SMALL, channel_split=False, camera_shift=0, brightness=0, contrast=0, flip=0)
"""Every guard on the pictures off."""


def flat(levels: np.ndarray) -> np.ndarray:
    """Numbers `[T]` → pictures u8 `[T, 64, 64, 3]` of one level each."""
    return np.broadcast_to(levels.astype(np.uint8)[:, None, None, None], (len(levels), 64, 64, 3)).copy()


def blank(sidecar: object, frames: np.ndarray) -> np.ndarray:
    return flat(np.zeros(len(frames)))


def clips_of(sidecar: Callable, count: int) -> list:
    return [sidecar(number, frames=60 + number % 40, rate=(25, 1)) for number in range(count)]


def test_labels_are_balanced_and_half_of_the_orders_run_backwards(
    sidecar: Callable, batch_of: Callable
) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 960), paint=blank)
    labels, shown = batch.targets.numpy(), batch.facts["view_frame"]
    counts = np.bincount(labels, minlength=12)
    assert (np.abs(counts - 80) < 4 * (960 / 12 * 11 / 12) ** 0.5).all()
    forwards = (shown == orders(4, reversible=True)[labels]).all(1)
    backwards = (shown[:, ::-1] == orders(4, reversible=True)[labels]).all(1)
    assert (forwards ^ backwards).all()
    for order in range(12):
        assert 0.2 < forwards[labels == order].mean() < 0.8, "reversal is a coin in every class"


def test_frames_are_shown_in_the_order_of_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(PLAIN, clips_of(sidecar, 24), paint=lambda s, f: flat(f * 2))
    levels = batch.inputs["frame"].mean((2, 3, 4)).numpy()
    places = np.argsort(np.argsort(levels, axis=1), axis=1)
    table = orders(4, reversible=True)
    for row, target in zip(places, batch.targets.tolist(), strict=True):
        assert row.tolist() in (table[target].tolist(), table[target][::-1].tolist())


def test_times_gaps_and_draws_do_not_tell_the_label(sidecar: Callable, batch_of: Callable) -> None:
    facts = batch_of(SMALL, clips_of(sidecar, 1200), paint=blank).facts
    names = ("seconds", "key_distance", "crop_left", "crop_top", "brightness", "contrast", "channel")
    cues = [facts[name] for name in names] + [np.diff(facts["seconds"])]
    cues += [facts[name][:, None] for name in ("window_motion", "flip", "window_top", "window_left")]
    table = np.concatenate([cue.astype(float) for cue in cues], axis=1)
    table = (table - table.mean(0)) / (table.std(0) + 1e-9)
    labels = facts["order"]
    probe = LogisticRegression(C=0.1).fit(table[:600], labels[:600])
    assert abs(probe.score(table[600:], labels[600:]) - 1 / 12) < 3.5 * (1 / 12 * 11 / 12 / 600) ** 0.5


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (15, 1)])
def test_gaps_are_those_asked_for(sidecar: Callable, rate: tuple[int, int]) -> None:
    clip, frame = sidecar(frames=90, rate=rate), rate[1] / rate[0]
    gaps = np.stack(
        [np.diff(SMALL.plan(clip, Draws.of(1, SMALL.name, [n])).facts["seconds"]) for n in range(60)]
    )
    assert gaps.min() > 0.2 - frame and gaps.max() < 0.4 + frame and gaps.std() > 0.03


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 6))
    assert batch.inputs["frame"].shape == (6, 4, 3, 16, 16) and batch.inputs["frame"].dtype == torch.float32
    assert batch.targets.shape == (6,) and batch.targets.dtype == torch.int64
    assert all(len(fact) == 6 for fact in batch.facts.values())


def test_each_frame_shows_one_channel_of_its_own_choice(sidecar: Callable, batch_of: Callable) -> None:
    task = replace(PLAIN, channel_split=True)
    clips = clips_of(sidecar, 60)
    split, whole = (batch_of(each, clips) for each in (task, PLAIN))
    frames, channel = split.inputs["frame"], torch.from_numpy(split.facts["channel"])
    assert (frames.diff(dim=2) == 0).all()
    chosen = whole.inputs["frame"].gather(2, channel[:, :, None, None, None].expand(-1, -1, 1, 16, 16))
    assert torch.equal(frames[:, :, :1], chosen)
    assert (np.bincount(channel.flatten(), minlength=3) > 50).all()
    assert (np.ptp(split.facts["channel"], axis=1) > 0).any(), "frames of a clip choose by themselves"


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 8)
    whole = batch_of(SMALL, clips)
    for rows in ([5], [3, 7], list(range(4))):
        part = batch_of(SMALL, [clips[row] for row in rows], positions=rows)
        assert torch.equal(part.inputs["frame"], whole.inputs["frame"][rows])
        assert torch.equal(part.targets, whole.targets[rows])


def test_a_failed_row_changes_no_other(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 6)
    whole, hurt = (batch_of(SMALL, clips, failed=rows) for rows in ((), (2,)))
    others = [0, 1, 3, 4, 5]
    assert hurt.valid.tolist() == [row != 2 for row in range(6)]
    assert torch.equal(hurt.inputs["frame"][others], whole.inputs["frame"][others])
    assert torch.equal(hurt.targets[others], whole.targets[others])


def test_seeds_and_positions_give_different_questions(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(0)] * 16
    one, same, other = (batch_of(SMALL, clips, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs["frame"], same.inputs["frame"])
    assert not torch.equal(one.targets, other.targets)
    assert len(set(one.targets.tolist())) > 4


def test_clips_with_two_frames_alike_are_left_out(sidecar: Callable, batch_of: Callable) -> None:
    def twice(clip: object, frames: np.ndarray) -> np.ndarray:
        moves = int(clip.source.id, 16) % 2
        return flat(frames * 2 if moves else np.array([10, 60, 110, 60]))

    clips = clips_of(sidecar, 20)
    alike = torch.arange(20) % 2 == 0
    batch = batch_of(replace(SMALL, min_difference=4.0), clips, paint=twice)
    assert (batch.targets[alike] == -1).all() and (batch.targets[~alike] >= 0).all()
    assert (batch_of(SMALL, clips, paint=twice).targets >= 0).all()


def sorted_by(batch: object, levels: torch.Tensor) -> float:
    """Share of orders that sorting by one number a frame finds: the whole cue of a slow drift."""
    places = np.argsort(np.argsort(levels.numpy(), axis=1), axis=1)
    table = orders(4, reversible=True)[batch.targets.numpy()]
    return float(((places == table).all(1) | (places == table[:, ::-1]).all(1)).mean())


def test_colour_jitter_hides_a_drift_of_exposure(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 300)
    drifting = replace(PLAIN, brightness=0.5, contrast=0.5)
    off, on = (
        sorted_by(batch, batch.inputs["frame"].mean((2, 3, 4)))
        for batch in (
            batch_of(replace(drifting, independent_jitter=each), clips, paint=lambda s, f: flat(80 + f))
            for each in (False, True)
        )
    )
    assert off > 0.97 and on < 1 / 12 + 4 * (1 / 12 / 300) ** 0.5


def test_channel_splitting_hides_a_drift_of_colour(sidecar: Callable, batch_of: Callable) -> None:
    def redder(clip: object, frames: np.ndarray) -> np.ndarray:
        pictures = flat(np.full(len(frames), 100))
        pictures[..., 0] += frames.astype(np.uint8)[:, None, None]
        return pictures

    clips = clips_of(sidecar, 300)
    off, on = (
        sorted_by(batch, batch.inputs["frame"][:, :, 0].mean((2, 3)) - batch.inputs["frame"].mean((2, 3, 4)))
        for batch in (
            batch_of(replace(PLAIN, channel_split=each), clips, paint=redder) for each in (False, True)
        )
    )
    assert off > 0.97 and on < 0.2


def test_camera_shift_hides_a_short_pan(sidecar: Callable, batch_of: Callable) -> None:
    def panning(clip: object, frames: np.ndarray) -> np.ndarray:
        ramp = np.arange(64)[None] * 2.0 + (frames * 0.2)[:, None]
        return np.broadcast_to(
            ramp.round().astype(np.uint8)[:, None, :, None], (len(frames), 64, 64, 3)
        ).copy()

    clips = clips_of(sidecar, 400)
    off, on = (
        sorted_by(batch, batch.inputs["frame"].mean((2, 3, 4)))
        for batch in (batch_of(replace(PLAIN, camera_shift=shift), clips, paint=panning) for shift in (0, 16))
    )
    assert off > 0.9 and on < 1 / 12 + 4 * (1 / 12 / 400) ** 0.5


def test_no_window_reaches_over_a_cut_unless_the_guard_is_off(sidecar: Callable) -> None:
    clip = sidecar(frames=120, cuts=(50,))
    for task, crossing in ((SMALL, False), (replace(SMALL, scene_cuts=False), True)):
        frames = [task.plan(clip, Draws.of(1, task.name, [position])).frames for position in range(80)]
        assert any(times[0] < 50 <= times[-1] for times in frames) == crossing


def test_windows_follow_motion_unless_the_guard_is_off(sidecar: Callable) -> None:
    motion = np.where(np.arange(250) // 50 == 3, 5.0, 0.05)
    clip = sidecar(frames=250, motion=pack_column("motion", motion))
    means = [
        np.mean([task.plan(clip, Draws.of(1, task.name, [n])).facts["window_motion"] for n in range(150)])
        for task in (SMALL, replace(SMALL, motion_window=False))
    ]
    assert means[0] > 2 * means[1]


def test_what_needs_states_is_enough_for_a_plan(sidecar: Callable) -> None:
    for rate in ((10, 1), (24, 1), (30000, 1001)):
        frames = int(np.ceil(SMALL.needs.min_seconds * rate[0] / rate[1]))
        for position in range(20):
            SMALL.plan(sidecar(frames=frames, rate=rate), Draws.of(1, SMALL.name, [position]))
    with pytest.raises(PlanImpossible, match="frames without a cut among its 15"):
        SMALL.plan(sidecar(frames=15, rate=(25, 1)), Draws.of(1, SMALL.name, [0]))


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (4, 24)]
    assert counts[0] == counts[1] < 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 200}, "crop = 200: must lie between 16 and 128"),
        ({"camera_shift": 25}, "camera_shift = 25: must lie between 0 and 24"),
        ({"gap_max_seconds": 0.1}, r"gap_max_seconds = 0\.1: must lie between 0\.2"),
        ({"reverse": 2}, "reverse = 2"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceSorting(**settings)


def test_guards_are_those_that_are_listed_and_say_how_they_stand() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
    off = replace(
        PLAIN,
        independent_jitter=False,
        motion_window=False,
        scene_cuts=False,
        content_box=False,
        overlay_mask=False,
    )
    assert all("off" in words for words in off.guards.values())
    assert not any(words.startswith("off") for words in SequenceSorting().guards.values())
