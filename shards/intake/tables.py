"""Tables of manifests: text, CSV, JSON lines and Parquet become columns and rows of the same plain values."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

__all__ = ["MANIFEST_SUFFIXES", "Row", "Value", "read_table"]

Value = str | int | float | tuple[float, ...]

# `007` names something; as the number 7 it would no longer be found. JSON has no nan and no infinity.
_INTEGER: Final = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
# Longest text of one cell: a track of ten hours at 60 frames a second.
_CELL_LIMIT: Final = 1 << 25
_WORDS: Final = ("path", "url", "split", "licence", "takedown_id", "sha256", "transcript", "language")
"""Columns that are text, whatever they look like."""
_LARGEST_INTEGER: Final = 1 << 63


class Row(NamedTuple):
    """One row of a manifest."""

    where: str
    """`FILE, line 7`, for messages."""
    cells: dict[str, Value]
    """Column → value; what is empty or null is left out."""


def read_table(path: Path) -> list[Row]:
    """The rows of a manifest by the form that its suffix names.

    A column `x[]` holds numbers: a list in JSON lines and Parquet, numbers with spaces between in CSV. Other columns hold
    text or numbers, one kind a column; of CSV's, a column becomes integers, else numbers, where all of its cells are. A
    column of integers and other numbers holds floats. Truth values become 1 and 0.

    Raises:
        ValueError: the file cannot be read as what its suffix says; names file, line, column, found and expected.
    """
    try:
        rows = list(_READERS[path.suffix.lower()](path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"manifest {path}: {error}") from error
    for name in {name: None for row in rows for name in row.cells}:
        _settle(name, rows)
    return rows


def _text_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield Row(f"{path}, line {number}", {"path": line.strip()})


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_CELL_LIMIT)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = _columns(path, next(reader, []))
            lines = [(reader.line_num, cells) for cells in reader if cells]
        except csv.Error as error:
            raise ValueError(f"manifest {path}, line {reader.line_num}: {error}") from error
    for number, cells in lines:
        if len(cells) != len(columns):
            raise ValueError(
                f"manifest {path}, line {number}: found {len(cells)} cells, expected {len(columns)}, as many as columns"
            )
    numbers = _csv_numbers(columns, [cells for _, cells in lines])
    for number, cells in lines:
        named = {name: numbers[name](cell) for name, cell in zip(columns, cells, strict=True) if cell}
        yield Row(f"{path}, line {number}", named)


def _columns(path: Path, names: Sequence[str]) -> Sequence[str]:
    twice = next((name for place, name in enumerate(names) if not name or name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"manifest {path}, line 1: column {twice!r} has no name or stands there twice")
    return names


def _csv_numbers(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Callable[[str], Any]]:
    """How the cells of each column are read."""
    return {name: _csv_kind(name, [row[place] for row in rows]) for place, name in enumerate(columns)}


def _csv_kind(name: str, cells: Sequence[str]) -> Callable[[str], Any]:
    if name.endswith("[]"):
        return str.split
    filled = [cell for cell in cells if cell] if name not in _WORDS else [""]
    forms: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = ((_INTEGER, int), (_NUMBER, float))
    return next((kind for form, kind in forms if all(map(form.fullmatch, filled))), str)


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                cells = msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"manifest {where}: found no JSON object ({error})") from error
            if not isinstance(cells, dict):
                # What a user's file holds is a value, whatever its type.
                raise ValueError(  # noqa: TRY004
                    f"manifest {where}: found {str(cells)[:60]}, expected one JSON object a line"
                )
            yield Row(where, _filled(cells))


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}, row {number}", _filled(cells))
    except pa.ArrowException as error:
        raise ValueError(f"manifest {path}: found no Parquet that can be read ({error})") from error


def _filled(cells: dict[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in cells.items() if value is not None and value != ""}


_READERS: Final[dict[str, Callable[[Path], Iterator[Row]]]] = {
    ".txt": _text_rows,
    ".csv": _csv_rows,
    ".jsonl": _json_rows,
    ".parquet": _parquet_rows,
}
MANIFEST_SUFFIXES: Final = tuple(_READERS)
"""Suffixes of the forms that are read as manifests."""


def _settle(name: str, rows: Sequence[Row]) -> None:
    """Check a column and give it one kind."""
    held = [row for row in rows if name in row.cells]
    for row in held:
        row.cells[name] = _checked(row.where, name, row.cells[name])
    kinds = {type(row.cells[name]): row for row in held}
    if str in kinds and len(kinds) > 1:
        other = next(row for kind, row in kinds.items() if kind is not str)
        raise ValueError(
            f"manifest {kinds[str].where}, column {name}: found the text {kinds[str].cells[name]!r}, expected a "
            f"number, as in {other.where}"
        )
    if kinds.keys() == {int, float}:
        for row in held:
            row.cells[name] = float(row.cells[name])  # type: ignore[arg-type]


def _checked(where: str, name: str, value: object) -> Value:
    if name.endswith("[]"):
        return _numbers(where, name, value)
    if isinstance(value, bool) and name not in _WORDS:
        return int(value)
    expected = "text" if name in _WORDS else "text or a number"
    if isinstance(value, str) or (name not in _WORDS and _is_number(value)):
        return value  # type: ignore[return-value]
    raise ValueError(f"manifest {where}, column {name}: found {value!r}, expected {expected}")


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return -_LARGEST_INTEGER <= value < _LARGEST_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def _numbers(where: str, name: str, value: object) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, value)) if isinstance(value, list) else ()
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        form = (
            "numbers with spaces between"
            if where.partition(", line")[0].endswith(".csv")
            else "a list of numbers"
        )
        found = repr(value)
        raise ValueError(f"manifest {where}, column {name}: found {found[:60]}, expected {form}")
    return numbers
