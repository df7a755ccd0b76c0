"""Faults on demand: a named point of the builder fails at a chosen moment, so that anyone can rerun the drills.

`UNREEL_FAULT=POINT[:COUNT][@TEXT]=ACTION`, several separated by commas. The point fails when it is reached for the COUNT-th
time (from 1, by default 1) by one process; with `@TEXT`, every time that its detail holds TEXT. ACTION is `kill`, `segv`,
`abrt`, `term`, `int`, or the name of an errno such as `ENOSPC`.

| point | reached |
|---|---|
| `temp-open` | a shard's temporary file is open |
| `mid-member` | a member's header is written and its bytes are not |
| `before-fsync` | a shard is written and not synced |
| `after-rename` | a file has its final name and the folder is not synced |
| `mid-manifest` | half of a plan, report, index or catalogue is written |
| `write` | before each write of any of them |
| `source` | a source is begun; its detail is the source's name |
"""

import errno
import os
import re
import signal
from collections import Counter
from typing import Final, NamedTuple

__all__ = ["POINTS", "VARIABLE", "fault"]

VARIABLE: Final = "UNREEL_FAULT"
POINTS: Final = (
    "temp-open",
    "mid-member",
    "before-fsync",
    "after-rename",
    "mid-manifest",
    "write",
    "source",
)
_SIGNALS: Final = ("kill", "segv", "abrt", "term", "int")
_FORM: Final = re.compile(r"(?P<point>[a-z-]+)(:(?P<count>\d+))?(@(?P<text>[^=]+))?=(?P<action>\w+)")


class _Fault(NamedTuple):
    point: str
    due: int
    text: str | None
    action: str


def fault(point: str, detail: str = "") -> None:
    """Fail here if the environment says so; the cost of not failing is one comparison."""
    if not _FAULTS:
        return
    _REACHED[point] += 1
    for planned in _FAULTS:
        due = _REACHED[point] == planned.due if planned.text is None else planned.text in detail
        if planned.point == point and due:
            _fail(planned)


def _fail(planned: _Fault) -> None:
    if planned.action in _SIGNALS:
        os.kill(os.getpid(), signal.Signals[f"SIG{planned.action.upper()}"])
        return
    number = getattr(errno, planned.action)
    raise OSError(number, os.strerror(number))


def _parse(text: str) -> tuple[_Fault, ...]:
    return tuple(_parse_one(part) for part in text.split(",") if part)


def _parse_one(text: str) -> _Fault:
    found = _FORM.fullmatch(text)
    known = found and found["point"] in POINTS
    if not found or not known or not (found["action"] in _SIGNALS or hasattr(errno, found["action"])):
        raise ValueError(
            f"{VARIABLE} {text!r}: the form is POINT[:COUNT][@TEXT]=ACTION; points are {', '.join(POINTS)}; "
            f"actions are {', '.join(_SIGNALS)} and names of errno such as ENOSPC"
        )
    return _Fault(found["point"], int(found["count"] or 1), found["text"], found["action"])


_FAULTS = _parse(os.environ.get(VARIABLE, ""))
_REACHED: Counter[str] = Counter()
