"""The index of one shard, `NAME.index.json` beside `NAME.tar`: its existence is the commit of the shard."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import ShardError
from unreel.shards.sample import Sidecar

__all__ = [
    "INDEX_SCHEMA",
    "INDEX_SUFFIX",
    "SIDECARS_SUFFIX",
    "Member",
    "SampleRow",
    "ShardIndex",
    "SideFile",
    "content_digest",
    "identity_text",
    "parse_index",
    "row_of",
    "wds_index",
    "write_index",
]

INDEX_SCHEMA: Final = (1, 2)
"""Version of the index, (major, minor): newer minors are read, newer majors are refused by name."""

INDEX_SUFFIX: Final = ".index.json"

SIDECARS_SUFFIX: Final = ".sidecars"
"""Of the file with the sidecars of a tar of others, see `SideFile`."""


class Member(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One file of a sample in the tar."""

    name: str
    """Extension, one of `sample.MEMBERS`; in tars of others also `meta`, their own JSON, and other media extensions."""
    offset: int
    """First byte of the payload, from the start of the tar, or of `NAME.sidecars`; see `ShardIndex.sidecars`."""
    size: int
    crc32: int
    header_crc32: int | None = None
    """CRC32 of the header block before the payload, in tars of others; ours hold `KEY.NAME` there. Since 1.2."""


class SampleRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a selection needs to know of a sample, and where its members lie."""

    key: str
    source: str
    """`Source.id`: two samples with one source show the same recording."""
    split: str | None = None
    frames: int = 0
    rate: tuple[int, int] = (0, 1)
    """Frames per second as numerator and denominator."""
    width: int = 0
    height: int = 0
    audio_samples: int = 0
    audio_rate: int = 0
    motion: float = 0.0
    """Largest mean of the motion curve over any one second, in [0, 255]."""
    sound: float = 0.0
    """Share of the sample's sound that is not silent, in [0, 1]."""
    scene: int = 0
    """Frames of the longest stretch without a cut; 0 in indexes of 1.0. Since 1.1."""
    luma: float = 0.0
    """Mean brightness, in [0, 255]. Since 1.1."""
    members: tuple[Member, ...]

    @property
    def seconds(self) -> float:
        """Length in seconds, of the picture if there is one, else of the sound."""
        if self.frames:
            return self.frames * self.rate[1] / self.rate[0]
        return self.audio_samples / self.audio_rate if self.audio_rate else 0.0


class SideFile(msgspec.Struct, frozen=True, kw_only=True):
    """`NAME.sidecars` beside a tar of others: the sidecars of its samples, one after the other."""

    bytes: int
    sha256: str


class ShardIndex(msgspec.Struct, frozen=True, kw_only=True):
    """All samples of one shard, in the order in which they lie in the tar."""

    schema: str = f"{INDEX_SCHEMA[0]}.{INDEX_SCHEMA[1]}"
    shard: str
    """File name of the tar without `.tar`; an index that lies beside another tar is refused."""
    bytes: int
    """Size of the tar."""
    sha256: str
    """SHA-256 of the tar, hex."""
    identity: str
    """Builder identity as `identity_text` writes it."""
    sidecars: SideFile | None = None
    """Where the member `json` of every sample lies, if not in the tar: a tar of others, indexed and not rewritten. Since 1.2."""
    partial: bool = False
    """The tar holds more samples than these: a part of a data set that shares its tars with the other parts. Since 1.2."""
    samples: tuple[SampleRow, ...]


class _Version(msgspec.Struct):
    schema: str


_decoder = msgspec.json.Decoder(ShardIndex)
_version_decoder = msgspec.json.Decoder(_Version)


def identity_text(identity: Mapping[str, object]) -> str:
    """Canonical JSON of a builder identity: equal identities give equal text, and a mismatch can show both."""
    return msgspec.json.encode(identity, order="deterministic").decode()


