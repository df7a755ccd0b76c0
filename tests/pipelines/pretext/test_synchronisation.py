"""Synchronisation: balance of labels and kinds, what classes share, the curriculum, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import PretextBatch, Synchronisation
from unreel.pipelines.pretext.synchronisation import KINDS
from unreel.shards.errors import PlanImpossible

SMALL = Synchronisation(
    frames=4,
    step_seconds=0.04,
    window=64,
    crop=56,
    size=16,
    hard=0.25,
    super_hard=0.25,
    min_shift_seconds=0.08,
)
HARD = replace(SMALL, hard=1.0, super_hard=0.0, hard_gap_seconds=0.3)
"""All negatives hear their own clip."""


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def told(batch: PretextBatch, cues: np.ndarray) -> float:
    """Held-out accuracy of the label from `cues`, in standard errors above chance."""
    labels, half = batch.targets.numpy(), len(batch) // 2
    cues = StandardScaler().fit_transform(cues.reshape(len(batch), -1))
    cues = np.concatenate([cues, cues**2], 1)
    score = LogisticRegression(max_iter=500).fit(cues[:half], labels[:half]).score(cues[half:], labels[half:])
    return float((score - 0.5) / (0.5 / half**0.5))


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 16))
    assert batch.inputs["video"].shape == (16, 3, 4, 16, 16)
    assert batch.inputs["audio"].shape == (16, 1, 64, 16)
    assert batch.targets.dtype == torch.int64 and batch.valid.all()
    assert all(len(fact) == 16 for fact in batch.facts.values())


def test_labels_and_kinds_are_balanced(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 320))
    kind, positive = batch.inputs["kind"], batch.targets == 1
    assert (batch.targets.view(-1, 16).sum(1) == 8).all()
    for number in range(len(KINDS)):
        of_kind = kind == number
        assert of_kind.any() and int((of_kind & positive).sum()) * 2 == int(of_kind.sum())


def test_what_a_row_hears_is_what_its_label_says(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 160))
    facts, positive = batch.facts, batch.targets.numpy() == 1
    grid = facts["clip_start"] * 1920
    own = facts["partner"] == batch.positions
    apart = np.abs(facts["shift_frames"])
    assert (facts["audio_start"][positive] == grid[positive]).all() and own[positive].all()
    easy, hard, closest = (~positive & (facts["kind"] == number) for number in range(3))
    assert not own[easy].any() and not apart[easy].any()
    assert own[hard].all() and (apart[hard] >= 4 + 13).all(), "4 frames of clip, 12.5 of gap"
    assert own[closest].all() and (apart[closest] >= 2).all() and (apart[closest] < 4).all()
    moved = facts["audio_start"] - grid
    assert (moved[hard | closest] == 1920 * facts["shift_frames"][hard | closest]).all()


def test_neither_modality_nor_any_place_tells_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 640))
    seen, heard = batch.inputs["video"].flatten(2), batch.inputs["audio"].flatten(1)
    cues = {
        "picture": torch.cat([seen.mean(2), seen.std(2)], 1).numpy(),
        "sound": torch.stack([heard.mean(1), heard.std(1), heard.amax(1)], 1).numpy(),
        "places": np.stack([batch.facts["clip_start"], batch.facts["audio_start"]], 1).astype(float),
        "phase, level": np.stack(
            [batch.facts[n] for n in ("audio_phase", "level", "sounding", "gain")], 1
        ).astype(float),
    }
    for name, cue in cues.items():
        assert abs(told(batch, cue)) < 3.5, name


def test_later_sound_is_told_by_its_place_unless_guarded(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 480)
    for task, open_ in ((replace(HARD, both_ways=False), True), (HARD, False)):
        batch = batch_of(task, clips)
        assert (told(batch, batch.facts["audio_start"].astype(float)) > 5) == open_


def test_phase_is_told_unless_guarded(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 480)
    for task, open_ in ((replace(SMALL, audio_grid=False), True), (SMALL, False)):
        batch = batch_of(task, clips)
        assert (told(batch, (batch.facts["audio_phase"] != 0).astype(float)) > 5) == open_


def test_hard_negatives_come_when_the_curriculum_says(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 64)
    task = replace(SMALL, hard_after=32)
    batch = batch_of(task, clips)
    assert not batch.facts["kind"][:32].any() and batch.facts["kind"][32:].any()
    # A resumed run sees what the unbroken one saw: only positions count.
    again = batch_of(task, clips[32:], positions=range(32, 64))
    for name, value in again.inputs.items():
        assert torch.equal(value, batch.inputs[name][32:]), name
    assert torch.equal(again.targets, batch.targets[32:])


def test_groups_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 48)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[16:32], positions=range(16, 32))
    assert torch.equal(part.inputs["video"], whole.inputs["video"][16:32])
    assert torch.equal(part.inputs["audio"], whole.inputs["audio"][16:32])


def test_a_failed_partner_invalidates_its_pair_and_nothing_else(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 32)
    partner = batch_of(SMALL, clips).facts["partner"]
    giver = int(np.flatnonzero(partner != np.arange(32))[0])
    hurt = batch_of(SMALL, clips, failed=[giver])
    assert set(np.flatnonzero(~hurt.valid.numpy())) == {giver, *np.flatnonzero(partner == giver)}


def test_two_clips_of_one_source_are_never_an_easy_negative_that_counts(
    sidecar: Callable, batch_of: Callable
) -> None:
    lonely = batch_of(SMALL, [sidecar(0)] * 16)
    easy = (lonely.targets == 0) & (lonely.inputs["kind"] == 0)
    assert torch.equal(lonely.valid, ~easy)


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1), (15, 1)])
def test_frames_lie_at_their_times_at_any_rate(sidecar: Callable, rate: tuple[int, int]) -> None:
    clip, task = sidecar(frames=90, rate=rate), replace(SMALL, frames=8, step_seconds=0.08)
    for position in range(20):
        plan = task.plan(clip, Draws.of(1, task.name, [position]))
        seconds = (plan.frames - plan.frames[0]) * rate[1] / rate[0]
        assert np.abs(seconds - 0.08 * np.arange(8)).max() <= 0.5 * rate[1] / rate[0] + 1e-6
        assert plan.sound.length == round(0.64 * 48_000)


def test_clips_that_are_too_short_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    short = sidecar(0, frames=20)
    with pytest.raises(
        PlanImpossible, match=r"no two stretches of 0\.16 s in its 20 frames are 17 frames apart, for a hard"
    ):
        for position in range(64):
            SMALL.plan(short, Draws.of(1, SMALL.name, [position]))
    assert (
        SMALL.needs.min_seconds == pytest.approx(0.82)
        and replace(SMALL, hard=0, super_hard=0).needs.min_seconds == 0.16
    )


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 16)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (16, 64)]
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "mfcc"}, "features = 'mfcc': choose one of logmel, spectrogram"),
        ({"group": 7}, "group = 7: must be even"),
        ({"hard": 0.8, "super_hard": 0.3}, r"super_hard = 0\.3: must lie between 0 and 0\.2"),
        ({"min_shift_seconds": 9}, "min_shift_seconds = 9"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Synchronisation(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
