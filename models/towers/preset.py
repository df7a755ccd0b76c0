"""A builder with other defaults: how one family becomes the towers that the papers name, and their tiny forms."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

__all__ = ["preset"]

T = TypeVar("T")


def preset(builder: Callable[..., T], **defaults: object) -> Callable[..., T]:
    """`builder` with `defaults`, which its signature shows, so that a recipe can write them all out.

    Raises:
        TypeError: when `builder` has no such keyword.
    """
    signature = inspect.signature(builder)
    signature.bind_partial(**defaults)
    known = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
    ]

    @functools.wraps(builder)
    def build(**settings: object) -> T:
        return builder(**{**defaults, **settings})

    build.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]
    return build
