"""The twin is asked the very questions that the original is asked, though nothing moves in it."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext import ShuffleAndLearn
from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text
from unreel.shards.errors import PlanImpossible
from unreel.shards.reader import Reader
from unreel.shards.sample import pack_column
from unreel.shards.writer import ShardWriter
from unreel.tools.twin import transplant, with_settings

TASK = ShuffleAndLearn(window=96, crop=80, size=32, camera_shift=4)
IDENTITY = {"builder": "test_twin.py"}


@pytest.fixture(scope="module")
def twin(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The tiny data set under other keys and source ids, and with sidecars that know of no motion."""
    folder = tmp_path_factory.mktemp("twin")
    reader = Reader(tiny_catalogue)
    with ShardWriter(folder / "twin-0.tar", identity=identity_text(IDENTITY)) as writer:
        for shard, row, _ in tiny_catalogue.rows():
            sample = reader.read(shard, row)
            sidecar = sample.sidecar
            assert sidecar.video is not None
            still = pack_column("motion", np.zeros(sidecar.video.frames))
            other = msgspec.structs.replace(
                sidecar,
                key=f"still-{sidecar.key}",
                source=msgspec.structs.replace(sidecar.source, id=f"f{sidecar.source.id[1:]}"),
                facts=msgspec.structs.replace(sidecar.facts, motion=still),
            )
            members = {name: bytes(view) for name, view in sample.members.items() if name != "json"}
            writer.add(other, members)
        writer.commit()
    return compile_catalogue(folder, identity=IDENTITY, profile={"name": "tiny"})


def loader(catalogue: Catalogue, task: ShuffleAndLearn) -> Loader:
    return Loader(catalogue, task, batch_size=4, seed=0, split=None, backend="packets", prefetch=0)


def test_still_clips_are_selected_and_planned_like_their_originals(
    tiny_catalogue: Catalogue, twin: Catalogue
) -> None:
    with pytest.raises(ValueError, match="min_motion"):
        loader(twin, TASK)
    moved = transplant(TASK, tiny_catalogue.folder)
    assert moved.name == TASK.name and moved.needs.min_motion == 0
    originals = {sample.key: sample for sample in sidecars(tiny_catalogue)}
    for sidecar in sidecars(twin):
        draws = Draws.of(0, TASK.name, 7)
        plan, original = (
            moved.plan(sidecar, draws),
            TASK.plan(originals[sidecar.key.removeprefix("still-")], draws),
        )
        np.testing.assert_array_equal(plan.frames, original.frames)
        assert plan.window == original.window


def test_batches_hold_the_same_tuples(tiny_catalogue: Catalogue, twin: Catalogue) -> None:
    """All frames are those of the originals here, so whole batches can be compared, clip by clip."""
    moved = transplant(TASK, tiny_catalogue.folder)
    with loader(twin, moved) as opened:
        batch = opened.batch(0)
    assert batch.valid.all() and (batch.targets >= 0).all()
    media_task = with_settings(TASK, min_difference=0.0)
    with loader(tiny_catalogue, media_task) as opened:
        same = opened.batch(0)
    assert torch.equal(batch.inputs["tuples"], same.inputs["tuples"])
    assert torch.equal(batch.targets, same.targets)


def test_a_moment_without_original_cannot_be_planned(tiny_catalogue: Catalogue, twin: Catalogue) -> None:
    moved = transplant(TASK, tiny_catalogue.folder)
    stranger = next(sidecars(twin))
    stranger = msgspec.structs.replace(
        stranger, source=msgspec.structs.replace(stranger.source, name="elsewhere.mp4")
    )
    with pytest.raises(PlanImpossible, match=r"no original of elsewhere\.mp4"):
        moved.plan(stranger, Draws.of(0, TASK.name, 0))


def test_guard_that_drops_still_clips_is_off_in_the_twin(tiny_catalogue: Catalogue) -> None:
    moved = transplant(TASK, tiny_catalogue.folder)
    assert TASK.min_difference > 0
    assert moved.task.min_difference == 0  # type: ignore[attr-defined]


def test_settings_that_a_task_lacks_are_left_out() -> None:
    assert with_settings(TASK, positive=0.5, audio_rate=8000) == ShuffleAndLearn(
        window=96, crop=80, size=32, camera_shift=4, positive=0.5
    )


def sidecars(catalogue: Catalogue) -> Iterator:
    reader = Reader(catalogue)
    return (reader.read(shard, row, members=()).sidecar for shard, row, _ in catalogue.rows())
