"""Limits: held by name, and every refusal tells the option."""

import pytest

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.errors import MediaRefused


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limit_of_nothing_is_wrong(value: float) -> None:
    with pytest.raises(ValueError, match=r"limit seconds=.*: a number above 0"):
        Limits(seconds=value)


@pytest.mark.parametrize("name", [name for name, _ in DEFAULT_LIMITS.items()])
def test_every_limit_refuses_with_its_option(name: str) -> None:
    limit = getattr(DEFAULT_LIMITS, name)
    DEFAULT_LIMITS.check(name, limit)
    with pytest.raises(MediaRefused, match=f"--limit {name}=NUMBER changes it"):
        DEFAULT_LIMITS.check(name, limit + 1)


def test_long_sources_get_more_time() -> None:
    limits = Limits(wall=10, cpu=30)
    assert limits.probe_wall(5 << 20) == 15
    assert limits.decode_cpu(60) == 30 + 20 * 60
