"""Starts on key frames, frame types by draw, and several plans in one decode."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipelines.conftest import made_up
from unreel.pipelines.plan import Plan, Span, decode_cost
from unreel.pipelines.plans import Cost, cost_of, heard_span, nearest_of_kind, shown_frames, snap
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets


@st.composite
def packet_tables(draw: st.DrawFn) -> Packets:
    keys = draw(st.lists(st.booleans(), min_size=2, max_size=60))
    return Packets(offset=b"", size=b"", key=bytes([1, *keys[1:]]))


@given(packet_tables(), st.data())
def test_a_snapped_clip_fits_and_decodes_only_what_it_shows(packets: Packets, data: st.DataObject) -> None:
    count = len(packets.key)
    length = data.draw(st.integers(1, count))
    wish = data.draw(st.integers(0, count - length))
    start = snap(wish, length, packets)
    assert packets.key[start] and start + length <= count
    assert decode_cost(np.arange(start, start + length, dtype=np.int32), packets) == length
    others = [key for key in packets.key_frames if key + length <= count]
    assert abs(start - wish) == min(abs(key - wish) for key in others)


def test_a_clip_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(PlanImpossible, match="4 frames does not fit in 3"):
        snap(0, 4, Packets(offset=b"", size=b"", key=b"\1\0\0"))


@given(packet_tables(), st.booleans(), st.data())
def test_the_nearest_frame_of_a_kind(packets: Packets, key: bool, data: st.DataObject) -> None:
    frame = data.draw(st.integers(0, len(packets.key) - 1))
    right = [at for at, value in enumerate(packets.key) if bool(value) == key]
    if not right:
        with pytest.raises(PlanImpossible, match="key frame"):
            nearest_of_kind(frame, packets, key=key)
    else:
        found = nearest_of_kind(frame, packets, key=key)
        assert found in right and abs(found - frame) == min(abs(at - frame) for at in right)


def test_frame_types_are_balanced_where_times_are_not() -> None:
    packets = Packets(offset=b"", size=b"", key=bytes([1, *[0] * 15] * 4))
    rng = np.random.default_rng(0)
    # One class wishes for the starts of GOPs, the other for their ends.
    wishes = {"same": 16 * rng.integers(0, 4, 400), "other": 16 * rng.integers(0, 4, 400) + 15}
    kinds = rng.random(400) < 0.25
    shown = {
        name: np.mean(
            [
                packets.key[nearest_of_kind(int(wish), packets, key=bool(kind))]
                for wish, kind in zip(times, kinds, strict=True)
            ]
        )
        for name, times in wishes.items()
    }
    assert shown["same"] == shown["other"] == kinds.mean()
    assert {np.mean([packets.key[wish] for wish in times]) for times in wishes.values()} == {1.0, 0.0}


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 40), max_size=6)), min_size=1, max_size=4))
def test_the_cost_of_several_plans_is_known_before_they_are_decoded(wanted: list[list[int] | None]) -> None:
    sidecar = made_up(frames=41)
    plans = [None if frames is None else Plan(frames=np.array(frames, np.int32)) for frames in wanted]
    cost, found = cost_of(plans, sidecar), [plan for plan in plans if plan is not None]
    shown = shown_frames(found)
    assert shown.tolist() == sorted({frame for plan in found for frame in plan.frames.tolist()})
    assert cost.shown == tuple(len(frames or ()) for frames in wanted)
    assert cost.decoded == decode_cost(shown, sidecar.video.packets)
    assert max(cost.alone) <= cost.decoded <= sum(cost.alone)
    twice = Cost.sum([cost, cost], tasks=len(plans))
    assert twice.decoded == 2 * cost.decoded and twice.alone == tuple(2 * count for count in cost.alone)


def test_one_plan_twice_costs_once() -> None:
    plan = Plan(frames=np.array([3, 20], np.int32))
    cost = cost_of([plan, plan], made_up(frames=41))
    assert (cost.alone, cost.decoded) == ((9, 9), 9)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), min_size=1, max_size=5))
def test_the_stretch_that_holds_all_is_the_shortest(ends: list[tuple[int, int]]) -> None:
    spans = [Span(start, length) for start, length in ends]
    hull = heard_span(spans)
    assert hull.start in {span.start for span in spans}
    assert hull.start + hull.length in {span.start + span.length for span in spans}
    assert all(hull.start <= s.start and s.start + s.length <= hull.start + hull.length for s in spans)
