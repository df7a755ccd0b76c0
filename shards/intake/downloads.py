"""Bytes of URLs on their way into shards: what they are is kept with the build, they themselves until their shard is there.

A build is of the moment in which its sources were first looked at. What a URL was then is written down beside the shards,
so a build that is continued asks no server about it again, and bytes that are fetched once more must be the same.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.border.limits import Limits
from unreel.shards.border.probe import Probe
from unreel.shards.errors import MediaRefused
from unreel.shards.files import write_atomic
from unreel.shards.remote.web import Patience

__all__ = ["DEFAULT_CACHE_BYTES", "Downloads"]

DEFAULT_CACHE_BYTES: Final = 32 << 30
_READ_BYTES: Final = 1 << 20


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL was when it was first looked at: one of both."""

    profile: str
    """Digest of the profile that looked."""
    probe: Probe | None = None
    refused: tuple[str, str] | None = None
    limits: Limits | None = None
    """The limits under which it was refused."""


class Downloads(msgspec.Struct, frozen=True, kw_only=True):
    """Where fetched bytes lie, and what is known of them. Processes may share it."""

    records: str
    """Folder of what is known, below the output."""
    folder: str
    """Folder of the bytes; nothing else lies there."""
    most: int = DEFAULT_CACHE_BYTES
    """Bytes that are kept between looking and building, beside the one file that each worker has in hand."""
    begun: bool = False
    """The build has a plan: what could not be reached then is no longer asked for."""
    patience: Patience = Patience()

    def recall(self, url: str, profile: str, limits: Limits) -> Probe | None:
        """What a URL is known to be; None: it must be looked at.

        Raises:
            MediaRefused: it is known to be refused.
        """
        try:
            data = Path(self.records, f"{_name(url)}.json").read_bytes()
            record = msgspec.json.decode(data, type=_Record)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if record.profile != profile:
            return None
        if record.refused and record.limits == limits and (self.begun or record.refused[0] != "unreachable"):
            raise MediaRefused(*record.refused)
        return record.probe

    def remember(self, url: str, profile: str, limits: Limits, known: Probe | MediaRefused) -> None:
        """Write down what a URL is."""
        if isinstance(known, Probe):
            record = _Record(profile=profile, probe=known)
        else:
            record = _Record(profile=profile, refused=(known.reason, known.detail), limits=limits)
        Path(self.records).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(self.records, f"{_name(url)}.json"), msgspec.json.encode(record) + b"\n")

    def take(self, url: str, limits: Limits, digest: str | None = None) -> Path:
        """The file with the bytes of `url`, fetched unless it is there.

        Args:
            digest: what `Probe.id` must be, where that is known.

        Raises:
            MediaRefused: `unreachable`, `too-many-bytes`, or `changed` where the bytes have another digest.
        """
        path = Path(self.folder, _name(url))
        if not path.exists():
            from unreel.shards.intake.fetch import fetch  # brings an HTTP library with it

            fetch(url, path, limits=limits, patience=self.patience)
        if digest is not None and (found := _digest(path)) != digest:
            path.unlink()
            raise MediaRefused(
                "changed", f"its bytes have the digest {found}, and had {digest} when it was looked at"
            )
        return path

    def trim(self, url: str) -> None:
        """Drop the bytes of `url` where more are kept than should be."""
        with os.scandir(self.folder) as entries:
            held = sum(entry.stat().st_size for entry in entries if not entry.name.startswith("."))
        if held > self.most:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Forget the bytes of `url`, not what they were."""
        Path(self.folder, _name(url)).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed worker left half fetched, and the folder of bytes where it is empty."""
        folder = Path(self.folder)
        for partial in folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _name(url: str) -> str:
    return hashlib.blake2b(url.encode(), digest_size=16).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
