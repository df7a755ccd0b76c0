"""Sizes in bytes as people write them."""

import re
from typing import Final

__all__ = ["read_size"]

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kmg]i?)?)b?", re.IGNORECASE)


def read_size(name: str, text: str) -> int:
    """Bytes of `64MiB`, `1.5 GB`, `300k` or `4096`, at least 1.

    Raises:
        ValueError: it is no size, with the option's `name`.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size < 1:
        raise ValueError(f"{name} {text!r}: a size such as 64MiB, 1.5GB or 4096 is needed")
    return size
