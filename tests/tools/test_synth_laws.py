"""The laws of motion: inside the picture, slow enough, with and without an arrow of time."""

import numpy as np
import pytest

from unreel.tools.synth.dice import Dice, dealt
from unreel.tools.synth.laws import ARROW, LAWS
from unreel.tools.synth.stage import Motion, Stage

TIMES = np.arange(150) / 25
CLIPS = range(25)


def motion_of(law: str, clip: int, aspect: float = 1.0) -> tuple[Stage, Motion]:
    stage = Stage(Dice(7, clip), TIMES, aspect, 0.22 + 0.005 * clip)
    return stage, LAWS[law](stage)


@pytest.mark.parametrize("aspect", [1.0, 1.6])
@pytest.mark.parametrize("law", LAWS)
def test_objects_stay_in_the_picture(law: str, aspect: float) -> None:
    for clip in CLIPS:
        _, motion = motion_of(law, clip, aspect)
        reach = motion.size / 2
        assert (motion.x - reach).min() > 0 and (motion.x + reach).max() < aspect
        assert (motion.y - reach * motion.squash).min() > 0 and (motion.y + reach).max() < 1


@pytest.mark.parametrize("law", LAWS)
def test_curves_and_events_are_in_range(law: str) -> None:
    for clip in CLIPS:
        stage, motion = motion_of(law, clip)
        for curve in (
            motion.x,
            motion.y,
            motion.size,
            motion.angle,
            motion.squash,
            motion.phase,
            motion.activity,
        ):
            assert curve.shape == TIMES.shape and np.isfinite(curve).all()
        assert 0 <= motion.phase.min() and motion.phase.max() < 1
        assert 0 <= motion.activity.min() and motion.activity.max() <= 1
        assert len(motion.events) >= 2
        assert all(0 <= event.seconds < stage.seconds and 0 < event.strength <= 1 for event in motion.events)


@pytest.mark.parametrize("law", [law for law in LAWS if law != "growth"])
def test_a_second_holds_substantial_travel(law: str) -> None:
    travel = []
    for clip in CLIPS:
        _, motion = motion_of(law, clip)
        travel.append(np.hypot(motion.x[25:] - motion.x[:-25], motion.y[25:] - motion.y[:-25]).mean())
    assert np.median(travel) > 0.2


@pytest.mark.parametrize("law", LAWS)
def test_time_does_not_give_the_position_away(law: str) -> None:
    places = np.array([[motion_of(law, clip)[1].x[k] for k in (0, 75)] for clip in CLIPS])
    phases = np.array([motion_of(law, clip)[1].phase[0] for clip in CLIPS])
    assert places.std(axis=0).min() > 0.08 and phases.std() > 0.15


@pytest.mark.parametrize("law", ["fall", "bounce"])
def test_contacts_are_heard_at_the_lowest_point(law: str) -> None:
    for clip in CLIPS:
        _, motion = motion_of(law, clip)
        for event in motion.events:
            frame = round(event.seconds * 25)
            if 3 <= frame < len(TIMES) - 4:
                lowest = frame - 3 + int(motion.y[frame - 3 : frame + 4].argmin())
                assert abs(lowest - event.seconds * 25) <= 2


def test_falling_goes_down_faster_and_faster() -> None:
    for clip in CLIPS:
        _, motion = motion_of("fall", clip)
        velocity = np.diff(motion.y)
        airborne = (
            (velocity < -0.002) & (velocity > -0.1) & (motion.activity[1:] > 0) & (motion.activity[:-1] > 0)
        )
        both = airborne[1:] & airborne[:-1]
        assert (np.diff(velocity)[both] < 0).all()


def test_a_bounce_loses_height() -> None:
    for clip in CLIPS:
        _, motion = motion_of("bounce", clip)
        strengths = np.array([event.strength for event in motion.events])
        assert (np.diff(strengths) < 0).sum() > (np.diff(strengths) > 0).sum()


def test_a_growing_object_shrinks_only_when_it_pops() -> None:
    for clip in CLIPS:
        _, motion = motion_of("growth", clip)
        pops = [event.seconds for event in motion.events if event.strength == 1.0]
        assert (np.diff(motion.size) < 0).sum() == len([pop for pop in pops if pop > 0])


def test_a_swing_looks_the_same_backwards() -> None:
    for clip in CLIPS:
        _, motion = motion_of("swing", clip)
        turning = 20 + int(np.abs(np.diff(motion.x[20:130])).argmin())
        before, after = motion.x[turning - 14 : turning + 1][::-1], motion.x[turning + 1 : turning + 16]
        assert np.abs(before - after).max() < 0.04


def test_every_law_says_whether_it_has_an_arrow() -> None:
    assert ARROW.keys() == LAWS.keys() and set(ARROW.values()) == {0, 1}


def test_dealt_choices_are_balanced_and_differ_between_purposes() -> None:
    drawn = np.array([[dealt(Dice(3, clip), name, 6) for name in ("a", "b")] for clip in range(120)])
    assert (np.apply_along_axis(np.bincount, 0, drawn) == 20).all()
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.3
