"""The table of tasks: names, settings, and a task that comes from outside."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards import GUARDS
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan, Window
from unreel.pipelines.pretext import TASKS, Needs, PretextBatch, PretextTask, make_task
from unreel.shards.catalogue import Catalogue
from unreel.shards.sample import Sidecar


def test_names_are_those_of_the_classes() -> None:
    for name, task in TASKS.items():
        assert task.name == name and isinstance(make_task(name), PretextTask)


def test_settings_reach_the_task() -> None:
    assert make_task("correspondence", group=8).needs.group == 8


def test_settings_have_the_type_of_their_field() -> None:
    assert make_task("shuffle_and_learn", tau_max_seconds=1).tau_max_seconds == 1.0
    with pytest.raises(ValueError, match=r"tuples = 2\.5: Expected `int`"):
        make_task("shuffle_and_learn", tuples=2.5)
    with pytest.raises(ValueError, match=r"scene_cuts = 'no': Expected `bool`"):
        make_task("shuffle_and_learn", scene_cuts="no")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'shuffle_and_learn'"):
        make_task("shuffle-and-learn")
    with pytest.raises(ValueError, match="no setting 'tau_max': did you mean 'tau_max_seconds'"):
        make_task("shuffle_and_learn", tau_max=3)


def test_every_guard_is_used_by_a_task() -> None:
    assert {name for task in TASKS for name in make_task(task).guards} == set(GUARDS)


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Tell a clip's first frame made darker from one left alone."""

    name: ClassVar[str] = "brightness"
    window: int = 64

    @property
    def needs(self) -> Needs:
        return Needs(video=True, min_size=(self.window, self.window))

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        darker = bool(draws.chance("dark", 0.5)[0])
        window = Window(top=0, left=0, height=self.window, width=self.window)
        return Plan(frames=np.zeros(1, np.int32), window=window, facts={"darker": darker})

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        assert media.frames is not None
        darker = media.valid.new_tensor(media.fact("darker"))
        frames = media.frames[:, 0].permute(0, 3, 1, 2).float() / 255
        return PretextBatch(
            inputs={"frame": frames * (1 - 0.5 * darker.float())[:, None, None, None]},
            targets=darker.long(),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )


def test_a_task_from_outside_needs_nothing_but_its_name(
    tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "brightness", Brightness)
    task = make_task("brightness", window=96)
    loader = Loader(tiny_catalogue, task, batch_size=8, seed=1, backend="packets")
    batch = loader.batch(0)
    assert batch.inputs["frame"].shape == (8, 3, 96, 96) and batch.valid.all()
    means = batch.inputs["frame"].mean((1, 2, 3))
    assert means[batch.targets == 1].max() < means[batch.targets == 0].max()