def content_digest(index: ShardIndex) -> bytes:
    """SHA-256 of what readers see: of the tar, and of whatever the tar alone does not say."""
    if index.sidecars is None and not index.partial:
        return bytes.fromhex(index.sha256)
    keys = [row.key for row in index.samples] if index.partial else []
    return hashlib.sha256(msgspec.json.encode([index.sha256, index.sidecars, keys])).digest()


def row_of(sidecar: Sidecar, members: tuple[Member, ...]) -> SampleRow:
    """The index row of a sample whose members lie where `members` says."""
    video, audio = sidecar.video, sidecar.audio
    shape = video or sidecar.image
    return SampleRow(
        key=sidecar.key,
        source=sidecar.source.id,
        split=sidecar.source.split,
        frames=video.frames if video else 0,
        rate=video.rate if video else (0, 1),
        width=shape.width if shape else 0,
        height=shape.height if shape else 0,
        audio_samples=audio.samples if audio else 0,
        audio_rate=audio.rate if audio else 0,
        motion=_motion_peak(sidecar),
        sound=_sound_share(sidecar),
        scene=_longest_scene(sidecar),
        luma=_mean_luma(sidecar),
        members=members,
    )


def write_index(index: ShardIndex) -> bytes:
    """The content of `NAME.index.json`; equal indexes give equal bytes."""
    return msgspec.json.encode(index)


def parse_index(data: bytes, path: Path) -> ShardIndex:
    """Parse the content of the index at `path`.

    Raises:
        ShardError: it is no index, its major version is newer, or it belongs to another shard.
    """
    try:
        major = int(_version_decoder.decode(data).schema.split(".")[0])
        if major > INDEX_SCHEMA[0]:
            raise ShardError(
                f"{path}: index schema {major}.x, this reader knows {INDEX_SCHEMA[0]}.x: update unreel"
            )
        index = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise ShardError(f"{path}: not an index of a shard: {error}") from error
    expected = path.name.removesuffix(INDEX_SUFFIX)
    if index.shard != expected:
        raise ShardError(f"{path}: expected the index of shard {expected!r}, found that of {index.shard!r}")
    return index


def wds_index(index: ShardIndex) -> bytes:
    """The same as text in NVIDIA's `wds2idx` format v1.2, which DALI's `fn.readers.webdataset` reads."""
    lines = [f"v1.2 {len(index.samples)}"]
    for row in index.samples:
        members = [m for m in row.members if index.sidecars is None or m.name != "json"]
        names = ["json" if m.name == "meta" else m.name for m in members]
        parts = (f"{n} {m.offset} {m.size} {row.key}.{n}" for n, m in zip(names, members, strict=True))
        lines.append(" ".join(parts))
    return ("\n".join(lines) + "\n").encode()


def _motion_peak(sidecar: Sidecar) -> float:
    curve = sidecar.facts.motion_curve.astype(np.float64)
    if sidecar.video is None or not len(curve):
        return 0.0
    return round(float(_window_means(curve, round(sidecar.video.frame_rate)).max()), 4)


def _window_means(curve: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    window = min(max(1, window), len(curve))
    sums = np.concatenate([[0.0], np.cumsum(curve)])
    return (sums[window:] - sums[:-window]) / window


def _sound_share(sidecar: Sidecar) -> float:
    audio = sidecar.audio
    if audio is None or not audio.samples:
        return 0.0
    silent = sum(stop - start for start, stop in sidecar.facts.silence)
    return round(1.0 - silent / audio.samples, 6)


def _longest_scene(sidecar: Sidecar) -> int:
    frames = sidecar.video.frames if sidecar.video else 0
    return int(np.diff([0, *sidecar.facts.cuts, frames]).max())


def _mean_luma(sidecar: Sidecar) -> float:
    curve = sidecar.facts.luma_curve
    return round(float(curve.mean()), 4) if len(curve) else 0.0
