"""Several data sets as one, and one as several, without copying media: folders of links with indexes and a catalogue of their own."""

import hashlib
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from unreel.shards.catalogue import Catalogue, compile_catalogue
from unreel.shards.errors import CatalogueError
from unreel.shards.files import write_atomic
from unreel.shards.index import INDEX_SUFFIX, SIDECARS_SUFFIX, SampleRow, ShardIndex, wds_index, write_index
from unreel.shards.lock import locked
from unreel.shards.reader import Reader

__all__ = ["Merged", "Split", "merge", "split"]


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What became one."""

    folder: str
    parts: tuple[dict[str, Any], ...]
    """Folder, identity, digest, shards and samples of each."""
    shards: int
    samples: int
    identities: int
    """Different builder identities among the shards."""
    shared_sources: int
    """Recordings that are in more than one part: the same moment may be seen twice in an epoch."""
    digest: str


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a data set."""

    folder: str
    samples: dict[str, int]
    """Split → its samples."""
    sources: dict[str, int]
    """Split → its recordings."""
    shared_sources: int
    """Recordings of which samples are in more than one split; 0 where the split is by source."""


def merge(out: Path | str, folders: Sequence[Path | str], *, copy: bool = False) -> Merged:
    """One catalogue in `out` over the shards of `folders`, in this order. The media stay where they are.

    Args:
        copy: copy the tars instead of linking to them, so that `out` stands alone.

    Raises:
        CatalogueError: a folder is no data set, or `out` is not empty.
    """
    out, catalogues = Path(out), [Catalogue.open(Path(folder)) for folder in folders]
    if not catalogues:
        raise ValueError("merge: at least one folder of shards is needed")
    _begin(out)
    with locked(out):
        for number, catalogue in enumerate(catalogues):
            for shard, name in enumerate(catalogue.names):
                index = catalogue.index(shard)
                place(catalogue.path(shard), index, out / f"{number:02d}-{name}.tar", copy=copy)
        parts = tuple(_part(catalogue) for catalogue in catalogues)
        identity = {"parts": [identity for catalogue in catalogues for identity in _identities(catalogue)]}
        merged = compile_catalogue(out, identity=identity, profile={"parts": [c.profile for c in catalogues]})
    return Merged(
        folder=str(out),
        parts=parts,
        shards=len(merged.counts),
        samples=len(merged),
        identities=len({msgspec.json.encode(one) for one in identity["parts"]}),
        shared_sources=_shared({str(c.folder): {row.source for *_, row in c.rows()} for c in catalogues}),
        digest=merged.digest,
    )


def split(
    folder: Path | str,
    out: Path | str,
    *,
    by: str = "source",
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Split:
    """Divide a data set into folders `out`/NAME, which link to its tars and index their own samples of them.

    Args:
        by: `source` draws whole recordings after `shares`, by their ids alone, so that a recording stays where it is when the
            data set grows; `manifest` takes the split that the manifest gave; `label:NAME` makes one split of each value.
        shares: name → share, for `source`; the shares add up to 1, and are met on average.
        seed: another one draws other recordings.

    Raises:
        CatalogueError: `folder` is no data set, or `out` is not empty.
        ValueError: `by` or `shares` cannot be understood.
    """
    catalogue, out = Catalogue.open(Path(folder)), Path(out)
    choose = _chooser(catalogue, by, dict(shares or {}), seed)
    _begin(out)
    samples: Counter[str] = Counter()
    sources: dict[str, set[str]] = {}
    for shard in range(len(catalogue.counts)):
        index = catalogue.index(shard)
        names = [_split_name(choose(shard, ordinal, row)) for ordinal, row in enumerate(index.samples)]
        for name in sorted(set(names)):
            rows = tuple(row for row, found in zip(index.samples, names, strict=True) if found == name)
            (out / name).mkdir(exist_ok=True)
            partial = msgspec.structs.replace(
                index, samples=rows, partial=index.partial or len(rows) < len(names)
            )
            place(catalogue.path(shard), partial, out / name / f"{index.shard}.tar")
            samples[name] += len(rows)
            sources.setdefault(name, set()).update(row.source for row in rows)
    for name in samples:
        compile_catalogue(out / name, identity=catalogue.identity, profile=catalogue.profile)
    return Split(
        folder=str(out),
        samples=dict(sorted(samples.items())),
        sources={name: len(ids) for name, ids in sorted(sources.items())},
        shared_sources=_shared(sources),
    )


def place(tar: Path, index: ShardIndex, target: Path, *, copy: bool = False) -> None:
    """Make the tar a shard of another folder, under another name, with an index of its own."""
    index = msgspec.structs.replace(index, shard=target.name.removesuffix(".tar"))
    if copy:
        shutil.copyfile(tar, target)
    else:
        target.symlink_to(os.path.relpath(tar.resolve(), target.parent.resolve()))
    if index.sidecars is not None:
        shutil.copyfile(tar.with_suffix(SIDECARS_SUFFIX), target.with_suffix(SIDECARS_SUFFIX))
    write_atomic(target.with_suffix(".idx"), wds_index(index))
    write_atomic(target.with_name(index.shard + INDEX_SUFFIX), write_index(index))


def _begin(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(path.name != ".lock" for path in out.iterdir()):
        raise CatalogueError(f"{out}: expected an empty folder; links and indexes go there")


def _part(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "folder": str(catalogue.folder),
        "identity": catalogue.identity,
        "digest": catalogue.digest,
        "shards": len(catalogue.counts),
        "samples": len(catalogue),
    }


def _identities(catalogue: Catalogue) -> Iterator[Any]:
    """A merged data set may be merged again."""
    yield from catalogue.identity.get("parts", [catalogue.identity])


def _shared(sources: Mapping[str, set[str]]) -> int:
    counts = Counter(source for ids in sources.values() for source in ids)
    return sum(count > 1 for count in counts.values())


Chooser = Callable[[int, int, SampleRow], str]
"""(shard, ordinal, row) → the name of the split."""


def _chooser(catalogue: Catalogue, by: str, shares: dict[str, float], seed: int) -> Chooser:
    if by == "source":
        return _by_share(shares, seed)
    if shares:
        raise ValueError(f"by {by}: shares are for --by source")
    if by == "manifest":
        return lambda shard, ordinal, row: row.split or "none"
    kind, _, label = by.partition(":")
    if kind != "label" or not label:
        raise ValueError(f"by {by!r}: allowed are source, manifest and label:NAME")
    reader = Reader(catalogue)

    def of(shard: int, ordinal: int, row: SampleRow) -> str:
        return str(reader.read(shard, ordinal, members=()).sidecar.labels.get(label, "none"))

    return of


def _by_share(shares: dict[str, float], seed: int) -> Chooser:
    total = sum(shares.values())
    if len(shares) < 2 or min(shares.values()) <= 0 or abs(total - 1) > 1e-9:
        raise ValueError(f"shares {shares}: two or more above 0 are needed that add up to 1")
    names = list(shares)

    def of(shard: int, ordinal: int, row: SampleRow) -> str:
        digest = hashlib.blake2b(f"{seed}/{row.source}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest) / 2.0**64
        passed = sum(place >= bound for bound in itertools.accumulate(shares.values()))
        # The shares may add up to a little less than 1.
        return names[min(passed, len(names) - 1)]

    return of


def _split_name(name: str) -> str:
    """The name of a folder: a label's value may be anything."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
        return name
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "value"
    return f"{slug}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
