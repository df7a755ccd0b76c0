"""A list of checksums, as `sha256sum` writes it: what the bytes of each source must be."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.errors import MediaRefused
from unreel.shards.intake.source_file import SourceFile

__all__ = ["SHA256", "check_sha256", "with_checksums"]

SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LINE: Final = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def with_checksums(sources: Iterable[SourceFile], path: str | Path) -> list[SourceFile]:
    """The sources with the checksums of a list; paths in it are relative to its folder. One without a line is refused later.

    Raises:
        ValueError: the list cannot be read.
    """
    known = _read(Path(path))
    return [msgspec.structs.replace(source, sha256=known.get(source.path, "")) for source in sources]


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"checksums {path}: {error}") from error
    found = [(number, _LINE.fullmatch(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, line in found:
        if line is None:
            raise ValueError(
                f"checksums {path}, line {number}: expected 64 hex digits, two spaces and a path, as sha256sum writes them"
            )
    folder = path.absolute().parent
    return {os.path.abspath(folder / line[2]): line[1].lower() for _, line in found if line is not None}


def check_sha256(expected: str, found: str) -> None:
    """Raises MediaRefused `checksum` where the bytes are others than expected, or nothing is known of them."""
    if not expected:
        raise MediaRefused("checksum", "the list of checksums has no line for it")
    if expected != found:
        raise MediaRefused("checksum", f"expected sha256 {expected}, found {found}")
