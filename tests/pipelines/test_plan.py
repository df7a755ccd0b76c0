"""Plans are held against their samples before a decoder answers with black, and say what they cost."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.plan import Plan, Span, Window, check_plan, decode_cost, decode_runs, frame_step
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Audio, Packets, Sidecar, Source, Video, pack_column

FRAMES = 40


def packets(keys: list[int], frames: int = FRAMES) -> Packets:
    blank = pack_column("offset", np.zeros(frames))
    return Packets(offset=blank, size=blank, key=pack_column("key", np.isin(np.arange(frames), keys)))


VIDEO = Video(
    codec="h264",
    width=160,
    height=128,
    frames=FRAMES,
    rate=(25, 1),
    matrix="bt709",
    gop=16,
    packets=packets([0]),
)
AUDIO = Audio(codec="flac", rate=48_000, channels=1, samples=76_800)


def sidecar(video: Video | None = VIDEO, audio: Audio | None = AUDIO) -> Sidecar:
    return Sidecar(key="k", source=Source(id="0", name="k"), video=video, audio=audio)


def plan(*frames: int, window: Window | None = None, sound: Span | None = None) -> Plan:
    return Plan(frames=np.array(frames, np.int32), window=window or Window(0, 0, 128, 160), sound=sound)


@pytest.mark.parametrize(
    "fits",
    [
        plan(0, FRAMES - 1, 5, 5),
        plan(3, window=Window(28, 60, 100, 100)),
        plan(sound=Span(0, 76_800)),
        plan(0, sound=Span(76_799, 1)),
    ],
)
def test_what_fits_passes(fits: Plan) -> None:
    check_plan(fits, sidecar())


@pytest.mark.parametrize(
    ("wrong", "of", "message"),
    [
        (plan(3, FRAMES), sidecar(), r"frames 3 … 40 asked for, it has 40"),
        (plan(-1, 3), sidecar(), r"frames -1 … 3"),
        (plan(0, window=Window(29, 0, 100, 100)), sidecar(), "does not fit in 160x128"),
        (plan(0, window=Window(0, 61, 100, 100)), sidecar(), "does not fit"),
        (plan(0, window=Window(-1, 0, 100, 100)), sidecar(), "does not fit"),
        (plan(0, window=Window(0, -1, 100, 100)), sidecar(), "does not fit"),
        (Plan(frames=np.array([0], np.int32)), sidecar(), "names no window"),
        (plan(0), sidecar(video=None), "the sample has no picture"),
        (plan(sound=Span(1, 76_800)), sidecar(), r"\[1, 76801\) asked for, it has 76800"),
        (plan(sound=Span(-1, 10)), sidecar(), r"\[-1, 9\)"),
        (plan(sound=Span(0, 1)), sidecar(audio=None), "the sample has none"),
    ],
)
def test_what_does_not_fit_is_named(wrong: Plan, of: Sidecar, message: str) -> None:
    with pytest.raises(PlanImpossible, match=rf"sample k: .*{message}"):
        check_plan(wrong, of)


@given(st.sets(st.integers(1, FRAMES - 1)), st.lists(st.integers(0, FRAMES - 1), min_size=1))
def test_runs_start_at_keys_show_every_frame_and_cost_no_more_than_needed(
    keys: set[int], wanted: list[int]
) -> None:
    table, frames = packets([0, *keys]), np.array(wanted, np.int32)
    runs = decode_runs(frames, table)
    shown = [frame for start, stop in runs for frame in range(start, stop)]
    assert set(wanted) <= set(shown) and len(shown) == len(set(shown)) == decode_cost(frames, table)
    assert all(start in {0, *keys} for start, _ in runs) and runs == sorted(runs)
    # Frame by frame: from the nearest key frame to the frame, each decoded once.
    needed = {f for w in wanted for f in range(max(key for key in {0, *keys} if key <= w), w + 1)}
    assert set(shown) == needed


def test_cost_of_a_plan_across_groups_of_pictures() -> None:
    table = packets([0, 16, 32])
    assert decode_runs(np.array([17, 3, 33, 3], np.int32), table) == [(0, 4), (16, 18), (32, 34)]
    assert decode_runs(np.array([15, 16], np.int32), table) == [(0, 17)]
    assert decode_cost(np.array([31], np.int32), table) == 16


@pytest.mark.parametrize(
    ("seconds", "rate", "frames"),
    [
        (Fraction(1, 5), Fraction(25), 5),
        (Fraction(1, 5), Fraction(30_000, 1001), 6),
        (Fraction(1, 100), Fraction(25), 1),
        (Fraction(1, 10), Fraction(24), 2),
    ],
)
def test_steps_are_given_in_time(seconds: Fraction, rate: Fraction, frames: int) -> None:
    assert frame_step(seconds, rate) == frames
