"""Limits on the command line: changed by name, and a wrong one is told the right ones."""

import pytest

from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.tools.limits import read_limits


def test_settings_change_the_defaults() -> None:
    limits = read_limits(["pixels=1000", "memory=1.5GiB", "seconds=7.5", "pixels=2000"])
    assert (limits.pixels, limits.memory, limits.seconds) == (2000, 3 << 29, 7.5)
    assert limits.streams == DEFAULT_LIMITS.streams


@pytest.mark.parametrize("setting", ["pixel=3", "pixels", "pixels=", ""])
def test_wrong_name_tells_the_right_ones(setting: str) -> None:
    with pytest.raises(ValueError, match=r"write NAME=NUMBER; the limits are wall=20, .*, streams=128"):
        read_limits([setting])


@pytest.mark.parametrize(
    "setting", ["pixels=-1", "pixels=many", "seconds=soon", "seconds=nan", "wall=0", "frames=0"]
)
def test_wrong_number_is_told(setting: str) -> None:
    with pytest.raises(ValueError, match=setting.partition("=")[0]):
        read_limits([setting])
