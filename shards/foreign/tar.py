"""Walk over a tar that somebody else wrote: what may be read, what is refused and why. Nothing is ever extracted.

`tarfile` parses single header blocks here and nothing else: its iteration follows links, reads names of any length into memory,
and takes a tar that was cut at a member for a whole one.
"""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from unreel.shards.errors import MediaRefused

__all__ = ["MAX_MEMBERS", "MAX_MEMBER_BYTES", "ForeignTar", "TarEntry", "TarRefusal"]

MAX_MEMBERS: Final = 150_000
"""Members of one tar, of any kind: one index of more would not be read on demand."""
MAX_MEMBER_BYTES: Final = 1 << 30
"""A member is read as a whole to be measured."""
MAX_EXTENSION_BYTES: Final = 64 << 10
"""Of a PAX header or a GNU long name; both hold names here."""

_BLOCK: Final = tarfile.BLOCKSIZE
_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_REFUSED_TYPES: Final = {
    tarfile.LNKTYPE: "hard-link",
    tarfile.SYMTYPE: "symbolic-link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
    tarfile.GNUTYPE_SPARSE: "sparse",
}
_NAMED: Final = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PAX_RECORD: Final = re.compile(rb"(\d{1,6}) ([^=\n]{1,200})=")


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A regular file in the tar.

    Attributes:
        name: as it stands there; it names a sample and is never a path.
        offset: first byte of the payload.
        size: bytes of the payload, all of them inside the tar.
        header_crc32: CRC32 of the block before the payload.
    """

    name: str
    offset: int
    size: int
    header_crc32: int


@dataclass(frozen=True, slots=True)
class TarRefusal:
    """A member that is not read."""

    name: str
    reason: str
    detail: str


@dataclass(slots=True)
class _Extension:
    """What PAX and GNU headers say of the member after them."""

    path: str | None = None
    size: int | None = None
    sparse: bool = False


class ForeignTar:
    """One tar, read by position. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self.bytes = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes [offset, offset + size); fewer at the end of the file."""
        return os.pread(self._file.fileno(), size, offset)

    def members(self) -> Iterator[TarEntry | TarRefusal]:
        """Every member in the order of the tar, to its end mark.

        Raises:
            MediaRefused: the tar as a whole cannot be trusted: `compressed`, `truncated`, `bad-header`, `trailing-data`,
                `too-many-members`, `name-too-long`.
        """
        self._refuse_compressed()
        position, extension, count = 0, _Extension(), 0
        while (info := self._header(position)) is not None:
            count += 1
            if count > MAX_MEMBERS:
                raise MediaRefused(
                    "too-many-members", f"more than {MAX_MEMBERS} members; write smaller shards"
                )
            payload = position + _BLOCK
            if info.type in _NAMED or info.type == tarfile.XGLTYPE:
                self._extend(info, payload, extension)
                position = payload + _padded(info.size)
                continue
            size = info.size if extension.size is None else extension.size
            payload, length = self._extent(info, payload, size)
            self._check_extent(info, payload, length)
            entry = self._entry(info, extension, payload, size)
            if entry is not None:
                yield entry
            position, extension = payload + _padded(length), _Extension()
        self._check_end(position)

    def _refuse_compressed(self) -> None:
        head = self.read(0, 8)
        for magic, name in _COMPRESSED.items():
            if head.startswith(magic):
                raise MediaRefused(
                    "compressed", f"compressed with {name}; samples are read by position, so decompress it"
                )

    def _header(self, position: int) -> tarfile.TarInfo | None:
        """The header at `position`, None at the end mark."""
        block = self.read(position, _BLOCK)
        if len(block) < _BLOCK:
            raise MediaRefused(
                "truncated", f"expected a header or the end mark at {position}, found the end of the file"
            )
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            if not any(block):
                return None
            raise MediaRefused("bad-header", f"expected a header at {position}, found: {error}") from error
        if info.size < 0:
            raise MediaRefused("bad-header", f"the header at {position} claims {info.size} bytes")
        # The library cuts names at their first NUL; what is hidden behind it must not pass.
        if b"\0" in block[:100].rstrip(b"\0"):
            info.name = block[:100].rstrip(b"\0").decode("utf-8", "surrogateescape")
        return info

    def _extend(self, info: tarfile.TarInfo, payload: int, extension: _Extension) -> None:
        if info.size > MAX_EXTENSION_BYTES:
            raise MediaRefused(
                "name-too-long", f"a header of {info.size} bytes for one name; {MAX_EXTENSION_BYTES} are read"
            )
        self._check_extent(info, payload, info.size)
        data = self.read(payload, info.size)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            extension.path = data.removesuffix(b"\0").decode("utf-8", "surrogateescape")
        elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            _read_pax(data, extension)

    def _extent(self, info: tarfile.TarInfo, payload: int, size: int) -> tuple[int, int]:
        """(first byte of the payload, bytes of it that lie in the tar)."""
        if info.type == tarfile.GNUTYPE_SPARSE:
            # Each block of a sparse map says whether another follows it.
            more = self.read(payload - _BLOCK + 482, 1)
            while more not in (b"", b"\0"):
                more = self.read(payload + 504, 1)
                payload += _BLOCK
            return payload, size
        # Links and devices have no payload, whatever their header claims.
        return payload, size if info.type in _REGULAR or info.type not in tarfile.SUPPORTED_TYPES else 0

    def _check_extent(self, info: tarfile.TarInfo, payload: int, size: int) -> None:
        if payload + size > self.bytes:
            raise MediaRefused(
                "truncated",
                f"member {info.name[:80]!r}: expected {size} bytes at {payload}, the file ends at {self.bytes}",
            )

    def _entry(
        self, info: tarfile.TarInfo, extension: _Extension, payload: int, size: int
    ) -> TarEntry | TarRefusal | None:
        """What to make of a member; None for a folder."""
        name = info.name if extension.path is None else extension.path
        if info.type == tarfile.DIRTYPE:
            return None
        if info.type not in _REGULAR:
            reason = _REFUSED_TYPES.get(info.type, "unknown-type")
            return TarRefusal(name, reason, "only regular files are read")
        if extension.sparse:
            return TarRefusal(name, "sparse", "its bytes do not lie in the tar as they are")
        refused = _name_refusal(name)
        if refused is not None:
            return TarRefusal(name, *refused)
        if size > MAX_MEMBER_BYTES:
            return TarRefusal(name, "too-large", f"{size} bytes; at most {MAX_MEMBER_BYTES} are taken")
        return TarEntry(name, payload, size, zlib.crc32(self.read(payload - _BLOCK, _BLOCK)))

    def _check_end(self, position: int) -> None:
        """After the end mark come zeros: what stands there instead would be lost without a word."""
        while block := self.read(position, 1 << 20):
            if any(block):
                raise MediaRefused(
                    "trailing-data",
                    "bytes after the end mark; are two tars joined? Split them, or tar them anew",
                )
            position += len(block)


def _name_refusal(name: str) -> tuple[str, str] | None:
    if _CONTROL.search(name):
        return "name-control", "its name holds NUL, a new line or other control characters"
    if name.startswith("/"):
        return "name-absolute", "its name is an absolute path"
    if ".." in name.split("/"):
        return "name-escapes", "its name leads out of its folder"
    return None


def _read_pax(data: bytes, extension: _Extension) -> None:
    position = 0
    while position < len(data):
        record = _PAX_RECORD.match(data, position)
        if record is None or (stop := position + int(record[1])) > len(data) or stop <= record.end():
            raise MediaRefused(
                "bad-header", f"expected a PAX record, found {data[position : position + 20]!r}"
            )
        key, value = record[2], data[record.end() : stop - 1]
        if key == b"path":
            extension.path = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                raise MediaRefused("bad-header", f"expected a size in a PAX record, found {value[:20]!r}")
            extension.size = int(value)
        elif key.startswith((b"GNU.sparse.", b"SCHILY.realsize")):
            extension.sparse = True
        position = stop


def _padded(size: int) -> int:
    return size + -size % _BLOCK
