"""Correspondence: balance, what classes share, partners, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import Correspondence
from unreel.shards.errors import PlanImpossible

SMALL = Correspondence(window=64, crop=56, size=32)
SHORT = replace(SMALL, audio_seconds=0.2)
"""For tests that need many rows."""


def picture(sidecar: object, frames: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(int(sidecar.source.id, 16))
    return np.broadcast_to(rng.integers(0, 256, (64, 64, 3), np.uint8), (len(frames), 64, 64, 3)).copy()


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    for features, shape in (("logmel", (64, 100)), ("spectrogram", (257, 200))):
        batch = batch_of(replace(SMALL, features=features), clips_of(sidecar, 16), paint=picture)
        assert batch.inputs["frame"].shape == (16, 3, 32, 32)
        assert batch.inputs["audio"].shape == (16, 1, *shape)
        assert batch.targets.shape == (16,) and batch.targets.dtype == torch.int64
        assert all(len(fact) == 16 for fact in batch.facts.values())


def test_labels_are_balanced_in_every_group(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SHORT, clips_of(sidecar, 64), paint=picture)
    assert batch.targets.view(4, 16).sum(1).tolist() == [8] * 4 and batch.valid.all()


def test_a_row_hears_its_partner_and_sees_itself(sidecar: Callable, batch_of: Callable) -> None:
    task = replace(SHORT, gain=0)
    clips = clips_of(sidecar, 32)
    batch = batch_of(task, clips, paint=picture)
    partner = batch.facts["partner"]
    assert ((partner == np.arange(32)) == batch.targets.numpy().astype(bool)).all()
    levels = batch.facts["level"]
    alone = np.array([np.random.default_rng(int(clip.source.id, 16)).uniform(0.01, 0.3) for clip in clips])
    np.testing.assert_allclose(levels, alone[partner], rtol=0.03)


def test_neither_modality_alone_tells_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SHORT, clips_of(sidecar, 960), paint=picture)
    labels = batch.targets.numpy()
    seen = batch.inputs["frame"].flatten(2)
    heard = batch.inputs["audio"].flatten(1)
    views = {
        "frame": torch.cat([seen.mean(2), seen.std(2)], 1).numpy(),
        "sound": torch.stack([heard.mean(1), heard.std(1), heard.amax(1)], 1).numpy(),
        "facts of sound": np.stack([batch.facts[n] for n in ("audio_start", "level", "sounding", "gain")], 1),
    }
    for name, cues in views.items():
        cues = (cues - cues.mean(0)) / (cues.std(0) + 1e-9)
        probe = LogisticRegression().fit(cues[:480], labels[:480])
        assert abs(probe.score(cues[480:], labels[480:]) - 0.5) < 3 * 0.5 / 480**0.5, name


def test_negatives_with_a_sampler_of_their_own_are_told_by_their_sound_alone(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 480, silence=((0, 96_000),))

    def told(task: Correspondence) -> float:
        """How often silence alone says that a pair is a negative, less how often it says so of positives."""
        batch = batch_of(task, clips, paint=picture)
        silent, positive = batch.facts["sounding"] < SHORT.min_sound, batch.targets.numpy() == 1
        return float(silent[~positive].mean() - silent[positive].mean())

    assert told(replace(SHORT, partner_swap=False)) > 0.2
    assert told(SHORT) == 0


def phase_probe(batch: object) -> float:
    """Held-out accuracy of the label from the sound's start against the frame grid alone."""
    phase = batch.facts["audio_phase"].astype(float)
    cues = np.stack([phase != 0, np.abs(phase) / 1000, phase / 1000], 1)
    labels, half = batch.targets.numpy(), len(phase) // 2
    return float(LogisticRegression().fit(cues[:half], labels[:half]).score(cues[half:], labels[half:]))


def test_each_form_of_the_phase_guard_closes_what_no_guard_leaves_open(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 480)
    naive = replace(SHORT, audio_grid=False, misalignment_seconds=0)
    assert phase_probe(batch_of(naive, clips, paint=picture)) > 0.95
    for guard in ({"audio_grid": True}, {"misalignment_seconds": 0.5}):
        accuracy = phase_probe(batch_of(replace(naive, **guard), clips, paint=picture))
        assert abs(accuracy - 0.5) < 3 * 0.5 / 240**0.5, guard


