"""Words beside media: SubRip, WebVTT and plain text are read, and cut into the timed segments of a clip."""

import html
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from unreel.shards.errors import MediaRefused
from unreel.shards.intake.language import detect_language
from unreel.shards.intake.source_file import TO_THE_END, Caption, SourceFile, is_plain_file
from unreel.shards.sample import Segment, Sidecar

__all__ = ["TRANSCRIPT_SUFFIXES", "Words", "read_transcript", "words_of", "write_words"]

TRANSCRIPT_SUFFIXES: Final = (".vtt", ".srt", ".txt")
"""Suffixes of the texts that are read; the first wins where several stand beside a file."""

_MOST_BYTES: Final = 16 << 20
_TIME: Final = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMING: Final = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
# What a player does not show: SubRip knows some tags of HTML and, through its converters, some of ASS.
_SUBRIP_MARKS: Final = re.compile(r"</?(?:b|i|u|s|font|c|v)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_WEBVTT_MARKS: Final = re.compile(r"<[^<>]*>")
_NOT_SHOWN: Final = ("NOTE", "STYLE", "REGION")


class Words(msgspec.Struct, frozen=True):
    """All words of a source; `captions` ascend."""

    captions: tuple[Caption, ...] = ()
    """Of a transcript on the clock that a player shows, which begins with the container."""
    manifest: tuple[Caption, ...] = ()
    """From the first decoded picture or sound."""
    language: str | None = None


class _Line(NamedTuple):
    number: int
    text: str


def words_of(source: SourceFile) -> Words:
    """The words of a source, read from where its listing found them.

    Raises:
        MediaRefused: `bad-transcript`, with file, line, found and expected.
    """
    captions = () if source.transcript is None else tuple(read_transcript(source.transcript))
    text = " ".join(caption.text for caption in (*captions, *source.captions))
    return Words(captions, source.captions, source.language or detect_language(text))


def write_words(
    sidecar: Sidecar, words: Words, start: float, lead: float, end: float
) -> tuple[Sidecar, bytes | None]:
    """The sidecar with the words that overlap its sample, and the member `txt` with the same words; None: there are none.

    Args:
        start: seconds from the source's first decoded picture, or sound, to the sample.
        lead: seconds from the container's beginning to that first picture.
        end: seconds from that first picture to the source's end: words for the whole source stop there.
    """
    heard = sorted(
        [*words.manifest, *(Caption(c.start - lead, c.stop - lead, c.text) for c in words.captions)]
    )
    segments = tuple(_segments(heard, start, start + sidecar.seconds, end))
    if not segments:
        return sidecar, None
    text = "\n".join(segment.text for segment in segments) + "\n"
    told = msgspec.structs.replace(sidecar, transcript=segments, language=words.language)
    return told, text.encode()


def _segments(captions: Sequence[Caption], start: float, stop: float, end: float) -> Iterator[Segment]:
    """What is heard in [start, stop), or at `start` where both are equal; a touch of less than a millisecond is none."""
    for caption in captions:
        first, last = caption.start, min(caption.stop, max(end, stop))
        overlap = round(1000 * (min(last, stop) - max(first, start)))
        if overlap > 0 or (start == stop and first <= start < last):
            yield Segment(
                start_ms=round(1000 * (first - start)),
                stop_ms=round(1000 * (last - start)),
                text=caption.text,
            )


def read_transcript(path: str) -> list[Caption]:
    """The captions of a `.srt`, `.vtt` or `.txt`, ascending; a `.txt` is one caption for the whole source.

    Text is UTF-8, or UTF-16 with a mark; marks of style and speakers' tags are taken out, and lines are joined.

    Raises:
        MediaRefused: `bad-transcript`, with file, line, found and expected.
    """
    text = _text(path)
    suffix = os.path.splitext(path)[1].lower()
    captions = [caption for caption in _READERS[suffix](path, text) if caption.text]
    return sorted(captions)


def _text(path: str) -> str:
    name = Path(path).name
    if not is_plain_file(path):
        raise MediaRefused("bad-transcript", f"{name}: there is no such file")
    if os.path.getsize(path) > _MOST_BYTES:
        raise MediaRefused(
            "bad-transcript", f"{name}: {os.path.getsize(path)} bytes, at most {_MOST_BYTES} are read"
        )
    data = Path(path).read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    except UnicodeDecodeError as error:
        raise MediaRefused(
            "bad-transcript",
            f"{name}: byte {error.start} is not {encoding.removesuffix('-sig')}; convert it to UTF-8",
        ) from error


def _plain(_path: str, text: str) -> Iterator[Caption]:
    yield Caption(0.0, TO_THE_END, " ".join(text.split()))


def _subrip(path: str, text: str) -> Iterator[Caption]:
    """Words reach from one timing line to the next: SubRip's may hold empty lines."""
    lines = [_Line(number, line) for number, line in enumerate(text.split("\n"), start=1)]
    places = [place for place, line in enumerate(lines) if "-->" in line.text]
    stray = next(
        (line for line in lines[: places[0] if places else None] if not _is_counter(line.text)), None
    )
    if stray is not None:
        raise _refusal(path, stray, "a number and a line 'HH:MM:SS,mmm --> HH:MM:SS,mmm'")
    for place, after in zip(places, [*places[1:], None], strict=True):
        below = [line.text for line in lines[place + 1 : after]]
        if after is not None and below and below[-1].strip().isdigit():
            below.pop()
        yield _caption(path, lines[place], below, _SUBRIP_MARKS)


def _is_counter(text: str) -> bool:
    return not text.strip() or text.strip().isdigit()


def _webvtt(path: str, text: str) -> Iterator[Caption]:
    """Blocks between empty lines; https://www.w3.org/TR/webvtt1/."""
    lines = [_Line(number, line) for number, line in enumerate(text.split("\n"), start=1)]
    if not re.match(r"WEBVTT(\s|$)", text):
        raise _refusal(path, lines[0], "WEBVTT")
    for block in list(_blocks(lines))[1:]:
        if block[0].text.startswith(_NOT_SHOWN):
            continue
        timing = next((place for place, line in enumerate(block[:2]) if "-->" in line.text), None)
        if timing is None:
            raise _refusal(path, block[0], "a line 'MM:SS.mmm --> MM:SS.mmm'")
        yield _caption(path, block[timing], [line.text for line in block[timing + 1 :]], _WEBVTT_MARKS)


def _blocks(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    block: list[_Line] = []
    for line in lines:
        if line.text.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


_READERS: Final[dict[str, Callable[[str, str], Iterator[Caption]]]] = {
    ".srt": _subrip,
    ".vtt": _webvtt,
    ".txt": _plain,
}


def _caption(path: str, timing: _Line, below: Sequence[str], marks: re.Pattern[str]) -> Caption:
    found = _TIMING.fullmatch(timing.text)
    start, stop = (_seconds(*found.groups("0")[side : side + 4]) for side in (0, 4)) if found else (0.0, -1.0)
    if stop < start:
        raise _refusal(path, timing, "'HH:MM:SS,mmm --> HH:MM:SS,mmm', the later time behind")
    shown = html.unescape(marks.sub("", "\n".join(below)).replace("\\N", "\n"))
    return Caption(start, stop, " ".join(shown.split()))


def _seconds(hours: str, minutes: str, seconds: str, fraction: str) -> float:
    return round(3600 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}"), 3)


def _refusal(path: str, line: _Line, expected: str) -> MediaRefused:
    name = Path(path).name
    return MediaRefused(
        "bad-transcript", f"{name}, line {line.number}: found {line.text[:60]!r}, expected {expected}"
    )
