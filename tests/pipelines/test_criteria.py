"""Criteria: needs, ranges of measures, and what a picture or an unmeasured scene means."""

import json
from dataclasses import fields

import pytest

from unreel.pipelines import criteria
from unreel.pipelines.criteria import MEASURES, Criteria
from unreel.pipelines.pretext.task import Needs
from unreel.shards.catalogue import SampleRow

VIDEO = SampleRow(
    key="v",
    source="s",
    frames=50,
    rate=(25, 1),
    width=176,
    height=128,
    motion=3.0,
    scene=30,
    luma=90.0,
    members=(),
)
PICTURE = SampleRow(key="p", source="s", width=200, height=160, members=())
SOUND = SampleRow(key="a", source="s", audio_samples=96_000, audio_rate=48_000, sound=0.5, members=())
OLD = SampleRow(key="o", source="s", frames=50, rate=(25, 1), width=176, height=128, members=())


def accepted(needs: Needs | None = None, **filters: tuple[float, float]) -> str:
    tests = Criteria(needs=needs or Needs(), filters=filters).tests.values()
    return "".join(row.key for row in (VIDEO, PICTURE, SOUND, OLD) if all(test(row) for test in tests))


@pytest.mark.parametrize(
    ("needs", "keys"),
    [
        (Needs(), "vpao"),
        (Needs(video=True), "vo"),
        (Needs(image=True), "p"),
        (Needs(video=True, image=True), "vpo"),
        (Needs(audio=True), "a"),
        (Needs(video=True, min_scene_seconds=1.2), "vo"),
        (Needs(video=True, min_scene_seconds=1.3), "o"),
        (Needs(image=True, min_size=(160, 200)), "p"),
        (Needs(image=True, min_size=(161, 200)), ""),
    ],
)
def test_needs(needs: Needs, keys: str) -> None:
    assert accepted(needs) == keys


@pytest.mark.parametrize(
    ("name", "bounds", "keys"),
    [
        ("seconds", (2.0, 2.0), "vao"),
        ("height", (130, 1000), "p"),
        ("width", (1, 176), "vo"),
        ("frame_rate", (25, 25), "vo"),
        ("motion", (1.0, 5.0), "v"),
        ("sound", (0.4, 1.0), "a"),
        ("luma", (80, 100), "v"),
        ("scene_seconds", (1.0, 1.5), "v"),
    ],
)
def test_ranges(name: str, bounds: tuple[float, float], keys: str) -> None:
    assert accepted(**{name: bounds}) == keys


def test_no_need_is_forgotten() -> None:
    assert {field.name for field in fields(Needs)} == {*criteria._NEEDS, *criteria._ARRANGING}


def test_every_measure_has_a_range_tested() -> None:
    [marks] = [mark for mark in test_ranges.pytestmark if mark.name == "parametrize"]
    assert {case[0] for case in marks.args[1]} == set(MEASURES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": {"colour": (0, 1)}}, "filter 'colour': choose one of seconds, height"),
        ({"filters": {"luma": (9, 1)}}, r"filter luma = \[9, 1\]: the first is the smallest"),
    ],
)
def test_wrong_filters_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Criteria(needs=Needs(), **settings)


def test_identities_are_json_and_leave_out_what_decides_nothing() -> None:
    one = Criteria(needs=Needs(group=4), holdout=0.3, filters={"luma": (1, 2), "height": (3, 4)})
    other = Criteria(needs=Needs(group=8), holdout=0.1, filters={"height": (3, 4), "luma": (1, 2)})
    assert one.identity == other.identity == json.loads(json.dumps(one.identity))
    assert Criteria(needs=Needs(group=4)).accepts_all and not one.accepts_all
