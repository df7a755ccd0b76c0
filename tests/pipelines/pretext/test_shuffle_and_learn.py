"""Shuffle and learn: labels, what classes share, purity, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import ShuffleAndLearn
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column

SMALL = ShuffleAndLearn(window=64, crop=48, size=32, camera_shift=16, min_difference=0)
PLAIN = replace(SMALL, camera_shift=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, flip=0)
"""Every guard on the pictures off."""


def tuples_of(task: ShuffleAndLearn, rows: int) -> tuple[np.ndarray, np.ndarray]:
    return task._tuples(Draws.of(3, task.name, np.arange(rows)))


def test_labels_follow_the_published_mix_and_the_one_for_evaluation() -> None:
    for share in (0.25, 0.5):
        _, in_order = tuples_of(replace(SMALL, positive=share), 2000)
        assert abs(in_order.mean() - share) < 4 * (share * (1 - share) / in_order.size) ** 0.5


def test_classes_differ_in_the_middle_frame_only() -> None:
    tuples, in_order = tuples_of(SMALL, 3000)
    assert set(tuples[in_order][:, 1]) == {2} and set(tuples[~in_order][:, 1]) == {0, 4}
    for outer in (tuples[in_order], tuples[~in_order]):
        assert {(first, last) for first, _, last in outer} == {(1, 3), (3, 1)}
        assert abs((outer[:, 0] == 3).mean() - 0.5) < 0.05, (
            "reversal is a coin for each tuple of either class"
        )
    assert abs((tuples[~in_order][:, 1] == 0).mean() - 0.5) < 0.05


def test_tuples_of_a_clip_are_drawn_independently() -> None:
    _, in_order = tuples_of(replace(SMALL, tuples=2), 4000)
    assert abs(np.corrcoef(in_order.T)[0, 1]) < 0.06


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1), (15, 1)])
def test_times_are_ordered_and_their_distances_are_those_asked_for(
    sidecar: Callable, rate: tuple[int, int]
) -> None:
    clip = sidecar(frames=90, rate=rate)
    for position in range(50):
        a, b, c, d, e = SMALL.plan(clip, Draws.of(1, SMALL.name, [position])).facts["seconds"]
        frame = rate[1] / rate[0]
        assert 1.0 - frame < d - b <= 1.0 + 1e-5
        assert 0.25 - frame < b - a <= 0.25 + 1e-5 and abs((b - a) - (e - d)) < 1e-5
        assert min(c - b, d - c) >= (d - b) / 4 - frame


def test_no_window_reaches_over_a_cut_unless_the_guard_is_off(sidecar: Callable) -> None:
    clip = sidecar(frames=120, cuts=(50,))
    for task, crossing in ((SMALL, False), (replace(SMALL, scene_cuts=False), True)):
        frames = [task.plan(clip, Draws.of(1, task.name, [position])).frames for position in range(80)]
        assert any(times[0] < 50 <= times[-1] for times in frames) == crossing


def test_windows_follow_motion_unless_the_guard_is_off(sidecar: Callable) -> None:
    motion = np.where(np.arange(250) // 50 == 3, 5.0, 0.05)
    clip = sidecar(frames=250, motion=pack_column("motion", motion))
    means = []
    for task in (SMALL, replace(SMALL, motion_window=False)):
        plans = [task.plan(clip, Draws.of(1, task.name, [position])) for position in range(200)]
        means.append(np.mean([plan.facts["window_motion"] for plan in plans]))
    assert means[0] > 2 * means[1]


def test_a_clip_that_is_too_short_is_refused_with_what_it_lacks(sidecar: Callable) -> None:
    assert SMALL.needs.min_seconds == pytest.approx(1.6)
    with pytest.raises(PlanImpossible, match=r"clip-00000: no 38 frames without a cut among its 37"):
        SMALL.plan(sidecar(frames=37), Draws.of(1, SMALL.name, [0]))
    with pytest.raises(PlanImpossible, match=r"cuts at \[30\]"):
        SMALL.plan(sidecar(frames=60, cuts=(30,)), Draws.of(1, SMALL.name, [0]))


def test_a_clip_without_a_motion_curve_is_refused(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="no motion curve"):
        SMALL.plan(sidecar(motion=b""), Draws.of(1, SMALL.name, [0]))


def test_what_needs_states_is_enough_for_a_plan(sidecar: Callable) -> None:
    for rate in ((10, 1), (24, 1), (30000, 1001)):
        frames = int(np.ceil(SMALL.needs.min_seconds * rate[0] / rate[1]))
        SMALL.plan(sidecar(frames=frames, rate=rate), Draws.of(1, SMALL.name, [0]))


def test_times_and_gaps_do_not_tell_the_label(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number, frames=60 + number % 40) for number in range(600)]
    batch = batch_of(
        replace(SMALL, positive=0.5, tuples=1), clips, paint=lambda s, f: np.zeros((5, 64, 64, 3))
    )
    facts = batch.facts
    cues = np.concatenate(
        [
            facts["seconds"],
            np.diff(facts["seconds"]),
            facts["key_distance"],
            facts["window_motion"][:, None],
            facts["crop_left"],
            facts["brightness"],
            facts["flip"][:, None],
        ],
        axis=1,
    )
    cues = (cues - cues.mean(0)) / (cues.std(0) + 1e-9)
    labels = batch.targets[:, 0].numpy()
    probe = LogisticRegression(C=0.1).fit(cues[:300], labels[:300])
    assert abs(probe.score(cues[300:], labels[300:]) - 0.5) < 3 * 0.5 / 300**0.5


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, [sidecar(number) for number in range(6)])
    assert batch.inputs["frame"].shape == (6, 5, 3, 32, 32) and batch.inputs["frame"].dtype == torch.float32
    assert batch.inputs["tuples"].shape == (6, 4, 3) and batch.inputs["tuples"].dtype == torch.int64
    assert batch.targets.shape == (6, 4) and batch.targets.dtype == torch.int64
    in_order = (batch.inputs["tuples"][..., 1] == 2).long()
    assert torch.equal(batch.targets, in_order)
    assert all(len(fact) == 6 for fact in batch.facts.values())


def test_rows_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number) for number in range(12)]
    whole = batch_of(SMALL, clips)
    for rows in ([5], [3, 7], list(range(6)), list(range(6, 12))):
        part = batch_of(SMALL, [clips[row] for row in rows], positions=rows)
        assert torch.equal(part.inputs["frame"], whole.inputs["frame"][rows])
        assert torch.equal(part.inputs["tuples"], whole.inputs["tuples"][rows])
        assert torch.equal(part.targets, whole.targets[rows])


def test_a_failed_row_changes_no_other(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(number) for number in range(6)]
    whole, hurt = (batch_of(SMALL, clips, failed=rows) for rows in ((), (2,)))
    others = [0, 1, 3, 4, 5]
    assert hurt.valid.tolist() == [row != 2 for row in range(6)]
    assert torch.equal(hurt.inputs["frame"][others], whole.inputs["frame"][others])
    assert torch.equal(hurt.targets[others], whole.targets[others])


def test_seeds_and_positions_give_different_questions(sidecar: Callable, batch_of: Callable) -> None:
    clips = [sidecar(0)] * 8
    one, same, other = (batch_of(SMALL, clips, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs["frame"], same.inputs["frame"])
    assert not torch.equal(one.inputs["tuples"], other.inputs["tuples"])
    assert len({tuple(row) for row in one.facts["frames"].tolist()}) > 4


def test_clips_whose_frames_look_alike_are_left_out_whatever_their_class(
    sidecar: Callable, batch_of: Callable
) -> None:
    def half_still(clip: object, frames: np.ndarray) -> np.ndarray:
        level = frames if int(clip.source.id, 16) % 2 else np.zeros(5, int)
        return np.broadcast_to(level[:, None, None, None].astype(np.uint8), (5, 64, 64, 3)).copy()

    clips = [sidecar(number) for number in range(40)]
    batch = batch_of(replace(SMALL, min_difference=4.0), clips, paint=half_still)
    still = torch.arange(40) % 2 == 0
    assert (batch.targets[still] == -1).all() and (batch.targets[~still] >= 0).all()
    assert batch.valid.all()
    unguarded = batch_of(SMALL, clips, paint=half_still)
    assert (unguarded.targets >= 0).all()


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = []
    for rows in (4, 24):
        media, draws = film(SMALL, [sidecar(number) for number in range(rows)])
        counts.append(calls(SMALL.build, media, draws))
    assert counts[0] == counts[1] < 150


def monotone(levels: torch.Tensor, tuples: torch.Tensor) -> np.ndarray:
    """Whether one number a frame rises or falls along each tuple: the whole cue of a slow drift."""
    first, middle, last = torch.gather(levels[:, None].expand(-1, tuples.shape[1], -1), 2, tuples).unbind(2)
    return ((middle - first) * (last - middle) > 0).numpy()


def cue_accuracy(batch: object, levels: torch.Tensor) -> float:
    """Balanced accuracy of saying "in order" where `levels` are monotone."""
    said, labels = monotone(levels, batch.inputs["tuples"]), batch.targets.numpy()
    return float((said[labels == 1].mean() + (~said[labels == 0]).mean()) / 2)


def test_colour_jitter_hides_a_drift_of_exposure(sidecar: Callable, batch_of: Callable) -> None:
    def brighter(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to((80 + frames)[:, None, None, None].astype(np.uint8), (5, 64, 64, 3)).copy()

    clips = [sidecar(number) for number in range(300)]
    shared = replace(SMALL, positive=0.5, independent_jitter=False)
    off, on = (
        cue_accuracy(batch, batch.inputs["frame"].mean((2, 3, 4)))
        for batch in (
            batch_of(task, clips, paint=brighter)
            for task in (shared, replace(shared, independent_jitter=True))
        )
    )
    assert off > 0.97 and on < 0.6


def test_camera_shift_hides_a_pan_in_so_far_as_it_is_longer(sidecar: Callable, batch_of: Callable) -> None:
    def panning(pixels: float) -> Callable:
        """A ramp from left to right, panned by `pixels` between a and e, which lie 37 frames apart."""

        def paint(clip: object, frames: np.ndarray) -> np.ndarray:
            ramp = np.arange(64)[None] * 2.0 + (frames * 2.0 * pixels / 37)[:, None]
            return np.broadcast_to(ramp.round().astype(np.uint8)[:, None, :, None], (5, 64, 64, 3)).copy()

        return paint

    def leak(shift: int, pixels: float) -> float:
        task = replace(PLAIN, positive=0.5, camera_shift=shift)
        batch = batch_of(task, clips, paint=panning(pixels))
        return cue_accuracy(batch, batch.inputs["frame"].mean((2, 3, 4)))

    clips = [sidecar(number) for number in range(600)]
    assert leak(0, 4) > 0.97
    assert abs(leak(16, 4) - 0.5) < 0.04
    assert leak(16, 16) > 0.56, "a shift that is only as long as the pan leaves a part of the cue"


def test_the_default_moves_frames_four_times_as_far_as_a_camera_of_4_tenths_of_a_pixel_a_frame() -> None:
    task = ShuffleAndLearn()
    # A tuple reaches from a to d, or from b to e.
    frames = 25 * (task.tau_max_seconds + task.tau_min_seconds)
    assert task.camera_path == "own" and task.camera_shift >= 4 * 0.38 * frames


def test_frames_have_sizes_of_their_own_where_zooms_are_guarded(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = [sidecar(number) for number in range(20)]
    facts = batch_of(replace(SMALL, camera_zoom=0.5), clips).facts
    assert facts["crop_height"].shape == (20, 5) and (np.ptp(facts["crop_height"], axis=1) > 0).all()
    assert facts["crop_height"].min() > 48 / 1.5 and facts["crop_height"].max() <= 48
    assert "crop_height" not in batch_of(SMALL, clips).facts


@pytest.mark.parametrize(("path", "kind"), [("own", "f"), ("whole", "i"), ("steady", "f")])
def test_cuts_lie_where_the_made_up_camera_looks(
    sidecar: Callable, batch_of: Callable, path: str, kind: str
) -> None:
    facts = batch_of(replace(SMALL, camera_path=path), [sidecar(number) for number in range(20)]).facts
    assert facts["crop_left"].dtype.kind == kind
    speed = np.diff(facts["crop_left"], axis=1) / np.diff(facts["seconds"], axis=1)
    assert (np.ptp(speed, axis=1).max() < 0.1) == (path == "steady")


def test_the_flip_is_shared_and_colours_are_not(sidecar: Callable, batch_of: Callable) -> None:
    facts = batch_of(SMALL, [sidecar(n) for n in range(30)]).facts
    assert facts["flip"].shape == (30,) and 0 < facts["flip"].mean() < 1
    assert (np.ptp(facts["brightness"], axis=1) > 0).all()
    assert (facts["window_left"].shape, facts["crop_left"].shape) == ((30,), (30, 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 200}, "crop = 200: must lie between 16 and 128"),
        ({"camera_shift": 49}, "camera_shift = 49: must lie between 0 and 48"),
        ({"camera_path": "drunk"}, "camera_path = 'drunk'"),
        ({"positive": 1.5}, "positive = 1.5"),
        ({"tau_max_seconds": 0}, "tau_max_seconds = 0"),
        ({"tuples": 0}, "tuples = 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShuffleAndLearn(**settings)


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
    # Two change which question is asked, one costs more than decoding, and zooms are rarer than pans.
    off = {name for name, words in ShuffleAndLearn().guards.items() if words.startswith("off")}
    assert off == {"same_times", "gop_phase", "stabilise", "synthetic_camera"}


def test_stabilised_clips_stand_still_and_those_that_cannot_have_no_targets(
    sidecar: Callable, batch_of: Callable
) -> None:
    ground = np.random.default_rng(0).normal(size=(16, 40)).repeat(8, 0).repeat(8, 1)

    def panning(clip: object, frames: np.ndarray) -> np.ndarray:
        # Clips of odd number pan by two pixels a frame, which no window with 16 pixels of room can follow.
        speed = 2.0 if int(clip.source.id, 16) % 2 else 0.25
        starts = 100 + np.round(speed * (frames - frames[2])).astype(int)
        cuts = np.stack([ground[:128, start : start + 128] for start in starts])
        return np.repeat((128 + 30 * cuts).clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)

    task = replace(PLAIN, window=128, crop=112, size=64, independent_jitter=False, stabilise=True)
    clips = [sidecar(number) for number in range(8)]
    followed, still = (
        batch_of(each, clips, paint=panning) for each in (task, replace(task, stabilise=False))
    )
    slow = torch.arange(8) % 2 == 0
    assert (followed.targets[slow] >= 0).all() and (followed.targets[~slow] == -1).all()
    assert (still.targets >= 0).all()

    def unrest(batch: object) -> float:
        frames = batch.inputs["frame"][slow]
        return float((frames - frames[:, 2:3]).abs().mean())

    assert unrest(followed) < 0.5 * unrest(still)


@pytest.mark.parametrize("same_times", [True, False])
def test_same_times_make_both_classes_of_the_same_moments(
    sidecar: Callable, batch_of: Callable, same_times: bool
) -> None:
    task = replace(SMALL, positive=0.5, same_times=same_times)
    batch = batch_of(task, [sidecar(number) for number in range(50)])
    tuples, in_order = batch.inputs["tuples"].numpy(), batch.targets.numpy() == 1
    moments = {label: set(map(tuple, np.sort(tuples[in_order == label]).tolist())) for label in (True, False)}
    assert (moments[True] == moments[False]) == same_times
    seen = set(map(tuple, tuples[~in_order].tolist()))
    wanted = {(2, 1, 3), (3, 1, 2), (1, 3, 2), (2, 3, 1)}
    assert (seen == wanted) == same_times
    assert set(map(tuple, tuples[in_order].tolist())) == {(1, 2, 3), (3, 2, 1)}


@pytest.mark.parametrize("gop_phase", [True, False])
def test_drawn_phases_tell_nothing_of_each_other(
    sidecar: Callable, batch_of: Callable, gop_phase: bool
) -> None:
    task = replace(SMALL, gop_phase=gop_phase)
    facts = batch_of(task, [sidecar(number, frames=120) for number in range(600)]).facts
    frames, phases = facts["frames"], facts["key_distance"]
    assert (np.diff(frames, axis=1) > 0).all() and (phases == frames % 16).all()
    steps = (phases[:, 1] - phases[:, 0]) % 16
    counts = np.bincount(steps, minlength=16)
    if not gop_phase:
        assert counts.max() == 600, "without it b is a fixed step behind a"
        return
    expected = 600 / 16
    assert ((counts - expected) ** 2 / expected).sum() < 40, "chi squared of 15 degrees of freedom"
