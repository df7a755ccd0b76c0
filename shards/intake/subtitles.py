"""Words inside a container: the packets of a track of text subtitles become captions, on the clock of the first picture."""

import html
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

import av
from av.container import InputContainer

from unreel.shards.errors import MediaRefused
from unreel.shards.intake.language import track_language
from unreel.shards.intake.source_file import Caption

__all__ = ["Subtitles", "subtitle_stream"]

# As of a text beside the file; two hours of talk are some 100 KB and 2,000 captions.
_MOST_BYTES: Final = 1 << 20
_MOST_CAPTIONS: Final = 20_000
_TAGS: Final = re.compile(r"<[^<>]*>|\{[^{}]*\}")
_DRAWING: Final = re.compile(r"\\p[1-9]")
# ReadOrder, Layer, Style, Name, three margins and Effect stand before the text; Matroska stores the times elsewhere.
_ASS_FIELDS: Final = 8


def subtitle_stream(container: InputContainer) -> av.stream.Stream | None:
    """The track whose words are taken: of those that hold text the default one, else the first; None: there is none."""
    tracks = [stream for stream in container.streams if _reader(stream) is not None]
    default = av.stream.Disposition.default
    return min(tracks, key=lambda track: (not track.disposition & default, track.index), default=None)


def _reader(stream: av.stream.Stream) -> Callable[[bytes], str] | None:
    if stream.type != "subtitle":
        return None
    return _READERS.get(stream.codec_context.name if stream.codec_context else "")


class Subtitles:
    """Gathers the packets of one track."""

    def __init__(self, stream: av.stream.Stream) -> None:
        self._stream, self._read = stream, _READERS[stream.codec_context.name]
        self._found: list[tuple[Fraction, Fraction, str]] = []
        self._bytes = 0

    @property
    def language(self) -> str | None:
        """ISO 639-1 code of what the track says of itself."""
        return track_language(self._stream.metadata.get("language", ""))

    def add(self, packet: av.Packet) -> None:
        """Take a packet if it is one of the track.

        Raises:
            MediaRefused: `bad-transcript`, the track is too large or its text is not UTF-8.
        """
        if packet.stream_index != self._stream.index or packet.pts is None or packet.time_base is None:
            return
        self._bytes += packet.size
        if self._bytes > _MOST_BYTES or len(self._found) >= _MOST_CAPTIONS:
            raise self._refusal(f"more than {_MOST_CAPTIONS} captions or {_MOST_BYTES} bytes")
        try:
            text = " ".join(self._read(bytes(packet)).split())
        except UnicodeDecodeError as error:
            raise self._refusal(
                f"the caption at {float(packet.pts * packet.time_base):.2f} s is not UTF-8"
            ) from error
        start = packet.pts * packet.time_base
        if text:
            self._found.append((start, start + (packet.duration or 0) * packet.time_base, text))

    def captions(self, origin: Fraction) -> tuple[Caption, ...]:
        """The words, ascending, in seconds from `origin` on the container's clock."""
        moved = (
            Caption(float(start - origin), float(stop - origin), text) for start, stop, text in self._found
        )
        return tuple(sorted(moved))

    def _refusal(self, what: str) -> MediaRefused:
        return MediaRefused("bad-transcript", f"subtitle track {self._stream.index}: {what}")


def _shown(text: str) -> str:
    return html.unescape(_TAGS.sub("", text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")))


def _plain(data: bytes) -> str:
    return _shown(_ended(data).decode())


def _ended(data: bytes) -> bytes:
    """What stands before a zero byte: some writers end their texts with one, and rubbish may follow."""
    return data.partition(b"\0")[0]


def _timed_text(data: bytes) -> str:
    """3GPP timed text: the length of the words in two bytes, then they, then boxes of style."""
    return data[2 : 2 + int.from_bytes(data[:2], "big")].decode()


def _ass(data: bytes) -> str:
    fields = _ended(data).decode().split(",", _ASS_FIELDS)
    text = fields[-1] if len(fields) > _ASS_FIELDS else ""
    return "" if _DRAWING.search(text) else _shown(text)


_READERS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "mov_text": _timed_text,
    "subrip": _plain,
    "srt": _plain,
    "text": _plain,
    "webvtt": _plain,
    "ass": _ass,
    "ssa": _ass,
}
"""FFmpeg's name of a codec of text → its words."""
