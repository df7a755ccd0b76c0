"""Limits: set by name, held by name, and every refusal tells the option."""

import pytest

from unreel.shards.errors import MediaRefused
from unreel.shards.limits import DEFAULT_LIMITS, Limits, parse_limits


def test_settings_change_the_defaults() -> None:
    limits = parse_limits(["pixels=1000", "memory=1.5G", "seconds=7.5"])
    assert (limits.pixels, limits.memory, limits.seconds) == (1000, 3 << 29, 7.5)
    assert limits.streams == DEFAULT_LIMITS.streams


@pytest.mark.parametrize("setting", ["pixel=3", "pixels", "pixels=", "pixels=-1", "pixels=1e3", "pixels=inf"])
def test_wrong_setting_tells_the_right_ones(setting: str) -> None:
    with pytest.raises(ValueError, match=r"write NAME=NUMBER.*the limits are wall=20, .*, streams=128"):
        parse_limits([setting])


def test_limit_of_nothing_is_wrong() -> None:
    with pytest.raises(ValueError, match="limit frames=0: a number above 0"):
        parse_limits(["frames=0"])


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
