"""What several tasks of one loader ask for together, and what cannot be had together."""

from dataclasses import dataclass, fields
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines import tasks as module
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.tasks import name_tasks, unite_needs


@dataclass(frozen=True)
class Needing:
    """As much of a task as has needs."""

    needs: Needs
    name: ClassVar[str] = "needing"


def united(*needs: Needs) -> Needs:
    return unite_needs({str(number): Needing(need) for number, need in enumerate(needs)})  # type: ignore[dict-item]


NEEDS = st.builds(
    Needs,
    video=st.booleans(),
    audio=st.booleans(),
    min_seconds=st.floats(0, 9),
    min_scene_seconds=st.floats(0, 9),
    min_size=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    min_motion=st.floats(0, 9),
    min_sound=st.floats(0, 1),
    group=st.integers(1, 12),
)


@given(st.lists(NEEDS, min_size=1, max_size=4))
def test_what_meets_the_union_meets_every_task(needs: list[Needs]) -> None:
    together = united(*needs)
    for need in needs:
        assert together.aligned % need.aligned == 0
        assert all(a >= b for a, b in zip(together.min_size, need.min_size, strict=True))
        for name in ("video", "audio", "min_seconds", "min_scene_seconds", "min_motion", "min_sound"):
            assert getattr(together, name) >= getattr(need, name)
    assert united(together, *needs) == together == united(*reversed(needs))


def test_every_need_is_united() -> None:
    assert {*module._TOGETHER, "video", "image"} == {field.name for field in fields(Needs)}


EITHER, VIDEO, STILL = Needs(video=True, image=True), Needs(video=True), Needs(image=True)


def test_a_task_that_takes_either_kind_of_picture_gives_way() -> None:
    assert united(EITHER, VIDEO) == VIDEO and united(STILL, EITHER) == STILL
    assert united(EITHER, EITHER, Needs()) == EITHER and united(Needs(), Needs()) == Needs()


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (VIDEO, STILL, "tasks order and colour cannot share a decode: order takes videos and colour still"),
        (
            Needs(source_pairs=True),
            Needs(distinct_sources=True),
            "order asks for pairs .* and colour for rows of",
        ),
    ],
)
def test_needs_that_no_batch_meets_are_refused_with_both_names(
    one: Needs, other: Needs, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        unite_needs({"order": Needing(one), "colour": Needing(other)})  # type: ignore[dict-item]


def test_pairs_of_different_sources_suit_both_who_ask_for_pairs() -> None:
    pairs = Needs(source_pairs=True, distinct_sources=True)
    assert united(pairs, Needs(source_pairs=True)) == pairs
    assert united(Needs(source_pairs=True), Needs(group=3)).aligned == 6


def test_tasks_have_names() -> None:
    task = Needing(Needs())
    assert name_tasks(task) == name_tasks([task]) == {"needing": task}  # type: ignore[arg-type, list-item]
    assert list(name_tasks({"b": task, "a": task})) == ["b", "a"]  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="needing, needing: two of one name; give a mapping"):
        name_tasks([task, task])  # type: ignore[list-item]
    for none in ([], {}):
        with pytest.raises(ValueError, match="no task"):
            name_tasks(none)
