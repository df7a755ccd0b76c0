"""Decode backends: encoded samples and plans in, pictures and sound out. One file a backend, one protocol."""

import importlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Final

from unreel.pipelines.decode.backend import DecodeBackend, Decoded
from unreel.pipelines.decode.choose import Choice, fastest
from unreel.pipelines.plan import Plan
from unreel.shards.reader import EncodedSample

__all__ = [
    "BACKENDS",
    "Choice",
    "DecodeBackend",
    "Decoded",
    "available",
    "choose_backend",
    "make_backend",
]

BACKENDS: Final[Mapping[str, str]] = {
    "packets": "unreel.pipelines.decode.packets:Packets",
    "decord": "unreel.pipelines.decode.decord:Decord",
    "torchcodec": "unreel.pipelines.decode.torchcodec:Torchcodec",
    "dali": "unreel.pipelines.decode.dali:Dali",
}
"""Backend → module and class. A module is imported, and its library with it, when the backend is asked for."""

_INSTALL: Final[Mapping[str, str]] = {
    "packets": "pip install av",
    "decord": "pip install 'unreel[decord]'",
    "torchcodec": "pip install 'unreel[torchcodec]'",
    "dali": "pip install 'unreel[dali]'",
}
"""What brings a library that is not installed."""

_REPAIR: Final[Mapping[str, str]] = {
    "torchcodec": "it needs the FFmpeg libraries (4 to 8) of the system: apt-get install ffmpeg",
}
"""What a library that is installed still needs, where reinstalling it does not help."""


def make_backend(name: str, *, threads: int, device: str = "cpu") -> DecodeBackend:
    """A decode backend by its name.

    Args:
        threads: CPU threads that decode.
        device: where `dali` decodes; the other backends decode on the host.

    Raises:
        ValueError: there is no such backend, or it does not work on this machine.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r}: there are {', '.join(BACKENDS)}, and auto")
    missing = _missing(name)
    if missing is not None:
        raise ValueError(f"backend {name!r} does not work here: {missing}")
    settings = {"device": device} if name == "dali" else {}
    return _load(name)(threads=threads, **settings)


def available() -> dict[str, str | None]:
    """Backend → None where its library loads, else what is missing and what to do, in one sentence."""
    return {name: _missing(name) for name in BACKENDS}


def choose_backend(
    samples: Sequence[EncodedSample],
    *plans: Sequence[Plan],
    threads: int,
    device: str = "cpu",
    repeats: int = 3,
) -> Choice:
    """Resolve `auto`: the quickest of the backends that work here and decode all of these samples.

    `plans`: those of one task, or of each of several that share the decode.

    `str()` of the result is a line for the log: rates of those measured, and why the others were not.

    Raises:
        ValueError: no backend decodes all of the samples.
    """
    missing = {name: why for name, why in available().items() if why is not None}
    with ExitStack() as stack:
        usable = {
            name: stack.enter_context(closing(make_backend(name, threads=threads, device=device)))
            for name in BACKENDS
            if name not in missing
        }
        return fastest(usable, samples, plans, repeats=repeats, left_out=missing)


def _load(name: str) -> type:
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _missing(name: str) -> str | None:
    try:
        _load(name)
    except ModuleNotFoundError as error:
        return f"{error}; {_INSTALL[name]}"
    # torchcodec raises RuntimeError where it finds no FFmpeg, the dynamic linker OSError.
    except (ImportError, OSError, RuntimeError) as error:
        cause = re.split(r"\. |\n", str(error).strip())[0]
        return f"{cause}; {_REPAIR.get(name, _INSTALL[name])}"
    return None
