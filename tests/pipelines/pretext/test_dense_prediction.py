"""Dense prediction: blocks, what all frames of a clip share, and what each has for itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.pretext import DensePrediction
from unreel.shards.errors import PlanImpossible

SMALL = DensePrediction(blocks=4, predicted=2, block_frames=3, window=64, crop=56, size=32)
PLAIN = replace(SMALL, brightness=0, contrast=0, saturation=0, hue=0, grey=0)


def clips_of(sidecar: Callable, count: int, **settings: object) -> list:
    return [sidecar(number, **settings) for number in range(count)]


def test_batch_has_the_promised_shapes(sidecar: Callable, batch_of: Callable) -> None:
    batch = batch_of(SMALL, clips_of(sidecar, 3))
    assert batch.inputs["video"].shape == (3, 4, 3, 3, 32, 32)
    assert batch.targets.tolist() == [[2, 3]] * 3
    assert all(len(fact) == 3 for fact in batch.facts.values())


def test_blocks_follow_each_other_without_a_gap(sidecar: Callable, batch_of: Callable) -> None:
    def clock(clip: object, frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to(frames[:, None, None, None], (len(frames), 64, 64, 3)).astype(np.uint8)

    batch = batch_of(replace(PLAIN, flip=0), clips_of(sidecar, 4), paint=clock)
    shown = batch.inputs["video"].mean(dim=(4, 5))[:, :, 0].flatten(1).numpy() * 0.229 * 255 + 0.485 * 255
    np.testing.assert_allclose(shown, batch.facts["frames"], atol=0.1)
    assert (np.diff(batch.facts["frames"], axis=1) == 3).all()


def test_geometry_is_shared_and_colour_is_each_frames_own(sidecar: Callable, batch_of: Callable) -> None:
    """Guard D6: with one change of colour a clip, following a colour would be following a motion."""
    clips = clips_of(sidecar, 32)
    facts = batch_of(SMALL, clips).facts
    for name in ("crop_top", "crop_left"):
        assert np.ptp(facts[name], axis=1).max() == 0 and np.ptp(facts[name]) > 0
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert np.ptp(facts[name], axis=1).min() > 0
    assert 0.4 < facts["grey"].mean() < 0.6
    shared = batch_of(replace(SMALL, independent_jitter=False), clips).facts
    assert all(np.ptp(shared[name], axis=1).max() == 0 for name in ("brightness", "hue", "grey"))


def test_with_the_guard_a_frames_colour_no_longer_tells_its_clip(
    sidecar: Callable, batch_of: Callable
) -> None:
    """The mean colour of the first frame against that of the last: do both come from one clip?"""

    def one_colour(clip: object, frames: np.ndarray) -> np.ndarray:
        colour = np.random.default_rng(int(clip.source.id, 16)).integers(60, 200, 3)
        return np.broadcast_to(colour, (len(frames), 64, 64, 3)).astype(np.uint8)

    clips, found = clips_of(sidecar, 128), {}
    for guarded in (True, False):
        task = replace(SMALL, independent_jitter=guarded)
        means = batch_of(task, clips, paint=one_colour).inputs["video"].mean(dim=(3, 4, 5)).numpy()
        same, other = means[:, -1] - means[:, 0], np.roll(means[:, -1], 1, axis=0) - means[:, 0]
        cues = np.abs(np.concatenate([same, other]))
        labels = np.repeat([1, 0], len(same))
        order = np.random.default_rng(0).permutation(len(labels))
        probe = LogisticRegression().fit(cues[order[:128]], labels[order[:128]])
        found[guarded] = probe.score(cues[order[128:]], labels[order[128:]])
    assert found[False] > 0.9 and found[True] < 0.8


def test_every_row_is_asked_for_the_same_blocks_and_nothing_is_drawn_twice(
    sidecar: Callable, batch_of: Callable
) -> None:
    clips = clips_of(sidecar, 8)
    whole, again = batch_of(SMALL, clips), batch_of(SMALL, clips)
    part = batch_of(SMALL, clips[3:5], positions=range(3, 5))
    assert torch.equal(whole.inputs["video"], again.inputs["video"])
    assert torch.equal(part.inputs["video"], whole.inputs["video"][3:5])
    assert len(whole.targets.unique(dim=0)) == 1


def test_clips_that_are_too_short_say_so(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="no 34 frames without a cut among its 30"):
        SMALL.plan(sidecar(0, frames=30), Draws.of(1, SMALL.name, [0]))


def test_build_has_no_loop_over_samples(sidecar: Callable, film: Callable, calls: Callable) -> None:
    counts = []
    for rows in (4, 16):
        media, draws = film(SMALL, clips_of(sidecar, rows))
        SMALL.build(media, draws)
        counts.append(calls(SMALL.build, media, draws))
    assert counts[0] == counts[1] < 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"predicted": 8}, "predicted = 8"), ({"blocks": 1}, "blocks = 1"), ({"hue": 0.7}, "hue = 0.7")],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DensePrediction(**settings)


def test_guards_are_those_that_are_listed() -> None:
    assert set(SMALL.guards) <= set(GUARDS)
