"""One piece of work as bytes: decoded, done and encoded again where it runs, by the types of the function itself."""

import builtins
import importlib
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from unreel.shards import errors
from unreel.shards.errors import UnreelError

__all__ = ["Note", "Work", "decode_outcome", "encode_job", "name_of", "perform"]

Job = TypeVar("Job")
Result = TypeVar("Result")

Note = Callable[[str], None]
"""Called with the name of a source before it is begun: should the process die, this is the last that is heard of it."""

Work = Callable[[Job, Note], Result]
"""A function of a module; both of its types are such as msgspec encodes."""

# What a user or the machine can cause is raised again as it was; anything else is a mistake of ours, with its traceback.
_RAISED_AGAIN: Final = (ValueError, UnreelError)


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One of three: the result, an `OSError`, or the class and the message of another exception."""

    result: bytes = b""
    os_error: tuple[int | None, str | None, str | None] | None = None
    raised: tuple[str, str] | None = None


def name_of(work: Work[Any, Any]) -> str:
    """`module:function`."""
    return f"{work.__module__}:{work.__qualname__}"


def encode_job(job: object) -> bytes:
    """A job as bytes."""
    return msgspec.msgpack.encode(job)


def perform(name: str, job: bytes, note: Note) -> bytes:
    """Do one piece of work here; its outcome, whatever it is, as bytes."""
    try:
        work, takes, _ = _find(name)
        result = work(msgspec.msgpack.decode(job, type=takes), note)
        outcome = _Outcome(result=msgspec.msgpack.encode(result))
    except OSError as error:
        outcome = _Outcome(os_error=(error.errno, error.strerror or str(error), _text(error.filename)))
    except _RAISED_AGAIN as error:
        outcome = _Outcome(raised=(type(error).__name__, str(error)))
    except Exception:  # noqa: BLE001  raised again, with this traceback, where the build is led
        outcome = _Outcome(raised=("RuntimeError", f"{name} failed:\n{traceback.format_exc()}"))
    return msgspec.msgpack.encode(outcome)


def decode_outcome(work: Work[Job, Result], outcome: bytes) -> Result:
    """The result of `work`. Raises what the work raised."""
    found = msgspec.msgpack.decode(outcome, type=_Outcome)
    if found.os_error is not None:
        number, what, path = found.os_error
        raise OSError(number, what, path)
    if found.raised is not None:
        kind, message = found.raised
        raise _exception(kind)(message)
    result: Result = msgspec.msgpack.decode(found.result, type=_find(name_of(work))[2])
    return result


@lru_cache
def _find(name: str) -> tuple[Work[Any, Any], Any, Any]:
    """The function of a name, the type that it takes and the type that it returns."""
    module, _, attribute = name.partition(":")
    work = getattr(importlib.import_module(module), attribute)
    hints = get_type_hints(work)
    returned = hints.pop("return")
    return work, next(iter(hints.values())), returned


def _exception(kind: str) -> type[Exception]:
    found: type[Exception] = getattr(errors, kind, None) or getattr(builtins, kind, None) or UnreelError
    return found


def _text(path: object) -> str | None:
    return None if path is None else str(path)
