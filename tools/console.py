"""What every command shares: the console, progress bars, JSON results and exit codes."""

import enum
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Exit", "Ticker", "console", "output", "progress", "write_result"]

console = Console(stderr=True, highlight=False)
"""Everything for people goes to standard error: standard output is for `--json -`."""

output = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
"""Standard output, for the tables that a command exists to print; in a file they are wide, where rich would cut at 80."""


class Exit(enum.IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSALS = 3
    """Done, with more refused sources than the ceiling allows."""


class Ticker:
    """One running progress bar. Quiet when standard error is not a terminal."""

    def __init__(self, bar: Progress, description: str, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total)

    def advance(self, count: int = 1) -> None:
        """`count` more units are done."""
        self._bar.advance(self._task, count)

    def follow(self, done: int, total: int) -> None:
        """`done` of `total` units are done."""
        self._bar.update(self._task, completed=done, total=total)

    def say(self, text: str) -> None:
        """Change the words in front of the bar."""
        self._bar.update(self._task, description=text)


@contextmanager
def progress(
    total: int | None, description: str, *, show: bool = True, left: bool = True
) -> Iterator[Ticker]:
    """A progress bar over `total` units; None for an unknown total. Without `show` it is there and not seen.

    Without `left` the description says how long it will take, and not the bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=40 if left else 12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *((TimeRemainingColumn(),) if left else ()),
    )
    with Progress(
        *columns, console=console, disable=not (show and console.is_terminal), transient=True
    ) as bar:
        yield Ticker(bar, description, total)


def write_result(result: Mapping[str, object], json_path: str | None) -> None:
    """Write a command's result where `--json` says: a file, `-` for standard output, None for nowhere."""
    if json_path is None:
        return
    text = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
    if json_path == "-":
        sys.stdout.buffer.write(text)
    else:
        Path(json_path).write_bytes(text)
