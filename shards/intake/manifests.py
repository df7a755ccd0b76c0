"""Manifests: what a row of a table says of one source, and several rows of one source become one."""

import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from unreel.shards.intake.checksums import SHA256
from unreel.shards.intake.language import language_code
from unreel.shards.intake.source_file import TO_THE_END, Caption, Label, SourceFile
from unreel.shards.intake.tables import Row, read_table
from unreel.shards.intake.transcripts import TRANSCRIPT_SUFFIXES
from unreel.shards.remote.web import SCHEMES, is_url, split_url

__all__ = ["Mention", "merge", "place", "read_manifest"]

_ONCE: Final = ("split", "licence", "url", "takedown_id", "sha256", "transcript", "language", "tracks")
"""What all rows of one source must agree on."""
_KNOWN: Final = (
    "path",
    "url",
    "split",
    "licence",
    "takedown_id",
    "sha256",
    "start",
    "end",
    "transcript",
    "language",
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)


class Mention(NamedTuple):
    """A source as one row, one argument or one folder names it."""

    where: str
    source: SourceFile


def read_manifest(path: Path) -> list[Mention]:
    """What the rows of a manifest name, in their order; `docs/manifests.md` describes the columns.

    Raises:
        ValueError: a row cannot be used; names file, line, column, found and expected.
    """
    rows = read_table(path)
    if not rows:
        raise ValueError(f"manifest {path}: found no rows")
    for row in rows:
        if "path" not in row.cells and "url" not in row.cells:
            raise ValueError(
                f"manifest {row.where}: found columns {list(row.cells)}, expected 'path' or 'url'"
            )
    return [Mention(row.where, _source(path.absolute().parent, row)) for row in rows]


def place(text: str, folder: str | Path) -> str:
    """A path made absolute below `folder`, or a URL as it is.

    Raises:
        ValueError: a URL of a scheme that is not allowed, or with a password in it.
    """
    if is_url(text):
        _, rest = split_url(text)
        host, _, file = rest.partition("/")
        if not file:
            raise ValueError(f"URL {text!r}: names no file")
        if "@" in host:
            raise ValueError(
                f"URL of host {rest.partition('/')[0].partition('@')[2]}: has a name or password in it"
            )
        return text
    path, scheme = os.path.abspath(Path(folder, text)), _SCHEME.match(text)
    if scheme and not os.path.exists(path):
        raise ValueError(f"{text[:60]!r}: scheme {scheme[1]!r}, allowed are files and {', '.join(SCHEMES)}")
    return path


def _source(folder: Path, row: Row) -> SourceFile:
    cells: dict[str, Any] = row.cells
    text, url = cells.get("path") or cells["url"], cells.get("url") if "path" in cells else None
    try:
        path = place(text, folder)
    except ValueError as error:
        raise ValueError(f"manifest {row.where}, column path: {error}") from error
    bare = text.partition("?")[0].partition("#")[0] if is_url(text) else text
    span = _span(row)
    spoken = _spoken(folder, row, span or (0.0, TO_THE_END))
    return SourceFile(
        path=path,
        # What follows the question mark is often a signature: it lets in for a day, and does not belong into shards.
        name=bare,
        split=cells.get("split"),
        licence=cells.get("licence"),
        url=url or (bare if is_url(text) else None),
        takedown_id=cells.get("takedown_id"),
        sha256=_sha256(row),
        labels={
            name: value for name, value in cells.items() if name not in _KNOWN and not name.endswith("[]")
        },
        tracks={name[:-2]: value for name, value in cells.items() if name.endswith("[]")},
        spans=() if span is None else (span,),
        captions=(spoken,) if isinstance(spoken, Caption) else (),
        transcript=spoken if isinstance(spoken, str) else None,
        language=_language(row),
    )


def _sha256(row: Row) -> str | None:
    text = row.cells.get("sha256")
    if text is not None and not SHA256.fullmatch(str(text).lower()):
        raise ValueError(f"manifest {row.where}, column sha256: found {text!r}, expected 64 hex digits")
    return None if text is None else str(text).lower()


