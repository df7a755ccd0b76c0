"""The loader: exact to resume, one row for one failure, nothing left behind."""

import gc
import json
import shutil
import threading
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import FailurePolicy, Loader, Step
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.mixture import Mixture
from unreel.pipelines.plan import Plan, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.catalogue import Catalogue, compile_catalogue
from unreel.shards.errors import ShardError, StateMismatch, TooManyFailures
from unreel.shards.remote.catalogue import RemoteCatalogue
from unreel.shards.sample import Sidecar

Toy = Any


@pytest.fixture
def make(tiny_catalogue: Catalogue, toy_task: Toy, toy_backend: Toy) -> Any:
    """`make(**settings)`: a loader over the tiny data set with the toys; all are closed at the end."""
    loaders = []

    def build(task: Toy = None, catalogue: Catalogue = tiny_catalogue, **settings: Any) -> Loader:
        backend = settings.pop("backend", None) or toy_backend()
        chosen = {"batch_size": 8, "seed": 3, "split": None, **settings}
        loader = Loader(catalogue, task or toy_task(), backend=backend, **chosen)
        loaders.append(loader)
        return loader

    yield build
    for loader in loaders:
        loader.close()


def take(loader: Loader, count: int) -> list[Step]:
    return list(islice(loader, count))


def ids(steps: list[Step]) -> list[tuple[int, tuple[str, ...]]]:
    return [(step.step, step.batch.keys) for step in steps]


def same(one: PretextBatch, other: PretextBatch, rows: slice | list[int] = slice(None)) -> bool:
    tensors = [(one.inputs[name], other.inputs[name]) for name in one.inputs]
    tensors += [(one.targets, other.targets), (one.valid, other.valid)]
    return all(torch.equal(a[rows], b[rows]) for a, b in tensors) and one.inputs.keys() == other.inputs.keys()


def test_steps_are_numbered_and_each_sample_comes_once_an_epoch(make: Any) -> None:
    steps = take(make(batch_size=12), 6)
    assert [step.step for step in steps] == list(range(6))
    for epoch in (steps[:3], steps[3:]):
        assert len({key for step in epoch for key in step.batch.keys}) == 36
    assert steps[5].batch.positions.tolist() == list(range(60, 72))


def test_any_step_can_be_taken_alone_and_is_the_same(make: Any) -> None:
    steps, other = take(make(), 5), make()
    for step in reversed(steps):
        assert same(step.batch, other.batch(step.step))
    assert other.step == 0 and other.failures.rows == 0 and other.stats.steps == 0


