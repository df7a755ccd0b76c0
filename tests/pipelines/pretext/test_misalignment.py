"""Misalignment: one true and one shifted sound a row, from the same places, cut by one path; and what guards take away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.ops import Sounds
from unreel.pipelines.pretext import Misalignment
from unreel.shards.errors import PlanImpossible

SMALL = Misalignment(
    seconds=0.4, frames=5, min_shift_seconds=0.4, max_shift_seconds=1.6, window=64, crop=56, size=16
)


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def told(cues: np.ndarray, labels: np.ndarray) -> float:
    """Held-out accuracy of the label from one number, in standard errors above chance."""
    cues = ((cues - cues.mean()) / (cues.std() + 1e-9))[:, None]
    cues, half = np.concatenate([cues, cues**2], 1), len(labels) // 2
    score = LogisticRegression().fit(cues[:half], labels[:half]).score(cues[half:], labels[half:])
    return float((score - 0.5) / (0.5 / half**0.5))


def sing_time(sidecar: object, start: int, length: int) -> np.ndarray:
    """A ramp: each sample says where it lies in the clip."""
    return ((start + np.arange(length)) / 1e6).astype(np.float32)


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 8))
    assert batch.inputs["video"].shape == (8, 3, 5, 16, 16)
    assert batch.inputs["audio"].shape == (8, 2, 1, 64, 40)
    assert batch.targets.shape == (8, 2) and batch.targets.dtype == torch.int64
    assert all(len(fact) == 8 for fact in batch.facts.values())


def test_every_row_has_one_of_each_and_the_order_is_a_coin(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 400))
    assert (batch.targets.sum(1) == 1).all()
    assert abs(batch.targets[:, 0].float().mean() - 0.5) < 4 * 0.5 / 400**0.5


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1)])
def test_what_is_heard_is_what_the_label_says(
    sidecar: Callable, film: Callable, monkeypatch: pytest.MonkeyPatch, rate: tuple[int, int]
) -> None:
    task = replace(SMALL, gain=0)
    heard: list[torch.Tensor] = []

    def listen(sound: torch.Tensor, _features: str, _rate: int, sounds: Sounds) -> torch.Tensor:
        heard.append(sound[sounds.row[:, None], 0, sounds.start])
        return torch.zeros(*sounds.start.shape, 1, 1, 1)

    monkeypatch.setattr("unreel.pipelines.pretext.listening.show", listen)
    media, draws = film(task, clips_of(sidecar, 40, rate=rate, frames=90), sing=sing_time)
    batch = task.build(media, draws)
    begins = (heard[0] * 1e6).round().numpy()
    assert np.abs(begins - batch.facts["audio_start"]).max() <= 1, "f32 holds the ramp to a sample"
    frame = begins * rate[0] / rate[1] / 48_000
    true = np.take_along_axis(frame, batch.targets.argmax(1)[:, None].numpy(), 1)[:, 0]
    other = np.take_along_axis(frame, batch.targets.argmin(1)[:, None].numpy(), 1)[:, 0]
    assert np.abs(true - batch.facts["clip_start"]).max() < 0.01
    assert np.abs(other - batch.facts["clip_start"] - batch.facts["shift_frames"]).max() < 0.01
    apart = np.abs(batch.facts["shift_frames"]) * rate[1] / rate[0]
    assert apart.min() >= 0.4 - 1e-6 and apart.max() <= 1.6 + 1e-6


def test_no_place_level_or_phase_tells_the_label(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 480))
    labels = batch.targets.numpy().ravel()
    for name in ("audio_start", "level", "sounding", "audio_phase"):
        assert abs(told(batch.facts[name].ravel().astype(float), labels)) < 3.5, name


def test_each_guard_closes_what_is_open_without_it(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 240)
    for settings, fact in (({"both_ways": False}, "audio_start"), ({"audio_grid": False}, "audio_phase")):
        batch = batch_of(replace(SMALL, **settings), clips)
        cues = batch.facts[fact].ravel().astype(float)
        cues = (cues != 0).astype(float) if fact == "audio_phase" else cues
        assert told(cues, batch.targets.numpy().ravel()) > 4, fact


def test_rows_do_not_know_of_each_other(sidecar: Callable, batch_of: Callable) -> None:
    clips = clips_of(sidecar, 12)
    whole = batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[5:9], positions=range(5, 9))
    for name, value in part.inputs.items():
        assert torch.equal(value, whole.inputs[name][5:9]), name
    assert torch.equal(part.targets, whole.targets[5:9])


def test_a_failed_row_costs_itself(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 6), failed=[2])
    assert batch.valid.tolist() == [True, True, False, True, True, True]


def test_clips_that_are_too_short_are_refused_with_what_they_lack(sidecar: Callable) -> None:
    def plan(**settings: object) -> None:
        SMALL.plan(sidecar(0, **settings), Draws.of(1, SMALL.name, [0]))

    with pytest.raises(
        PlanImpossible, match=r"clip-00000: no two stretches of 0\.4 s within a scene that are 10 to 40"
    ):
        plan(frames=15)
    with pytest.raises(PlanImpossible, match=r"1\.20 s of sound, misalignment needs 2 s"):
        plan(frames=30)
    assert SMALL.needs.min_seconds == 2.0


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    SMALL.build(*film(SMALL, clips_of(sidecar, 4)))
    counts = [calls(SMALL.build, *film(SMALL, clips_of(sidecar, rows))) for rows in (4, 32)]
    assert counts[0] == counts[1] < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "mfcc"}, "features = 'mfcc': choose one of logmel, spectrogram"),
        ({"max_shift_seconds": 1}, r"max_shift_seconds = 1: must lie between 2\.17 and 600"),
        ({"crop": 129}, "crop = 129"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Misalignment(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
