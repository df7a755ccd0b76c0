"""Sync offset: every offset as often, sounds at their times, and what the target does not follow."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import SyncOffset
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import frame_to_audio

SMALL = SyncOffset(frames=3, max_offset=6, windows=3, stride=2, window=64, crop=56, size=16)


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 4))
    assert batch.inputs["video"].shape == (4, 3, 3, 3, 16, 16)
    assert batch.inputs["audio"].shape == (4, 17, 1, 64, 12)
    assert batch.inputs["candidates"].shape == (4, 3, 13)
    assert batch.targets.shape == (4,) and batch.targets.dtype == torch.int64
    assert all(len(fact) == 4 for fact in batch.facts.values())


def test_every_offset_is_right_as_often_and_places_do_not_tell_which(sidecar: Callable) -> None:
    plans = [SMALL.plan(sidecar(0, frames=90), Draws.of(1, SMALL.name, [n])).facts for n in range(2600)]
    targets = np.array([plan["target"] for plan in plans])
    first = np.array([plan["first"] for plan in plans])
    counts = np.bincount(targets, minlength=13)
    assert np.abs(counts - 200).max() < 5 * 200**0.5
    assert abs(np.corrcoef(targets, first)[0, 1]) < 4 / 2600**0.5


def test_the_middle_is_right_where_offsets_are_measured(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(replace(SMALL, any_offset=False), clips_of(sidecar, 8))
    assert (batch.targets == 6).all()


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1), (15, 1)])
def test_the_right_candidate_starts_with_its_clip(sidecar: Callable, rate: tuple[int, int]) -> None:
    clip = sidecar(frames=90, rate=rate)
    for position in range(30):
        plan = SMALL.plan(clip, Draws.of(1, SMALL.name, [position]))
        for number, candidates in enumerate(SMALL._candidates(1)[0]):
            right = plan.sound.start + plan.facts["starts"][candidates[plan.facts["target"]]]
            frame = int(plan.frames[number * SMALL.stride])
            assert right == frame_to_audio(frame, 48_000, clip.video.frame_rate)
        assert plan.facts["starts"][-1] + round(3 * 0.04 * 48_000) <= plan.sound.length


def test_clips_of_a_row_are_the_frames_of_their_steps(sidecar: Callable, film: Callable) -> None:
    task = replace(SMALL, crop=64, size=64, flip=0, shift=0, saturation=0)
    media, draws = film(task, clips_of(sidecar, 2))
    batch = task.build(media, draws)
    mean = media.frames.float().mean((2, 3, 4))
    for number in range(3):
        shown = batch.inputs["video"][:, number].mean((1, 3, 4))
        expected = mean[:, 2 * number : 2 * number + 3]
        assert np.corrcoef(shown.numpy().ravel(), expected.numpy().ravel())[0, 1] > 0.999


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001)])
def test_every_sound_begins_at_its_step(sidecar: Callable, film: Callable, rate: tuple[int, int]) -> None:
    """A click at the start of one step is heard in the first columns of that step's sound and of no other's."""
    task, clip = replace(SMALL, gain=0), sidecar(0, frames=90, rate=rate)
    plan = task.plan(clip, Draws.of(7, task.name, [0]))
    for step in (0, 5, 12):
        at = plan.sound.start + int(plan.facts["starts"][step])

        def click(_: object, start: int, length: int, at: int = at) -> np.ndarray:
            wave = np.zeros(length, np.float32)
            wave[at - start : at - start + 480] = 0.9
            return wave

        batch = task.build(*film(task, [clip], sing=click))
        loud = batch.inputs["audio"][0, :, 0].mean(1)
        assert int(loud[:, :2].amax(1).argmax()) == step
        assert (loud[step, :2].max() - loud[step, 6:].max()) > 0.5


def test_rows_do_not_know_of_each_other(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 6)
    whole, part = batch_of(SMALL, clips), batch_of(SMALL, clips[2:4], positions=range(2, 4))
    for name, value in part.inputs.items():
        assert torch.equal(value, whole.inputs[name][2:4]), name
    assert torch.equal(part.targets, whole.targets[2:4])


def test_clips_that_do_not_fit_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    def plan(task: SyncOffset, **settings: object) -> None:
        task.plan(sidecar(0, **settings), Draws.of(1, task.name, [0]))

    with pytest.raises(PlanImpossible, match=r"clip-00000: 15 frames hold no 0\.81 s"):
        plan(SMALL, frames=15)
    with pytest.raises(PlanImpossible, match=r"cuts at \[10, 20, 30\]"):
        plan(SMALL, frames=40, cuts=(10, 20, 30))
    with pytest.raises(
        PlanImpossible, match="takes picture and sound of 16000 Hz, found a picture and 48000 Hz"
    ):
        plan(replace(SMALL, audio_rate=16_000))
    plan(replace(SMALL, scene_cuts=False), frames=40, cuts=(10, 20, 30))


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 2)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (2, 12)]
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"frames": 1}, "frames = 1"), ({"max_offset": 0}, "max_offset = 0"), ({"crop": 129}, "crop = 129")],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyncOffset(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