def test_media_is_decoded_and_not_built(make: Any, toy_task: Toy) -> None:
    media = make(toy_task(audio=True)).media(2)
    assert isinstance(media, MediaBatch)
    assert media.frames.dtype == torch.uint8 and media.frames.shape == (8, 2, 96, 96, 3)
    assert media.audio.dtype == torch.float32 and media.audio.shape == (8, 1, 24_000)
    assert (media.audio_rate, media.positions.tolist()) == (48_000, list(range(16, 24)))
    assert all(sidecar.key == key for sidecar, key in zip(media.sidecars, media.keys, strict=True))


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_prefetch_changes_nothing(make: Any, prefetch: int) -> None:
    expected = take(make(), 6)
    found = take(make(prefetch=prefetch), 6)
    assert all(same(a.batch, b.batch) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_give_the_batches_of_one(make: Any, toy_task: Toy, world: int) -> None:
    whole = take(make(toy_task(group=2)), 5)
    ranks = [take(make(toy_task(group=2), rank=rank, world_size=world), 5) for rank in range(world)]
    for step, parts in zip(whole, zip(*ranks, strict=True), strict=True):
        assert step.batch.keys == tuple(key for part in parts for key in part.batch.keys)
        assert torch.equal(step.batch.targets, torch.cat([part.batch.targets for part in parts]))
        for name, value in step.batch.inputs.items():
            assert torch.equal(value, torch.cat([part.batch.inputs[name] for part in parts]))


def test_resume_at_every_step(make: Any) -> None:
    unbroken, loader = take(make(), 14), make()
    for number in range(14):
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = make(prefetch=number % 3)
        resumed.load_state_dict(state)
        assert ids(take(resumed, 14 - number)) == ids(unbroken[number:])
        next(loader)


def test_three_resumes_in_a_row_and_another_world_size(make: Any) -> None:
    unbroken, found = take(make(), 12), []
    state = make().state_dict()
    for _ in range(4):
        loader = make()
        loader.load_state_dict(state)
        found += take(loader, 3)
        state = json.loads(json.dumps(loader.state_dict()))
    assert all(same(a.batch, b.batch) for a, b in zip(unbroken, found, strict=True))
    halves = [make(rank=rank, world_size=2) for rank in range(2)]
    for half in halves:
        half.load_state_dict(state)
    keys = [half.batch(12).keys for half in halves]
    assert sum(map(len, keys)) == 8 and keys[0] + keys[1] == make().batch(12).keys


def test_the_state_is_what_was_handed_out_and_not_what_was_read_ahead(make: Any, toy_backend: Toy) -> None:
    backend = toy_backend()
    loader = make(backend=backend, prefetch=3)
    take(loader, 2)
    end = time.monotonic() + 10
    while len(backend.decoded) < 5 * 8 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(backend.decoded) == 5 * 8
    assert loader.state_dict()["step"] == loader.step == 2


def test_iterators_share_the_position_of_their_loader(make: Any) -> None:
    loader = make()
    for step in loader:
        if step.step == 2:
            break
    assert next(iter(loader)).step == 3


def test_loading_a_state_in_the_middle_moves_the_loader(make: Any) -> None:
    loader, expected = make(), take(make(), 4)
    state = loader.state_dict()
    take(loader, 7)
    loader.load_state_dict(state)
    assert ids(take(loader, 4)) == ids(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed: the state has 3, this loader 4"),
        ({"batch_size": 16}, "batch_size: the state has 8, this loader 16"),
        ({"split": "train", "holdout": 0.5}, "split: the state has None, this loader 'train'; holdout"),
    ],
)
def test_states_of_other_settings_are_refused(make: Any, change: dict[str, Any], message: str) -> None:
    state = make().state_dict()
    loader = make(**change)
    with pytest.raises(StateMismatch, match=message):
        loader.load_state_dict(state)
    assert loader.step == 0


def test_states_of_another_task_backend_or_catalogue_are_refused(
    make: Any, toy_task: Toy, toy_backend: Toy, damaged: Catalogue
) -> None:
    state = make().state_dict()
    with pytest.raises(StateMismatch, match=r"tasks: .*'group': 1.* this loader .*'group': 2"):
        make(toy_task(group=2)).load_state_dict(state)
    with pytest.raises(
        StateMismatch, match=r"backend_version: the state has 'toy 1\.0', this loader 'toy 1\.1'"
    ):
        make(backend=toy_backend(version="toy 1.1")).load_state_dict(state)
    with pytest.raises(StateMismatch, match="backend: the state has 'toy', this loader 'packets'"):
        make(backend="packets").load_state_dict(state)
    with pytest.raises(StateMismatch, match="catalogue: the state has 'feed'"):
        make().load_state_dict({**state, "catalogue": "feed"})
    with pytest.raises(StateMismatch, match="state version 0"):
        make().load_state_dict({**state, "version": 0})


def test_states_stay_small_whatever_fails(make: Any, toy_task: Toy) -> None:
    keys = tuple(f"tiny-{number:03}" for number in range(0, 36, 2))
    loader = make(toy_task(impossible=keys), failures=FailurePolicy(share=1.0))
    take(loader, 9)
    state = loader.state_dict()
    assert len(json.dumps(state)) < 64 * 1024
    assert state["failures"]["rows"] == 72 and state["failures"]["failed"] == 36
    assert {name.split("/")[1] for name in state["failures"]["names"]} == set(keys)


@pytest.fixture
def damaged(tiny_catalogue: Catalogue, tmp_path: Path) -> Catalogue:
    """The tiny data set with one bit of the picture of `tiny-005` flipped."""
    shutil.copytree(tiny_catalogue.folder, tmp_path / "damaged")
    catalogue = Catalogue.open(tmp_path / "damaged")
    member = catalogue.index(0).samples[5].members[1]
    with catalogue.path(0).open("r+b") as file:
        file.seek(member.offset + 100)
        byte = file.read(1)[0]
        file.seek(member.offset + 100)
        file.write(bytes([byte ^ 1]))
    return catalogue


