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
    stats.add(8, {**dict.fromkeys(STAGES, 0.0), **seconds})
    stats.elapsed = elapsed
    assert stats.bottleneck == expected and f"{expected} sets the pace" in str(stats)


def test_sums_are_over_steps() -> None:
    stats = LoaderStats()
    for _ in range(3):
        stats.begin()
        stats.add(8, {"read": 0.5})
    assert (stats.steps, stats.clips, stats.seconds["read"]) == (3, 24, 1.5)
    assert stats.elapsed > 0


def test_a_stopwatch_counts_a_stage_even_when_it_raises() -> None:
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("plan"):
        raise KeyError
    assert watch.seconds["plan"] > 0 and watch.seconds["read"] == 0
