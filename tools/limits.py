"""Limits as a command line writes them: NAME=NUMBER."""

from collections.abc import Iterable

import msgspec

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.tools.sizes import read_size

__all__ = ["read_limits"]


def read_limits(settings: Iterable[str]) -> Limits:
    """The default limits with each `NAME=NUMBER` changed; sizes and counts may be written as 8GiB or 100k.

    Raises:
        ValueError: there is no such limit, or its value is no number above 0.
    """
    limits = DEFAULT_LIMITS
    for setting in settings:
        name, _, text = setting.partition("=")
        known = dict(limits.items())
        if name not in known or not text:
            there_are = ", ".join(f"{name}={value:.10g}" for name, value in known.items())
            raise ValueError(f"--limit {setting!r}: write NAME=NUMBER; the limits are {there_are}")
        limits = msgspec.structs.replace(limits, **{name: _amount(name, text, type(known[name]))})
    return limits


def _amount(name: str, text: str, kind: type[float]) -> float:
    if kind is int:
        return read_size(f"--limit {name}", text)
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"--limit {name}={text}: a number of seconds is needed") from error