def _failing(make: Any, toy_task: Toy, toy_backend: Toy, damaged: Catalogue, stage: str) -> Loader:
    if stage == "read":
        return make(catalogue=damaged)
    if stage == "decode":
        return make(backend=toy_backend(broken={"tiny-005"}))
    return make(toy_task(**{stage: ("tiny-005",)}))


@pytest.mark.parametrize("stage", ["read", "impossible", "wrong", "decode"])
def test_a_failed_sample_costs_its_own_row_and_no_other(
    make: Any, toy_task: Toy, toy_backend: Toy, damaged: Catalogue, stage: str
) -> None:
    good, bad = take(make(), 5), take(_failing(make, toy_task, toy_backend, damaged, stage), 5)
    [(where, row)] = [(s.step, s.batch.keys.index("tiny-005")) for s in good if "tiny-005" in s.batch.keys][
        :1
    ]
    for one, other in zip(good, bad, strict=True):
        rows = [i for i in range(8) if one.batch.keys[i] != "tiny-005"]
        assert same(one.batch, other.batch, rows) and other.batch.keys == one.batch.keys
        assert np.array_equal(one.batch.facts["first"][rows], other.batch.facts["first"][rows])
    assert not bad[where].batch.valid[row] and not bad[where].batch.inputs["frame"][row].any()
    [failure] = bad[where].failures
    assert (failure.row, failure.position, failure.key) == (row, where * 8 + row, "tiny-005")
    assert failure.shard == "tiny-0" and failure.stage == {"impossible": "plan", "wrong": "plan"}.get(
        stage, stage
    )
    assert "tiny-005" in failure.reason


def test_a_damaged_row_keeps_its_source_so_that_partners_stay_as_they_were(
    make: Any, damaged: Catalogue
) -> None:
    loader = make(catalogue=damaged)
    step = next(s for s in loader if s.failures)
    media, row = loader.media(step.step), step.failures[0].row
    known = damaged.index(0).samples[5]
    assert (media.keys[row], media.sources[row]) == (known.key, known.source) and known.source
    assert (media.sidecars[row], media.plans[row]) == (None, None)
    assert not media.frames[row].any() and not media.valid[row]


def test_the_ceiling_stops_with_the_names(make: Any, toy_backend: Toy) -> None:
    broken = {f"tiny-{number:03}" for number in range(12)}
    loader = make(backend=toy_backend(broken=broken), failures=FailurePolicy(share=0.1, after=72))
    with pytest.raises(
        TooManyFailures, match=r"33\.3% of the samples failed.*tiny-0/tiny-0\d\d \(decode: .*broke"
    ) as caught:
        take(loader, 20)
    assert loader.step == 8 and all(key in str(caught.value) for key in broken)


def test_the_ceiling_goes_on_after_a_resume(make: Any, toy_backend: Toy) -> None:
    broken = {f"tiny-{number:03}" for number in range(12)}
    settings = {"backend": toy_backend(broken=broken), "failures": FailurePolicy(share=0.1, after=72)}
    first = make(**settings)
    take(first, 5)
    second = make(**settings)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    with pytest.raises(TooManyFailures):
        take(second, 20)
    assert second.step == 8


def test_a_batch_of_nothing_but_failures_stops_with_its_names(make: Any, toy_backend: Toy) -> None:
    every = {f"tiny-{number:03}" for number in range(36)}
    with pytest.raises(TooManyFailures, match="8 samples in a row failed, the ceiling is 8"):
        take(make(backend=toy_backend(broken=every), failures=FailurePolicy(run=8)), 1)


def test_a_task_that_can_plan_on_nothing_says_why(make: Any, toy_task: Toy) -> None:
    every = tuple(f"tiny-{number:03}" for number in range(36))
    with pytest.raises(
        TooManyFailures, match=r"task toy can plan on none of the first samples: .*does not like it"
    ):
        next(make(toy_task(impossible=every)))


