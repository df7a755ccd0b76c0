"""What is to be built: folders, globs, single files and CSV manifests become one ordered list of sources."""

import csv
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["TO_THE_END", "SourceFile", "is_plain_file", "list_sources", "read_manifest"]

Label = str | int | float

_RECORD_COLUMNS = ("split", "licence", "url", "takedown_id")
_SPAN_COLUMNS = ("start", "end")
TO_THE_END: Final = 1e9
"""Seconds that no source reaches: the end of a span that has none."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# `007` names something; as the number 7 it would no longer be found. JSON has no nan and no infinity.
_NUMBERS: Final[dict[type[Label], re.Pattern[str]]] = {
    int: re.compile(r"-?(0|[1-9]\d*)"),
    float: re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE),
}
# Longest text of one manifest cell: a track of ten hours at 60 frames a second.
_CELL_LIMIT = 1 << 25


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that is to be built, and what a manifest says of it."""

    path: str
    """Absolute path."""
    name: str
    """Path below the listed folder, or as the manifest writes it; it informs people."""
    split: str | None = None
    licence: str | None = None
    url: str | None = None
    takedown_id: str | None = None
    labels: dict[str, Label] = {}
    tracks: dict[str, tuple[float, ...]] = {}
    """Labels over time, one number for each frame of the source."""
    spans: tuple[tuple[float, float], ...] = ()
    """Ascending (start, stop) in seconds from the first decoded picture, or the first sound where there is none: what of
    the source is wanted. Spans may overlap and may end after the source. Empty: all of it."""
    span_labels: tuple[dict[str, Label], ...] = ()
    """Labels of each span, beside `labels`; empty, or as many as there are spans."""


def list_sources(arguments: Iterable[str | Path]) -> list[SourceFile]:
    """Every file that `arguments` name, in a fixed order, each path once.

    An argument is a folder (searched to any depth, hidden names left out), a `.csv` manifest, a file, or a glob pattern.

    Raises:
        ValueError: an argument names nothing, or a manifest cannot be read.
    """
    found: dict[str, SourceFile] = {}
    for argument in arguments:
        for source in _expand(Path(argument)):
            found.setdefault(source.path, source)
    return list(found.values())


def _expand(argument: Path) -> Iterable[SourceFile]:
    if argument.is_dir():
        return _walk(argument)
    if argument.suffix.lower() == ".csv" and argument.is_file():
        return read_manifest(argument)
    if argument.exists():
        return [_source(argument, argument.name)]
    matches = sorted(glob.glob(str(argument), recursive=True)) if glob.has_magic(str(argument)) else []
    if not matches:
        raise ValueError(f"source {str(argument)!r}: no such file, folder, manifest or pattern")
    return [source for match in matches for source in _expand(Path(match))]


def _walk(folder: Path) -> Iterator[SourceFile]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(root, name)
            yield _source(path, str(path.relative_to(folder)))


def _source(path: Path, name: str) -> SourceFile:
    return SourceFile(path=os.path.abspath(path), name=name)


def is_plain_file(path: str) -> bool:
    """True for a regular file: opening a pipe or a device would wait for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def read_manifest(path: Path) -> list[SourceFile]:
    """The sources of a CSV manifest, in its order.

    Column `path` is relative to the manifest. `split`, `licence`, `url` and `takedown_id` are optional. Any other column
    is a label: integer, else float, else text, decided for the whole column; an empty cell is no label. `start` and `end`
    are a span in seconds. A column named `x[]` holds numbers with spaces between, one for each frame of the source, and becomes the track `x`.

    Raises:
        ValueError: there is no column `path`, a path is a URL or empty, or a track holds something that is no number.
    """
    csv.field_size_limit(_CELL_LIMIT)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        columns = list(reader.fieldnames or ())
        try:
            rows = list(reader)
        except csv.Error as error:
            raise ValueError(f"manifest {path}: line {reader.line_num}: {error}") from error
    if "path" not in columns:
        raise ValueError(f"manifest {path}: columns are {columns}, and one must be named 'path'")
    known = ("path", *_RECORD_COLUMNS, *_SPAN_COLUMNS)
    names = [name for name in columns if name not in known]
    kinds = {name: _label_kind(rows, name) for name in names if not name.endswith("[]")}
    tracks = [name for name in names if name.endswith("[]")]
    return [_manifest_row(path, line, row, kinds, tracks) for line, row in enumerate(rows, start=2)]


def _label_kind(rows: Sequence[dict[str, str]], name: str) -> type[Label]:
    cells = [row[name] for row in rows if row[name]]
    return next((kind for kind, form in _NUMBERS.items() if all(map(form.fullmatch, cells))), str)


def _manifest_row(
    manifest: Path, line: int, row: dict[str, str], kinds: dict[str, type[Label]], tracks: Sequence[str]
) -> SourceFile:
    where = f"manifest {manifest}, line {line}"
    if not row["path"] or _URL.match(row["path"]):
        raise ValueError(f"{where}: path {row['path']!r}: a file path is needed")
    return SourceFile(
        path=os.path.abspath(manifest.parent / row["path"]),
        name=row["path"],
        labels={name: kind(row[name]) for name, kind in kinds.items() if row[name]},
        tracks={name[:-2]: _numbers(f"{where}, column {name}", row[name]) for name in tracks if row[name]},
        spans=_span(where, row.get("start") or None, row.get("end") or None),
        split=row.get("split") or None,
        licence=row.get("licence") or None,
        url=row.get("url") or None,
        takedown_id=row.get("takedown_id") or None,
    )


def _span(where: str, start: str | None, end: str | None) -> tuple[tuple[float, float], ...]:
    if start is None and end is None:
        return ()
    try:
        span = (float(start or 0), TO_THE_END if end is None else float(end))
    except ValueError as error:
        raise ValueError(f"{where}: {error}; start and end are seconds") from error
    if not 0 <= span[0] < span[1] <= TO_THE_END:
        raise ValueError(f"{where}: start {start} and end {end}: 0 <= start < end is needed")
    return (span,)


def _numbers(where: str, cell: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, cell.split()))
    except ValueError as error:
        raise ValueError(f"{where}: {error}; numbers with spaces between are needed") from error
