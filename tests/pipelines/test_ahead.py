"""Working ahead: bounded, in order, with exceptions that arrive and threads that end."""

import gc
import threading
import time

import pytest

from unreel.pipelines.ahead import Ahead


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("unreel-")}


def settle(expected: int) -> None:
    """Wait until that many of our threads are left."""
    end = time.monotonic() + 10
    while len(threads()) != expected and time.monotonic() < end:
        time.sleep(0.01)
    assert len(threads()) == expected


@pytest.fixture(autouse=True)
def no_threads_before() -> None:
    gc.collect()
    settle(0)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_steps_come_in_order_and_never_more_than_the_depth_ahead(depth: int) -> None:
    begun: list[int] = []
    ahead = Ahead[int, int](depth)

    def first(step: int) -> int:
        begun.append(step)
        return step

    for step in range(5, 15):
        assert ahead.take(step, first, lambda value: value * 10) == step * 10
        time.sleep(0.005)
        assert max(begun) <= step + depth
    assert begun[:10] == list(range(5, 15)) and len(begun) == len(set(begun))
    ahead.close()


@pytest.mark.parametrize("stage", [0, 1])
def test_exceptions_reach_the_consumer_and_the_step_can_be_tried_again(stage: int) -> None:
    broken = True

    def fail_at(here: int, value: int) -> int:
        if here == stage and broken and value == 2:
            raise OSError("the disk is gone")
        return value

    ahead = Ahead[int, int](2)

    def take(step: int) -> int:
        return ahead.take(step, lambda value: fail_at(0, value), lambda value: fail_at(1, value))

    assert [take(0), take(1)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        take(2)
    broken = False
    assert [take(2), take(3)] == [2, 3]
    ahead.close()


def test_closing_ends_the_threads_although_steps_are_left() -> None:
    ahead = Ahead[int, int](8)
    ahead.take(0, lambda step: step, lambda value: time.sleep(0.02) or value)
    assert len(threads()) == 2
    ahead.close()
    assert not threads()


def test_threads_end_with_their_owner_without_close() -> None:
    ahead = Ahead[int, int](2)
    ahead.take(0, lambda step: step, lambda value: value)
    del ahead
    gc.collect()
    settle(0)


def test_forgotten_steps_are_begun_again() -> None:
    begun: list[int] = []
    ahead = Ahead[int, int](1)
    for _ in range(2):
        assert ahead.take(0, lambda step: begun.append(step) or step, lambda value: value) == 0
        ahead.forget()
    assert begun.count(0) == 2
    ahead.close()


def test_a_jump_drops_what_was_begun_for_the_old_place() -> None:
    ahead = Ahead[int, int](2)
    assert [ahead.take(step, lambda step: step, lambda value: value) for step in (0, 100, 7)] == [0, 100, 7]
    assert sorted(ahead._steps) == [8, 9]
    ahead.close()