@pytest.mark.parametrize(
    ("settings", "group", "message"),
    [
        ({"batch_size": 10, "world_size": 4, "rank": 0}, 1, "batch size 10: .* multiple of the 4 ranks"),
        ({"batch_size": 24}, 16, "batch size 24 is 24 a rank: .* groups of 16.*take 32"),
        ({"batch_size": 32, "world_size": 4}, 16, "batch size 32 is 8 a rank: .* groups of 16.*take 64"),
        ({"batch_size": 0}, 1, "batch size 0"),
        ({"rank": 2, "world_size": 2}, 1, r"rank 2: must be in \[0, 2\)"),
        ({"prefetch": -1}, 1, "prefetch -1"),
        ({"backend": "auto", "world_size": 2}, 1, "backend 'auto' with 2 ranks"),
        ({"split": "dev"}, 1, "split 'dev': choose one of train, val"),
    ],
)
def test_wrong_settings_are_refused_with_their_numbers(
    make: Any, toy_task: Toy, settings: dict[str, Any], group: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy_task(group=group), **settings)


def test_an_unknown_backend_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="backend 'opencv': there are packets"):
        next(make(backend="opencv"))


def test_other_errors_reach_the_consumer_and_the_step_can_be_tried_again(make: Any, toy_backend: Toy) -> None:
    backend = toy_backend(error=OSError("input/output error"))
    loader = make(backend=backend)
    with pytest.raises(OSError, match="input/output error"):
        next(loader)
    backend.error = None
    assert ids(take(loader, 3)) == ids(take(make(), 3))


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("unreel-", "decode-"))]


@pytest.mark.parametrize("how", ["close", "with", "del"])
def test_no_thread_is_left_behind(tiny_catalogue: Catalogue, toy_task: Toy, how: str) -> None:
    gc.collect()
    before = _threads()
    loader = Loader(tiny_catalogue, toy_task(), batch_size=8, seed=1, split=None, backend="packets")
    if how == "with":
        with loader:
            take(loader, 2)
    else:
        take(loader, 2)
        assert len(_threads()) > len(before)
    if how == "close":
        loader.close()
    del loader
    gc.collect()
    end = time.monotonic() + 10
    while len(_threads()) > len(before) and time.monotonic() < end:
        time.sleep(0.01)
    assert _threads() == before


def test_a_backend_that_was_given_is_not_closed(make: Any, toy_backend: Toy) -> None:
    backend = toy_backend()
    loader = make(backend=backend)
    next(loader)
    loader.close()
    assert not backend.closed


def test_time_is_counted_by_stage(make: Any, toy_backend: Toy) -> None:
    loader = make(backend=toy_backend(seconds=0.03))
    steps = take(loader, 4)
    assert all(step.seconds["decode"] >= 0.03 for step in steps)
    assert loader.stats.seconds["decode"] == pytest.approx(sum(step.seconds["decode"] for step in steps))
    assert (loader.stats.steps, loader.stats.clips, loader.stats.bottleneck) == (4, 32, "decode")


def test_decoding_goes_on_while_the_consumer_works(make: Any, toy_backend: Toy) -> None:
    loader = make(backend=toy_backend(seconds=0.02), prefetch=2)
    next(loader)
    time.sleep(0.3)
    assert next(loader).seconds["wait"] < 0.02


def test_auto_is_resolved_once_and_taken_over_on_resume(
    tiny_catalogue: Catalogue, toy_task: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"batch_size": 8, "seed": 3, "split": None}
    with caplog.at_level("INFO"), Loader(tiny_catalogue, toy_task(), **settings) as loader:
        take(loader, 1)
        state = json.loads(json.dumps(loader.state_dict()))
    assert caplog.text.count("decode backend") == 1 and state["backend"] in caplog.text
    assert loader.choice is not None and loader.choice.name == state["backend"]
    assert str(loader.choice) in caplog.text and f"{state['backend']} " in str(loader.choice)
    assert "clips/s" in str(loader.choice)
    recorded = "decord" if state["backend"] == "packets" else "packets"
    with Loader(tiny_catalogue, toy_task(), backend=recorded, **settings) as loader:
        state = loader.state_dict()
    with Loader(tiny_catalogue, toy_task(), **settings) as loader:
        loader.load_state_dict(state)
        assert loader.backend.name == recorded