def _span(row: Row) -> tuple[float, float] | None:
    bounds = row.cells.get("start"), row.cells.get("end")
    if bounds == (None, None):
        return None
    for name, bound in zip(("start", "end"), bounds, strict=True):
        if bound is not None and not isinstance(bound, int | float):
            raise ValueError(f"manifest {row.where}, column {name}: found {bound!r}, expected seconds")
    start, stop = float(bounds[0] or 0), TO_THE_END if bounds[1] is None else float(bounds[1])  # type: ignore[arg-type]
    if not 0 <= start < stop <= TO_THE_END:
        raise ValueError(
            f"manifest {row.where}: found start {start:g} and end {stop:g}, expected 0 <= start < end"
        )
    return start, stop


def _spoken(folder: Path, row: Row, span: tuple[float, float]) -> Caption | str | None:
    text = row.cells.get("transcript")
    if not isinstance(text, str):
        return None
    if not text.lower().endswith(TRANSCRIPT_SUFFIXES) or "\n" in text:
        return Caption(*span, " ".join(text.split()))
    if is_url(text):
        raise ValueError(
            f"manifest {row.where}, column transcript: found a URL, expected a file or the words"
        )
    return os.path.abspath(folder / text)


def _language(row: Row) -> str | None:
    text = row.cells.get("language")
    if text is None:
        return None
    code = language_code(str(text))
    if code is None:
        raise ValueError(
            f"manifest {row.where}, column language: found {text!r}, expected an ISO 639-1 code such as 'en'"
        )
    return code


def merge(mentions: Sequence[Mention], repeated: Callable[[str], None]) -> SourceFile:
    """All that is said of one source as one record; `repeated` is told of what is said twice.

    Raises:
        ValueError: two mentions contradict each other; names both.
    """
    speaking = [mention for mention in mentions if not mention.source.bare] or list(mentions[:1])
    distinct: list[Mention] = []
    for mention in speaking:
        twin = next((other for other in distinct if other.source == mention.source), None)
        if twin is None:
            distinct.append(mention)
        else:
            repeated(f"{mention.where} says the same as {twin.where}")
    return distinct[0].source if len(distinct) == 1 else _join(distinct)


def _join(mentions: Sequence[Mention]) -> SourceFile:
    common = {name: _agreed(name, mentions) for name in _ONCE}
    ordered = sorted(mentions, key=lambda mention: mention.source.spans)
    for one, other in itertools.pairwise(ordered):
        if not one.source.spans or one.source.spans == other.source.spans:
            raise ValueError(
                f"{other.where}: found {_differing(one.source, other.source)} other than in {one.where} for the same "
                f"part of {one.source.name!r}; expected one row for it, or a start and an end in each"
            )
    sources = [mention.source for mention in ordered]
    shared = sources[0].labels.items()
    labels = dict(item for item in shared if all(_holds(source.labels, *item) for source in sources))
    own = [{name: label for name, label in source.labels.items() if name not in labels} for source in sources]
    return msgspec.structs.replace(
        mentions[0].source,
        **common,
        labels=labels,
        span_labels=tuple(own) if any(own) else (),
        spans=tuple(span for source in sources for span in source.spans),
        captions=tuple(sorted(caption for source in sources for caption in source.captions)),
    )


def _holds(labels: dict[str, Label], name: str, label: Label) -> bool:
    return name in labels and labels[name] == label


def _agreed(name: str, mentions: Sequence[Mention]) -> Any:
    """The value that all mentions which speak of it give."""
    said = [mention for mention in mentions if getattr(mention.source, name)]
    for mention in said[1:]:
        if getattr(mention.source, name) != getattr(said[0].source, name):
            raise ValueError(
                f"{mention.where}, column {name}: found {getattr(mention.source, name)!r}, expected "
                f"{getattr(said[0].source, name)!r} as in {said[0].where}: both are {said[0].source.name!r}"
            )
    return getattr(said[0].source, name) if said else getattr(mentions[0].source, name)


def _differing(one: SourceFile, other: SourceFile) -> str:
    fields = ("labels", "captions", "spans")
    return ", ".join(name for name in fields if getattr(one, name) != getattr(other, name)) or "something"
