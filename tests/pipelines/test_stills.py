"""Stills: planned evenly, in the middle, where it is loudest; built without augmentation."""

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.ops import denormalise
from unreel.pipelines.plan import check_plan
from unreel.pipelines.pretext.task import Look, PretextTask
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import PlanImpossible
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

DRAWS = Draws.of(0, "stills", 0)


@pytest.fixture
def sidecars(tiny_catalogue: Catalogue) -> list[Sidecar]:
    reader = Reader(tiny_catalogue)
    return [reader.read(shard, row, members=()).sidecar for shard, row, _ in tiny_catalogue.rows()]


def test_is_a_task_that_the_loader_takes() -> None:
    assert isinstance(Stills(), PretextTask)
    assert Stills().needs.video and not Stills().needs.audio
    assert Stills(frames=0, seconds=1).needs.min_size == (0, 0)


def test_frames_are_the_middles_of_equal_stretches(sidecars: list[Sidecar]) -> None:
    stills = Stills(frames=4, crop=(96, 96), seconds=0.5)
    for sidecar in sidecars:
        if sidecar.audio is None:
            continue
        plan = stills.plan(sidecar, DRAWS)
        check_plan(plan, sidecar)
        assert sidecar.video is not None and plan.window is not None
        assert np.abs(plan.frames - (np.arange(4) + 0.5) * sidecar.video.frames / 4).max() < 1
        assert plan.window.top == (sidecar.video.height - 96) // 2
        assert plan.window.left == (sidecar.video.width - 96) // 2


def test_sound_is_taken_where_it_is_loudest(sidecars: list[Sidecar]) -> None:
    """The tiny clips are silent in their second quarter: half a second fits behind it, where all is loud."""
    stills = Stills(frames=0, seconds=0.5)
    for sidecar in (s for s in sidecars if s.audio is not None):
        sound = stills.plan(sidecar, DRAWS).sound
        ((start, stop),) = sidecar.facts.silence
        assert sound is not None
        overlap = min(sound.start + sound.length, stop) - max(sound.start, start)
        assert overlap < 0.05 * sound.length


def test_a_sample_without_sound_cannot_be_planned(sidecars: list[Sidecar]) -> None:
    silent = next(sidecar for sidecar in sidecars if sidecar.audio is None)
    with pytest.raises(PlanImpossible, match=silent.key):
        Stills(frames=0, seconds=0.5).plan(silent, DRAWS)


def test_pictures_come_as_they_were_decoded(tiny_catalogue: Catalogue) -> None:
    stills = Stills(frames=2, crop=(96, 96), size=(96, 96))
    with Loader(tiny_catalogue, stills, batch_size=4, seed=0, split=None, backend="packets") as loader:
        media, batch = loader.media(0), loader.batch(0)
    assert media.frames is not None
    assert batch.inputs["frame"].shape == (4, 2, 3, 96, 96)
    assert batch.targets.shape == (4, 0) and batch.targets.dtype == torch.int64
    shown = denormalise(batch.inputs["frame"]).int()
    assert (shown - media.frames.int()).abs().max() <= 1


def test_clips_lie_about_their_moments(sidecars: list[Sidecar]) -> None:
    stills = Stills.of(Look(crop=96, size=48, frames=4, step_seconds=0.08), moments=3)
    sidecar = next(sidecar for sidecar in sidecars if sidecar.video is not None)
    assert sidecar.video is not None
    plan = stills.plan(sidecar, DRAWS)
    check_plan(plan, sidecar)
    moments, clips = np.asarray(plan.facts["moments"]), plan.frames.reshape(3, 4)
    step = round(0.08 * sidecar.video.frame_rate)
    assert (np.diff(clips, axis=1) == step).all()
    assert (clips[:, 0] <= moments).all() and (moments <= clips[:, -1]).all()


def test_clips_come_with_time_behind_the_channels(tiny_catalogue: Catalogue) -> None:
    stills = Stills(frames=2, clip=3, step_seconds=0.04, crop=(96, 96), size=(32, 32))
    with Loader(tiny_catalogue, stills, batch_size=2, seed=0, backend="packets", prefetch=0) as loader:
        batch = loader.batch(0)
    assert batch.inputs["video"].shape == (2, 2, 3, 3, 32, 32)
    singles = Stills(frames=6, crop=(96, 96), size=(32, 32))
    assert singles.look("frame").frames == 1 and stills.look("video").frames == 3
    with pytest.raises(ValueError, match="choose one of frame, video, audio"):
        stills.look("smell")
