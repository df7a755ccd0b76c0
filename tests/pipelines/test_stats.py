"""Where the time goes: the stage that the others wait for is named."""

import pytest

from unreel.pipelines.stats import STAGES, LoaderStats, Stopwatch


@pytest.mark.parametrize(
    ("seconds", "elapsed", "expected"),
    [
        ({"decode": 9.0, "wait": 8.0}, 10.0, "decode"),
        ({"decode": 5.0, "read": 4.0, "plan": 2.0, "wait": 6.0}, 10.0, "read"),
        ({"decode": 5.0, "read": 1.0, "plan": 5.0, "wait": 6.0}, 10.0, "plan"),
        ({"decode": 5.0, "read": 2.0, "plan": 2.0, "wait": 6.0}, 10.0, "decode"),
        ({"decode": 5.0, "wait": 3.0, "build": 2.0}, 10.0, "consumer"),
        ({"decode": 5.0, "wait": 3.0, "build": 6.0}, 10.0, "build"),
    ],
)
def test_the_bottleneck_is_named(seconds: dict[str, float], elapsed: float, expected: str) -> None:
    stats = LoaderStats()
    stats.begin()
    stats.add(8, {**dict.fromkeys(STAGES, 0.0), **seconds}, ready=0)
    stats.elapsed = elapsed
    assert stats.bottleneck == expected and f"the bottleneck is {expected}" in str(stats)


def test_sums_are_over_steps() -> None:
    stats = LoaderStats()
    for _ in range(3):
        stats.begin()
        stats.add(8, {"read": 0.5}, ready=1)
    assert (stats.steps, stats.clips, stats.seconds["read"]) == (3, 24, 1.5)
    assert stats.elapsed > 0


def test_a_stopwatch_counts_a_stage_even_when_it_raises() -> None:
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("plan"):
        raise KeyError
    assert watch.seconds["plan"] > 0 and watch.seconds["read"] == 0


def test_a_window_holds_what_happened_since_the_last_one() -> None:
    stats = LoaderStats()
    stats.begin()
    stats.add(8, {"decode": 1.0}, ready=3)
    stats.elapsed = 2.0
    assert stats.window()["decode"] == 0.5
    for ready in (0, 1, 2, 0):
        stats.add(8, {"decode": 1.0, "wait": 0.5}, ready=ready)
    stats.elapsed = 10.0
    window = stats.window()
    assert window["clips_per_second"] == 4.0
    assert (window["queue"], window["starved"]) == (0.75, 0.5)
    assert (window["decode"], window["wait"], window["consumer"]) == (0.5, 0.25, 0.75)