def test_misalignment_is_the_same_in_both_classes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SHORT, clips_of(sidecar, 320, frames=150), paint=picture)
    moved, positive = batch.facts["misaligned_seconds"], batch.targets.numpy() == 1
    assert np.abs(moved).max() <= 1.0 and np.abs(moved).max() > 0.9
    assert abs(moved[positive].mean() - moved[~positive].mean()) < 4 * moved.std() * (2 / 160) ** 0.5
    assert abs(moved[positive].std() - moved[~positive].std()) < 0.15


def test_two_clips_of_one_source_are_never_a_negative_that_counts(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 160, per_source=5)
    batch = batch_of(SHORT, clips, paint=picture)
    for row in np.flatnonzero((batch.targets == 0).numpy() & batch.valid.numpy()):
        assert batch.sources[row] != batch.sources[batch.facts["partner"][row]]
    assert batch.valid.float().mean() > 0.95
    lonely = batch_of(SHORT, [sidecar(0)] * 16, paint=picture)
    assert torch.equal(lonely.valid, lonely.targets == 1)


def test_a_failed_partner_invalidates_its_pair_and_nothing_else(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 32)
    whole = batch_of(SMALL, clips, paint=picture)
    partner = whole.facts["partner"]
    giver = int(np.flatnonzero(partner != np.arange(32))[0])
    hurt = batch_of(SMALL, clips, paint=picture, failed=[giver])
    listeners = np.flatnonzero(partner == giver)
    assert len(listeners) == 1 and listeners[0] != giver
    assert set(np.flatnonzero(~hurt.valid.numpy())) == {giver, *listeners}
    others = hurt.valid
    for name in ("frame", "audio"):
        assert torch.equal(hurt.inputs[name][others], whole.inputs[name][others])
    assert torch.equal(hurt.targets, whole.targets)


def test_groups_do_not_depend_on_the_batch_around_them(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 64)
    whole = batch_of(SMALL, clips, paint=picture)
    for rows in (range(16, 32), range(32, 64)):
        part = batch_of(SMALL, [clips[row] for row in rows], positions=rows, paint=picture)
        for name in ("frame", "audio"):
            assert torch.equal(part.inputs[name], whole.inputs[name][list(rows)]), name
        assert torch.equal(part.targets, whole.targets[list(rows)])


def test_rows_that_are_no_whole_group_are_refused(sidecar: Callable, batch_of: Callable) -> None:
    with pytest.raises(ValueError, match="whole aligned groups"):
        batch_of(SMALL, clips_of(sidecar, 24), paint=picture)


def test_sound_is_drawn_where_it_is_not_silent_unless_the_guard_is_off(sidecar: Callable) -> None:
    clip = sidecar(0, frames=250, silence=((0, 240_000), (400_000, 480_000)))
    shares = []
    for task in (SMALL, replace(SMALL, min_sound=0)):
        plans = [task.plan(clip, Draws.of(1, task.name, [position])) for position in range(100)]
        shares.append(min(plan.facts["sounding"] for plan in plans))
    assert shares[0] >= 0.25 and shares[1] == 0


def test_clips_without_enough_sound_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    with pytest.raises(
        PlanImpossible, match=r"clip-00000: no 1 s of its 3\.00 s of sound is 25% above silence"
    ):
        SMALL.plan(sidecar(0, silence=((0, 144_000),)), Draws.of(1, SMALL.name, [0]))
    with pytest.raises(PlanImpossible, match="44100 Hz"):
        replace(SMALL, audio_rate=44_100).plan(sidecar(0), Draws.of(1, SMALL.name, [0]))


def test_gain_never_clips(sidecar: Callable, batch_of: Callable) -> None:
    def loud(clip: object, start: int, length: int) -> np.ndarray:
        return np.sin(np.arange(length) * 0.05).astype(np.float32) * 0.98

    batch = batch_of(SHORT, clips_of(sidecar, 64), paint=picture, sing=loud)
    assert batch.facts["gain"].max() <= 1 / 0.979 and batch.facts["gain"].min() < 0.92


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SHORT.build(*film(SHORT, clips_of(sidecar, 16), paint=picture))
    counts = []
    for rows in (16, 64):
        media, draws = film(SHORT, clips_of(sidecar, rows), paint=picture)
        counts.append(calls(SHORT.build, media, draws))
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "mfcc"}, "features = 'mfcc': choose one of logmel, spectrogram"),
        ({"group": 7}, "group = 7: must be even"),
        ({"crop": 129}, "crop = 129"),
        ({"min_sound": 2}, "min_sound = 2"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Correspondence(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