def test_the_whole_way_with_real_media(tiny_catalogue: Catalogue, toy_task: Toy) -> None:
    task = toy_task(audio=True, group=4)
    with Loader(tiny_catalogue, task, batch_size=8, seed=3, split=None, backend="packets") as loader:
        steps = take(loader, 4)
        assert all(step.batch.valid.all() for step in steps)
        media = loader.media(0)
    heard = []
    for row in range(8):
        sidecar, plan = media.sidecars[row], media.plans[row]
        lefts = sidecar.track("x")[plan.frames].astype(int)
        for frame, left in zip(media.frames[row].float(), lefts.tolist(), strict=True):
            _check_square(frame, left)
        where = plan.sound.start + np.arange(24_000)
        start, stop = sidecar.facts.silence[0]
        silent = torch.from_numpy((where >= start) & (where < stop))
        heard.append(float(media.audio[row, 0, ~silent].abs().max()))
        assert not media.audio[row, 0, silent].any()
    assert heard == pytest.approx([0.4] * 8, abs=0.01)


def _check_square(frame: torch.Tensor, left: int) -> None:
    """The bright square stands where the label says, in a window that begins at 8, 8."""
    inside = slice(max(0, left - 8 + 3), max(0, left - 8 + 29))
    square = frame[40 - 8 + 3 : 72 - 8 - 3, inside]
    if square.shape[1] > 4 and left < 70:
        assert square.mean() > 170
        below = frame[72 - 8 + 6 :, inside]
        assert square.mean() > below.mean() + 30


def test_damage_costs_one_row_of_the_real_way(
    tiny_catalogue: Catalogue, damaged: Catalogue, toy_task: Toy
) -> None:
    settings = {"batch_size": 12, "seed": 3, "split": None, "backend": "packets"}
    with Loader(tiny_catalogue, toy_task(), **settings) as loader:
        good = [step.batch for step in take(loader, 3)]
    with Loader(damaged, toy_task(), **settings) as loader:
        bad = [step.batch for step in take(loader, 3)]
    for one, other in zip(good, bad, strict=True):
        rows = [i for i, key in enumerate(one.keys) if key != "tiny-005"]
        assert same(one, other, rows)
    assert sum(int((~batch.valid).sum()) for batch in bad) == 1


def test_replacing_the_task_settings_changes_the_stream_identity(make: Any, toy_task: Toy) -> None:
    task = toy_task()
    assert make(task).state_dict()["tasks"] != make(replace(task, group=2)).state_dict()["tasks"]


@pytest.fixture
def mixture(tiny_catalogue: Catalogue, tmp_path: Path) -> Mixture:
    """Two parts of the tiny data set, 12 clips and 24, which are drawn from alike often."""
    parts = []
    for name, shards in (("one", "0"), ("two", "12")):
        (tmp_path / name).mkdir()
        for path in (path for number in shards for path in tiny_catalogue.folder.glob(f"tiny-{number}*")):
            shutil.copy(path, tmp_path / name)
        parts.append(compile_catalogue(tmp_path / name, identity=tiny_catalogue.identity, profile={}))
    return Mixture([(parts[0], 0.5), (parts[1], 0.5)])


def test_a_mixture_is_read_from_all_its_data_sets_in_whole_groups(
    make: Any, toy_task: Toy, mixture: Mixture
) -> None:
    loader = make(toy_task(group=4), catalogue=mixture, batch_size=8)
    steps = take(loader, 12)
    assert loader.samples == 36 and all(step.batch.valid.all() for step in steps)
    small = np.array([[int(key[-3:]) < 12 for key in step.batch.keys] for step in steps]).reshape(-1, 2, 4)
    assert (small.all(2) != (~small).all(2)).all() and (small[:, :, 0].sum(1) == 1).all()
    keys = [key for step in steps for key in step.batch.keys if int(key[-3:]) < 12]
    assert all(len(set(keys[start : start + 12])) == 12 for start in range(0, 48, 12))


