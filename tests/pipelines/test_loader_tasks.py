"""Several tasks in one loader: each gets what its own loader gives it, from one decode; stops, ranks and failures as ever."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.epochs import Epochs
from unreel.pipelines.failures import FailurePolicy
from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.pretext import ArrowOfTime, Correspondence, ShuffleAndLearn
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import PlanImpossible, StateMismatch, TooManyFailures
from unreel.shards.sample import Sidecar


@dataclass(frozen=True)
class Showing:
    """Some frames through a window of its own, and sound; gives out what it was handed, with a number of its own."""

    name: ClassVar[str] = "showing"
    frames: int = 2
    size: int = 64
    samples: int = 0
    group: int = 2
    distinct: bool = False
    impossible: tuple[str, ...] = ()
    label: str = ""

    @property
    def needs(self) -> Needs:
        sizes = {"min_size": (self.size, self.size), "distinct_sources": self.distinct}
        return Needs(video=self.frames > 0, audio=self.samples > 0, group=self.group, **sizes)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        if sidecar.key in self.impossible:
            raise PlanImpossible(f"sample {sidecar.key}: {self.label} does not like it")
        frames = draws.integers(f"frames {self.label}", 0, sidecar.video.frames, 9)[0, : self.frames]
        top, left = draws.integers(f"corner {self.label}", 0, 8, 2)[0].tolist()
        start = int(draws.integers(f"sound {self.label}", 0, 24_000)[0])
        return Plan(
            frames=frames.astype(np.int32),
            window=Window(2 * top, 2 * left, self.size, self.size) if self.frames else None,
            sound=Span(start, self.samples) if self.samples else None,
            facts={"start": start},
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        given = {"frames": media.as_rgb().frames, "audio": media.audio}
        return PretextBatch(
            inputs={name: value for name, value in given.items() if value is not None},
            targets=torch.from_numpy(draws.integers("target", 0, 1000)),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={"start": media.fact("start")},
        )


THREE = {
    "order": Showing(frames=5, label="order"),
    "sound": Showing(frames=1, size=48, samples=9_000, group=4, label="sound"),
    "voice": Showing(frames=0, samples=4_000, label="voice"),
}


@dataclass(frozen=True)
class Joined:
    """A task that asks for what several need together, so that a loader of its own has the same samples and groups."""

    task: Any
    needs: Needs
    name: ClassVar[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def joined(task: Any, needs: Needs) -> Any:
    kind = type("Joined", (Joined,), {"name": task.name})
    return kind(task, needs)


@pytest.fixture
def make(tiny_catalogue: Catalogue) -> Iterator[Any]:
    """`make(tasks, **settings)`: a loader over the tiny data set; all are closed at the end."""
    loaders = []

    def build(tasks: Any, catalogue: Catalogue = tiny_catalogue, **settings: Any) -> Loader:
        chosen = {"batch_size": 8, "seed": 3, "split": None, "backend": "packets", **settings}
        loaders.append(Loader(catalogue, tasks, **chosen))
        return loaders[-1]

    yield build
    for loader in loaders:
        loader.close()


def take(loader: Loader, count: int) -> list[Step]:
    return list(islice(loader, count))


def equal(one: PretextBatch, other: PretextBatch) -> bool:
    """Bit for bit, facts and all."""
    assert one.inputs.keys() == other.inputs.keys() and one.facts.keys() == other.facts.keys()
    tensors = [(one.inputs[name], other.inputs[name]) for name in one.inputs]
    tensors += [(one.targets, other.targets), (one.valid, other.valid)]
    facts = all(np.array_equal(one.facts[name], other.facts[name]) for name in one.facts)
    return facts and one.keys == other.keys and all(torch.equal(a, b) for a, b in tensors)


def check_equal_to_own_loaders(
    make: Any, tasks: dict[str, Any], steps: int = 5, **settings: Any
) -> list[Step]:
    shared = make(tasks, **settings)
    together = take(shared, steps)
    for name, task in tasks.items():
        own = take(make(joined(task, shared._needs), **settings), steps)
        for one, other in zip(together, own, strict=True):
            assert equal(one.batches[name], other.batch)
    return together


@pytest.mark.parametrize("backend", ["packets", "pyav", "torchcodec", "decord"])
def test_each_task_gets_bit_for_bit_what_its_own_loader_gives(
    make: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "pyav":
        monkeypatch.setattr("unreel.pipelines.decode.packets.why_not", lambda: "on purpose")
    steps = check_equal_to_own_loaders(make, THREE, backend="packets" if backend == "pyav" else backend)
    assert all(batch.valid.all() for step in steps for batch in step.batches.values())
    shapes = {name: dict(batch.inputs) for name, batch in steps[0].batches.items()}
    assert shapes["order"]["frames"].shape == (8, 5, 64, 64, 3) and "audio" not in shapes["order"]
    assert shapes["sound"]["frames"].shape == (8, 1, 48, 48, 3)
    assert shapes["sound"]["audio"].shape == (8, 1, 9_000) and shapes["voice"]["audio"].shape == (8, 1, 4_000)


def test_planes_are_shared_too(make: Any) -> None:
    check_equal_to_own_loaders(make, THREE, steps=2, pixels="yuv420")


@pytest.mark.parametrize("share_moments", [False, True])
def test_real_tasks_share_a_decode(make: Any, share_moments: bool) -> None:
    short = {"tau_max_seconds": 0.5, "window": 96, "crop": 80, "camera_shift": 8, "min_motion": 0.0}
    tasks = {
        "near": ShuffleAndLearn(**short, tau_min_seconds=0.1),
        "far": ShuffleAndLearn(**short, tau_min_seconds=0.2, independent_jitter=False),
        "sound": Correspondence(audio_seconds=0.5, group=4, window=96, crop=80, min_sound=0.0),
    }
    steps = check_equal_to_own_loaders(make, tasks, steps=3, share_moments=share_moments)
    assert steps[0].batches["near"].inputs["frame"].shape[1] == 5
    assert all(step.batches["sound"].valid.any() for step in steps)


def test_pictures_are_decoded_once_and_counted_before(make: Any) -> None:
    loader = make(THREE, prefetch=0)
    take(loader, 4)
    stats = loader.stats
    assert loader.backend.produced == stats.decoded < sum(stats.alone.values())
    assert stats.shown == {"order": 160, "sound": 32, "voice": 0} and stats.alone["voice"] == 0
    for name in ("order", "sound"):
        own = make(joined(THREE[name], loader._needs), prefetch=0)
        take(own, 4)
        assert own.backend.produced == own.stats.decoded == stats.alone[name]
    assert stats.saved == 1 - stats.decoded / sum(stats.alone.values()) > 0
    assert f"{stats.decoded} pictures decoded instead of order" in str(stats)
    window = stats.window()
    assert window["decoded"] == stats.decoded / 32 and window["alone"] > window["decoded"]


def test_tasks_that_share_moments_decode_less_and_belong_to_another_stream(make: Any) -> None:
    seen = {"window": 96, "crop": 80, "camera_shift": 8, "min_motion": 0.0}
    tasks = [
        ShuffleAndLearn(tau_max_seconds=0.3, tau_min_seconds=0.05, **seen),
        ArrowOfTime(frames=4, step_seconds=0.1, **seen),
    ]
    own, shared = make(tasks), make(tasks, share_moments=True)
    costs = [sum(loader._prepare(step).cost.decoded for step in range(8)) for loader in (own, shared)]
    assert costs[1] < 0.85 * costs[0]
    with pytest.raises(StateMismatch, match="share_moments: the state has False"):
        shared.load_state_dict(own.state_dict())


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_together_give_the_batches_of_one(make: Any, world: int) -> None:
    whole = take(make(THREE, batch_size=16), 3)
    ranks = [take(make(THREE, batch_size=16, rank=rank, world_size=world), 3) for rank in range(world)]
    for step, parts in zip(whole, zip(*ranks, strict=True), strict=True):
        for name, batch in step.batches.items():
            assert batch.keys == tuple(key for part in parts for key in part.batches[name].keys)
            assert torch.equal(batch.targets, torch.cat([part.batches[name].targets for part in parts]))
            for key, value in batch.inputs.items():
                assert torch.equal(value, torch.cat([part.batches[name].inputs[key] for part in parts]))


def test_resume_at_every_step_in_any_order_of_tasks(make: Any) -> None:
    unbroken, loader = take(make(THREE), 6), make(THREE, prefetch=1)
    for number in range(6):
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = make(dict(reversed(THREE.items())), prefetch=number % 3)
        resumed.load_state_dict(state)
        for step, expected in zip(take(resumed, 6 - number), unbroken[number:], strict=True):
            assert step.step == expected.step
            assert all(equal(step.batches[name], expected.batches[name]) for name in THREE)
        next(loader)


def test_states_of_other_tasks_are_refused(make: Any) -> None:
    state = make(THREE).state_dict()
    others: list[Any] = [
        {**THREE, "order": replace(THREE["order"], frames=4)},
        {"renamed" if name == "order" else name: task for name, task in THREE.items()},
        THREE["order"],
    ]
    for tasks in others:
        with pytest.raises(StateMismatch, match="tasks: the state has"):
            make(tasks).load_state_dict(state)


def test_any_step_can_be_taken_alone(make: Any) -> None:
    steps, other = take(make(THREE), 3), make(THREE)
    for step in reversed(steps):
        found, media = other.batches(step.step), other.media_of_tasks(step.step)
        assert list(found) == list(media) == list(THREE)
        assert all(equal(found[name], step.batches[name]) for name in THREE)
    for several in (other.batch, other.media):
        with pytest.raises(
            ValueError, match=r"3 tasks \(order, sound, voice\): take (batches|media_of_tasks)"
        ):
            several(0)
    with pytest.raises(ValueError, match=r"step\.batches"):
        _ = steps[0].batch
    with pytest.raises(ValueError, match=r"loader\.tasks"):
        _ = other.task


def test_a_list_of_tasks_goes_by_their_names(make: Any) -> None:
    assert list(make([THREE["order"]]).tasks) == ["showing"]
    with pytest.raises(ValueError, match="showing, showing: two of one name"):
        make([THREE["order"], THREE["voice"]])


def test_epochs_give_batches_by_name(make: Any) -> None:
    epochs = Epochs(make(THREE), steps=2)
    batches = [batch for _ in range(2) for batch in epochs]
    assert len(batches) == 4 and all(list(batch) == list(THREE) for batch in batches)
    later = Epochs(make(THREE), steps=2)
    later.load_state_dict(json.loads(json.dumps(epochs.state_dict())))
    again = make(THREE).batches(4)
    assert all(equal(next(iter(later))[name], again[name]) for name in ["order"])


NO_SOUND = ("tiny-004", "tiny-020")


def _picky() -> dict[str, Any]:
    return {**THREE, "sound": replace(THREE["sound"], impossible=NO_SOUND)}


def test_a_sample_that_one_task_cannot_plan_stays_valid_for_the_others(make: Any) -> None:
    good, loader = take(make(THREE), 5), make(_picky(), failures=FailurePolicy(share=1.0))
    bad = take(loader, 5)
    for one, other in zip(good, bad, strict=True):
        rows = [row for row, key in enumerate(one.batches["order"].keys) if key in NO_SOUND]
        assert equal(one.batches["order"], other.batches["order"])
        assert equal(one.batches["voice"], other.batches["voice"])
        assert (~other.batches["sound"].valid).nonzero().flatten().tolist() == rows
        assert not any(value[rows].any() for value in other.batches["sound"].inputs.values())
        assert [(f.row, f.stage, f.task) for f in other.failures] == [(row, "plan", "sound") for row in rows]
    log, lost = loader.failures, sum(len(step.failures) for step in bad)
    assert {name: t.failed for name, t in log.tallies.items()} == {"order": 0, "sound": lost, "voice": 0}
    assert (log.rows, log.failed) == (40, lost) and lost >= 2
    assert f"by task: order 0, sound {lost}, voice 0" in log.summary()
    check_equal_to_own_loaders(make, _picky(), failures=FailurePolicy(share=1.0))


def test_the_ceiling_holds_for_each_task_alone(make: Any) -> None:
    keys = tuple(f"tiny-{number:03}" for number in range(0, 36, 4))
    tasks = {**THREE, "sound": replace(THREE["sound"], impossible=keys)}
    policy = FailurePolicy(share=0.2, after=30)
    with pytest.raises(
        TooManyFailures, match=r"\d\d\.\d% of the samples of task sound failed, the ceiling is 20"
    ):
        take(make(tasks, failures=policy), 9)
    assert len(take(make({"order": THREE["order"], "voice": THREE["voice"]}, failures=policy), 9)) == 9


def test_the_ceiling_of_a_task_goes_on_after_a_resume(make: Any) -> None:
    settings = {"failures": FailurePolicy(share=1.0)}
    first = make(_picky(), **settings)
    take(first, 5)
    second = make(_picky(), **settings)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.failures.tallies == first.failures.tallies and second.failures.tallies["sound"].failed >= 2


def test_a_damaged_sample_fails_for_all_and_is_told_once(
    make: Any, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    shutil.copytree(tiny_catalogue.folder, tmp_path / "damaged")
    damaged = Catalogue.open(tmp_path / "damaged")
    member = damaged.index(0).samples[5].members[1]
    with damaged.path(0).open("r+b") as file:
        file.seek(member.offset + 100)
        file.write(b"\0\1\2\3")
    loader = make(THREE, catalogue=damaged)
    failures = [failure for step in take(loader, 4) for failure in step.failures]
    assert [(f.key, f.stage, f.task) for f in failures] == [("tiny-005", "read", "")]
    assert (
        all(tally.failed == 1 for tally in loader.failures.tallies.values()) and loader.failures.failed == 1
    )


def test_a_task_that_can_plan_nothing_is_named(make: Any) -> None:
    every = tuple(f"tiny-{number:03}" for number in range(36))
    tasks = {**THREE, "sound": replace(THREE["sound"], impossible=every)}
    with pytest.raises(TooManyFailures, match="task sound can plan on none of the first samples"):
        next(make(tasks))
    one = {**THREE, "sound": replace(THREE["sound"], impossible=every[1:])}
    with pytest.raises(TooManyFailures, match=r"samples of a batch of task sound failed: .*plan of sound"):
        take(make(one, failures=FailurePolicy(share=1.0)), 9)


def test_groups_of_all_tasks_are_kept_whole(make: Any) -> None:
    tasks = {"a": replace(THREE["order"], group=4), "b": replace(THREE["order"], group=6)}
    with pytest.raises(
        ValueError, match=r"batch size 8 is 8 a rank: tasks a \(4\), b \(6\) pair .* groups of 12.*take 12"
    ):
        make(tasks)
    assert len(next(make(tasks, batch_size=12)).batches["a"]) == 12


def test_needs_that_cannot_be_had_together_are_refused_by_name(make: Any) -> None:
    still = joined(THREE["order"], Needs(image=True))
    with pytest.raises(ValueError, match="tasks order and still cannot share a decode"):
        make({"order": THREE["order"], "still": still})


def test_auto_is_measured_on_what_the_tasks_share(make: Any) -> None:
    loader = make(THREE, backend="auto")
    assert next(loader).batches["voice"].valid.all()
    assert loader.choice is not None and loader.choice.name == loader.state_dict()["backend"]


def test_a_backend_that_shares_nothing_says_so_and_is_right(
    make: Any, toy_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    check_equal_to_own_loaders(make, THREE, steps=2, backend=toy_backend())
    assert caplog.text.count("decodes for each task in turn") == 1
