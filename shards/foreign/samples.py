"""Samples of somebody else's WebDataset: which members belong together, what they are called here, what is never opened.

Layouts that are read: plain WebDataset (`KEY.EXT`, dots after the last slash's first one belong to the extension),
video2dataset (`mp4`, `json`, `txt`) and img2dataset (`jpg`, `json`, `txt`). A member is opened only as media of an extension in
`members.KINDS`, as UTF-8 text or as JSON; whatever could run code is not opened at all.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from unreel.shards.errors import MediaRefused
from unreel.shards.foreign.members import KINDS
from unreel.shards.foreign.tar import TarEntry, TarRefusal

__all__ = ["CODE", "Grouped", "RawSample", "Words", "group_members", "mapped_key", "pick", "read_words"]

CODE: Final = frozenset(
    {
        *(
            "bat",
            "ckpt",
            "dll",
            "exe",
            "joblib",
            "marshal",
            "npy",
            "npz",
            "pickle",
            "pkl",
            "pt",
            "pth",
            "py",
            "pyc",
        ),
        *("pyd", "sh", "so"),
    }
)
"""Extensions of members that can run code when someone opens them, as WebDataset's own decoders would."""

TEXTS: Final = {"txt": 1 << 20, "json": 4 << 20, "cls": 32}
"""Extension → most bytes that are read of it."""

_NAME: Final = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_KEY_LENGTH: Final = 60
_MOST_LABELS: Final = 64
_MOST_LABEL_CHARACTERS: Final = 1000
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


@dataclass(slots=True)
class RawSample:
    """The members of one key, in the order in which they first appear.

    Attributes:
        key: as the tar writes it, with its folders.
        members: extension, in lower case → where it lies.
        split: members of another key lie between them; plain readers would give two samples.
        refused: (reason, detail) where the members contradict each other.
    """

    key: str
    members: dict[str, TarEntry] = field(default_factory=dict)
    split: bool = False
    refused: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Grouped:
    """What is in a tar.

    Attributes:
        samples: by their first member.
        refused: members that are not read, and why.
        ignored: extension → members that unreel has no use for.
    """

    samples: list[RawSample]
    refused: list[TarRefusal]
    ignored: Counter[str]


@dataclass(frozen=True, slots=True)
class Words:
    """What a sample's text members say of it."""

    labels: dict[str, str | int | float]
    url: str | None = None
    licence: str | None = None
    span_us: tuple[int, int] | None = None


def group_members(members: Iterable[TarEntry | TarRefusal]) -> Grouped:
    """Members → samples. A key's members need not lie together; a member that comes twice refuses its sample."""
    samples: dict[str, RawSample] = {}
    refused: list[TarRefusal] = []
    ignored: Counter[str] = Counter()
    last = ""
    for member in members:
        if isinstance(member, TarRefusal):
            refused.append(member)
            continue
        name = _NAME.fullmatch(member.name)
        if name is None:
            ignored[""] += 1
            continue
        key, extension = name[1], name[2].lower()
        if CODE & set(extension.split(".")):
            refused.append(TarRefusal(member.name, "code", f".{extension} can run code and is never opened"))
        elif extension not in KINDS and extension not in TEXTS:
            ignored[extension[:40]] += 1
        else:
            sample = samples.setdefault(key, RawSample(key))
            sample.split |= bool(sample.members) and key != last
            if extension in sample.members:
                sample.refused = ("duplicate-member", f"the tar holds two members {member.name[:80]!r}")
            sample.members[extension] = member
            last = key
    return Grouped(list(samples.values()), refused, ignored)


def pick(sample: RawSample) -> dict[str, str]:
    """Kind (`video`, `sound` or `picture`) → extension of the member that is taken.

    A picture beside a video is its thumbnail and stays where it is.

    Raises:
        MediaRefused: there is no media, or more than one member of a kind.
    """
    if sample.refused is not None:
        raise MediaRefused(*sample.refused)
    found: dict[str, str] = {}
    for extension in sample.members:
        kind = KINDS.get(extension)
        if kind is not None and kind in found:
            raise MediaRefused("ambiguous", f"both .{found[kind]} and .{extension} are its {kind}")
        if kind is not None:
            found[kind] = extension
    if not found:
        raise MediaRefused("no-media", f"it has only {sorted(sample.members)}")
    if "video" in found or "sound" in found:
        found.pop("picture", None)
    return found


def mapped_key(key: str) -> str:
    """A key of anybody in our alphabet: itself where it is in it already, else made of it, with a digest to stay different."""
    if re.fullmatch(rf"[a-z0-9_-]{{1,{_KEY_LENGTH}}}", key):
        return key
    slug = re.sub(r"[^a-z0-9_]+", "-", key.lower()).strip("-")[: _KEY_LENGTH - 17] or "sample"
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return f"{slug}-{digest}"


def read_words(texts: Mapping[str, bytes]) -> Words:
    """What the members `json` and `cls` say: flat values become labels, some names have a meaning here.

    Raises:
        MediaRefused: `bad-json` or `bad-class`.
    """
    labels: dict[str, str | int | float] = {}
    document: dict[str, Any] = {}
    if "json" in texts:
        document = _document(texts["json"])
        labels = dict(list(_flat(document))[:_MOST_LABELS])
    if "cls" in texts:
        if not re.fullmatch(rb"\s*-?\d{1,18}\s*", texts["cls"]):
            raise MediaRefused("bad-class", f"expected an integer, found {texts['cls'][:32]!r}")
        labels["cls"] = int(texts["cls"])
    return Words(
        labels=labels,
        url=_text(document, "url"),
        licence=_text(document, "licence") or _text(document, "license"),
        span_us=_span(document.get("clips")),
    )


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MediaRefused("bad-json", f"not JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _flat(document: Mapping[str, Any]) -> Iterable[tuple[str, str | int | float]]:
    for name, value in document.items():
        if isinstance(value, bool):
            yield name[:80], int(value)
        elif (
            isinstance(value, float)
            or (isinstance(value, int) and abs(value) < 1 << 62)
            or (isinstance(value, str) and len(value) <= _MOST_LABEL_CHARACTERS)
        ):
            yield name[:80], value


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= _MOST_LABEL_CHARACTERS else None


def _span(clips: Any) -> tuple[int, int] | None:
    """video2dataset's `clips`: one (start, stop), in seconds or as clock times."""
    if not (
        isinstance(clips, list) and len(clips) == 1 and isinstance(clips[0], list) and len(clips[0]) == 2
    ):
        return None
    start, stop = (_microseconds(value) for value in clips[0])
    return (start, stop) if start is not None and stop is not None and start < stop else None


def _microseconds(value: Any) -> int | None:
    if isinstance(value, int | float) and 0 <= value < 1e9:
        return round(value * 1_000_000)
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock is None:
        return None
    return round((int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])) * 1_000_000)