def test_a_state_holds_all_data_sets_and_their_weights(make: Any, mixture: Mixture) -> None:
    unbroken, loader = take(make(catalogue=mixture), 9), make(catalogue=mixture)
    take(loader, 4)
    state = json.loads(json.dumps(loader.state_dict()))
    resumed = make(catalogue=mixture)
    resumed.load_state_dict(state)
    assert ids(take(resumed, 5)) == ids(unbroken[4:])
    others = Mixture([(mixture.catalogues[0], 0.5), (mixture.catalogues[1], 0.6)])
    for other in (others, mixture.catalogues[0]):
        with pytest.raises(StateMismatch, match="catalogue: the state has"):
            make(catalogue=other).load_state_dict(state)


def test_failures_of_a_mixture_say_which_data_set(make: Any, toy_backend: Toy, mixture: Mixture) -> None:
    every = {f"tiny-{number:03}" for number in range(0, 36, 2)}
    loader = make(
        catalogue=mixture, backend=toy_backend(broken=every), failures=FailurePolicy(share=1.0, run=999)
    )
    failures = [failure for step in take(loader, 9) for failure in step.failures]
    small = {int(failure.key[-3:]) < 12 for failure in failures if failure.shard == "one/tiny-0"}
    assert small == {True} and {f.shard for f in failures} == {"one/tiny-0", "two/tiny-1", "two/tiny-2"}
    assert set(loader.failures.shards) == {"one/tiny-0", "two/tiny-1", "two/tiny-2"}


def test_quarantine_names_the_data_set_also_where_folders_have_one_name(
    make: Any, mixture: Mixture, tmp_path: Path
) -> None:
    for folder, catalogue in zip("ab", mixture.catalogues, strict=True):
        shutil.copytree(catalogue.folder, tmp_path / folder / "shards")
    parts = Mixture([(Catalogue.open(tmp_path / folder / "shards"), 1) for folder in "ab"])
    loader = make(catalogue=parts, batch_size=12)
    loader.failures.quarantine["0-shards/tiny-0/tiny-003"] = None
    failures = [failure for step in take(loader, 2) for failure in step.failures]
    assert {(f.shard, f.key, f.stage) for f in failures} == {("0-shards/tiny-0", "tiny-003", "quarantine")}
    later = make(catalogue=parts, batch_size=12)
    later.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    assert list(later.failures.quarantine) == ["0-shards/tiny-0/tiny-003"]


def test_filters_and_balance_belong_to_the_stream(make: Any) -> None:
    state = make().state_dict()
    for settings in ({"filters": {"seconds": (2.0, 2.5)}}, {"balance": "size"}):
        loader = make(**settings)
        assert loader.samples < 36 or loader.selections[0].classes
        with pytest.raises(StateMismatch, match=f"{next(iter(settings))}: the state has"):
            loader.load_state_dict(state)
        again = make(**settings)
        again.load_state_dict(json.loads(json.dumps(loader.state_dict())))


