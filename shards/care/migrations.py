"""Sidecars of older versions: every step of the schema as a function of the plain JSON, applied one after the other."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from unreel.shards.errors import ShardError
from unreel.shards.sample import SCHEMA, Sidecar, read_sidecar

__all__ = ["MIGRATIONS", "Version", "upgrade_sidecar", "version_of"]

Version = tuple[int, int]
Document = dict[str, Any]


def _list_facts(document: Document) -> Document:
    """1.1 says which facts were measured; a builder of 1.0 measured all of 1.0 or, by hand, none."""
    facts = document.get("facts", {})
    picture = ("motion", "luma", "cuts", "content_box") if "motion" in facts else ()
    sound = ("loudness", "silence") if "loudness" in facts else ()
    measured = [*picture, *sound]
    return {**document, "facts": {**facts, "measured": measured} if measured else facts}


MIGRATIONS: Final[Mapping[Version, tuple[Version, Callable[[Document], Document]]]] = {
    (1, 0): ((1, 1), _list_facts),
}
"""Version → (the version after it, how the JSON of one becomes that of the other). A path leads from each to `SCHEMA`."""


def version_of(schema: str) -> Version:
    """`"1.1"` → (1, 1). Raises ValueError for anything else."""
    major, minor = schema.split(".")
    return int(major), int(minor)


def upgrade_sidecar(data: bytes | memoryview) -> Sidecar:
    """Parse a `json` member of this or any older version as one of the current version, to write it anew.

    Raises:
        ShardError: it is no sidecar, or it is newer: writing it anew would lose what this program does not know.
    """
    document = _document(data)
    version = version_of(document["schema"])
    if version > SCHEMA:
        raise ShardError(
            f"sidecar schema {document['schema']} is newer than {SCHEMA[0]}.{SCHEMA[1]}, and writing it anew would lose what "
            "is unknown here: update unreel"
        )
    while version < SCHEMA:
        version, change = MIGRATIONS[version]
        document = {**change(document), "schema": "{}.{}".format(*version)}
    return read_sidecar(msgspec.json.encode(document))


def _document(data: bytes | memoryview) -> Document:
    try:
        document = msgspec.json.decode(data, type=Document)
        version_of(document["schema"])
    except (msgspec.DecodeError, ValueError, KeyError, AttributeError) as error:
        raise ShardError(f"not a sidecar: {error!r}") from error
    return document
