"""Texts beside media: `clip.srt`, or `clip.en.vtt`, holds the words of `clip.mp4`."""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from unreel.shards.border.signatures import claims_media
from unreel.shards.intake.language import language_code
from unreel.shards.intake.source_file import SourceFile
from unreel.shards.intake.transcripts import TRANSCRIPT_SUFFIXES

__all__ = ["pair_transcripts"]


class _Text(NamedTuple):
    """A text that may belong to a file; the smallest of several is taken."""

    told: bool
    """Whether its name tells a language: the text without one is the file's own."""
    preference: int
    name: str
    language: str | None


def pair_transcripts(sources: Iterable[SourceFile]) -> list[SourceFile]:
    """Give each local file the text of its name that lies beside it; texts that belong to a file are no sources.

    What a manifest says of a file's words goes before what lies beside it.
    """
    look = lru_cache(256)(_texts)
    paired = [_with_text(source, look) for source in sources]
    used = {source.transcript for source in paired}
    return [source for source in paired if source.path not in used]


def _with_text(source: SourceFile, look: Callable[[str], dict[str, _Text]]) -> SourceFile:
    if source.remote or source.transcript or source.captions or not claims_media(source.path):
        return source
    folder, name = os.path.split(source.path)
    text = look(folder).get(os.path.splitext(name)[0])
    if text is None:
        return source
    language = source.language or text.language
    return msgspec.structs.replace(source, transcript=os.path.join(folder, text.name), language=language)


def _texts(folder: str) -> dict[str, _Text]:
    """Stem of a file → the text beside it."""
    found: dict[str, _Text] = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in TRANSCRIPT_SUFFIXES:
            continue
        inner, tag = os.path.splitext(stem)
        language = language_code(tag[1:])
        preference = TRANSCRIPT_SUFFIXES.index(suffix.lower())
        _offer(found, stem, _Text(False, preference, name, None))
        if language is not None:
            _offer(found, inner, _Text(True, preference, name, language))
    return found


def _offer(found: dict[str, _Text], stem: str, text: _Text) -> None:
    found[stem] = min(found.get(stem, text), text)