def test_classes_are_balanced_in_every_batch(make: Any) -> None:
    steps = take(make(balance="size", holdout=0.5, split="train"), 6)
    sizes = [[int(key[-3:]) // 2 % 2 for key in step.batch.keys] for step in steps]
    assert all(sum(step) == 4 for step in sizes)


@dataclass(frozen=True)
class Asking:
    """The toy with another task's wishes about rows beside each other."""

    toy: Any
    wishes: dict[str, Any]
    name: ClassVar[str] = "toy"

    @property
    def needs(self) -> Needs:
        return replace(self.toy.needs, **self.wishes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.toy, name)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_what_a_task_asks_of_rows_beside_each_other_holds_over_all_ranks(
    make: Any, toy_task: Toy, world: int
) -> None:
    task = Asking(toy_task(), {"distinct_sources": True, "source_pairs": True})
    ranks = [take(make(task, batch_size=16, rank=rank, world_size=world), 5) for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        sources = [source for part in parts for source in part.batch.sources]
        assert sources[::2] == sources[1::2] and len(set(sources)) == 8
    # Every source of the tiny data set has two clips.
    keys = [key for part in ranks[0] for key in part.batch.keys]
    assert all(a != b for a, b in zip(keys[::2], keys[1::2], strict=True))
    expected = take(make(task, batch_size=16), 5)
    joined = [tuple(key for part in parts for key in part.batch.keys) for parts in zip(*ranks, strict=True)]
    assert joined == [step.batch.keys for step in expected]


def test_a_batch_with_more_rows_than_sources_fails_only_the_rest(make: Any, toy_task: Toy) -> None:
    task = Asking(toy_task(), {"distinct_sources": True})
    [step] = take(make(task, batch_size=20, failures=FailurePolicy(share=1.0)), 1)
    assert int(step.batch.valid.sum()) == 18 and len(step.failures) == 2
    assert all(f.stage == "order" and "64 draws found no other" in f.reason for f in step.failures)


def test_pairs_are_not_cut_by_ranks(make: Any, toy_task: Toy) -> None:
    task = Asking(toy_task(), {"source_pairs": True})
    with pytest.raises(ValueError, match=r"batch size 6 is 3 a rank: .* multiple of 2; take 8"):
        make(task, batch_size=6, rank=0, world_size=2)


def test_a_data_set_behind_a_url_gives_the_same_stream(
    tiny_catalogue: Catalogue, toy_task: Any, toy_backend: Toy, faulty_server: Any, tmp_path: Path
) -> None:
    shutil.copytree(tiny_catalogue.folder, faulty_server.folder, dirs_exist_ok=True)
    remote = RemoteCatalogue.open(faulty_server.url, cache=tmp_path / "cache")
    found = []
    for catalogue in (tiny_catalogue, remote):
        settings = {"batch_size": 8, "seed": 3, "split": None, "backend": toy_backend()}
        with Loader(catalogue, toy_task(), **settings) as loader:
            steps = [next(loader).batch for _ in range(9)]
            found.append([(step.keys, step.inputs["frame"].tolist()) for step in steps])
    assert found[0] == found[1]


@pytest.mark.parametrize("damage", ["cut", "gone", "swapped"])
def test_damaged_data_set_is_refused_before_the_first_step(
    make: Any, tiny_catalogue: Catalogue, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(tiny_catalogue.folder, tmp_path / "copy")
    first, second = (tmp_path / "copy" / f"tiny-{number}.tar" for number in (0, 1))
    if damage == "cut":
        first.write_bytes(first.read_bytes()[:-512])
    if damage == "swapped":
        first.write_bytes(second.read_bytes())
    if damage == "gone":
        first.unlink()
    copy = Catalogue.open(tmp_path / "copy")
    with pytest.raises(ShardError, match=r"1 shards are damaged.*tiny-0\.tar: expected"):
        make(catalogue=copy, failures=FailurePolicy(mode="refuse"))
    assert make(catalogue=tiny_catalogue, failures=FailurePolicy(mode="refuse"))


@dataclass(frozen=True)
class EvenClips:
    """Frames 0 and 20 through an even window, given out as the loader hands them over."""

    name: ClassVar[str] = "even-clips"
    needs: ClassVar[Needs] = Needs(video=True)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        return Plan(frames=np.array([0, 20], np.int32), window=Window(2, 4, 64, 64))

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        frames = media.as_rgb().frames
        assert media.pictures is not None and frames is not None
        return PretextBatch(
            inputs={"frame": frames},
            targets=torch.zeros(len(media)),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )


def test_planes_on_the_way_change_no_pixel(tiny_catalogue: Catalogue) -> None:
    frames = []
    for pixels in ("rgb", "yuv420"):
        settings: dict[str, Any] = {"batch_size": 6, "seed": 1, "split": None, "backend": "packets"}
        with Loader(tiny_catalogue, EvenClips(), pixels=pixels, **settings) as loader:
            assert (loader.media(0).yuv is not None) == (pixels == "yuv420")
            frames.append(next(loader).batch.inputs["frame"])
    assert frames[0].any() and torch.equal(*frames)


@pytest.mark.parametrize(
    ("pixels", "backend", "message"),
    [("cmyk", "packets", "allowed are rgb, yuv420"), ("yuv420", "decord", "backend 'packets'")],
)
def test_pixels_that_nobody_gives_are_refused(
    tiny_catalogue: Catalogue, pixels: str, backend: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Loader(tiny_catalogue, EvenClips(), batch_size=4, seed=1, split=None, backend=backend, pixels=pixels)
