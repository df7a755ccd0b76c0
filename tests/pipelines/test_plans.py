"""Starts on key frames, frame types by draw, and several plans in one decode."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.plan import Plan, Span, Window, decode_cost
from unreel.pipelines.plans import nearest_of_kind, shares, snap, unite
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets

WINDOW = Window(0, 0, 16, 16)


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


@given(st.lists(st.lists(st.integers(0, 40), max_size=6), max_size=4))
def test_united_plans_come_apart_again(wanted: list[list[int]]) -> None:
    plans = [Plan(frames=np.array(frames, np.int32), window=WINDOW if frames else None) for frames in wanted]
    united = unite(plans)
    assert [united.frames[part].tolist() for part in shares(plans)] == wanted
    packets = Packets(offset=b"", size=b"", key=bytes([1, *[0] * 9] * 5))
    assert decode_cost(united.frames, packets) <= sum(decode_cost(plan.frames, packets) for plan in plans)


def test_plans_that_want_other_things_are_not_united() -> None:
    one, other = Plan(sound=Span(0, 10)), Plan(sound=Span(5, 10))
    assert unite([one, Plan(frames=np.array([3], np.int32), window=WINDOW)]).sound == Span(0, 10)
    with pytest.raises(PlanImpossible, match="differ"):
        unite([one, other])
