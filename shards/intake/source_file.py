"""One source that is to be built, and what is said of it: the record that listing, probing and building hand on."""

import os
import stat
from typing import Final

import msgspec

from unreel.shards.remote.web import is_url

__all__ = ["TO_THE_END", "Caption", "Label", "SourceFile", "is_plain_file"]

Label = str | int | float

TO_THE_END: Final = 1e9
"""Seconds that no source reaches: the end of a span that has none."""


class Caption(msgspec.Struct, frozen=True, order=True):
    """Words for a span of a source."""

    start: float
    """Seconds from the first decoded picture, or the first sound where there is none."""
    stop: float
    text: str


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file or URL that is to be built, and what a manifest says of it."""

    path: str
    """Absolute path, or a URL."""
    name: str
    """Path below the listed folder, or as the manifest writes it; it informs people."""
    split: str | None = None
    licence: str | None = None
    url: str | None = None
    takedown_id: str | None = None
    sha256: str | None = None
    """64 hex digits that its bytes must have; empty: none are known and they should be; None: it is not asked."""
    labels: dict[str, Label] = {}
    tracks: dict[str, tuple[float, ...]] = {}
    """Labels over time, one number for each frame of the source."""
    spans: tuple[tuple[float, float], ...] = ()
    """Ascending (start, stop) in seconds from the first decoded picture, or the first sound where there is none: what of
    the source is wanted. Spans may overlap and may end after the source. Empty: all of it."""
    span_labels: tuple[dict[str, Label], ...] = ()
    """Labels of each span, beside `labels`; empty, or as many as there are spans."""
    captions: tuple[Caption, ...] = ()
    """Words that a manifest holds, each for its row's span; ascending."""
    transcript: str | None = None
    """Absolute path of the .srt, .vtt or .txt with the source's words."""
    language: str | None = None
    """ISO 639-1 code of captions and transcript, where a manifest or a file's name tells it."""

    @property
    def remote(self) -> bool:
        """Whether its bytes must be fetched."""
        return is_url(self.path)

    @property
    def bare(self) -> bool:
        """Whether nothing is said of it but where it lies."""
        return self == SourceFile(path=self.path, name=self.name)


def is_plain_file(path: str) -> bool:
    """True for a regular file: opening a pipe or a device would wait for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
