# mypy: disable-error-code="no-untyped-def"
"""Arrays at addresses, for compiled loops: numba does not count such an array, which makes it cheap in a loop."""

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

__all__ = ["bytes_at", "floats_at", "longs_at", "pointer"]

intrinsic: Any = _intrinsic


@intrinsic
def pointer(_typing: Any, address: Any) -> Any:
    """An int64 as what `carray` takes."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), build


@njit(nogil=True)
def bytes_at(address, count):
    """`count` uint8 at `address`."""
    return carray(pointer(address), (count,), np.uint8)


@njit(nogil=True)
def floats_at(address, count):
    """`count` float32 at `address`."""
    return carray(pointer(address), (count,), np.float32)


@njit(nogil=True)
def longs_at(address, count):
    """`count` int64 at `address`."""
    return carray(pointer(address), (count,), np.int64)
