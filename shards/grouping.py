"""Which sources go into which shard: a function of the sources' content, not of clocks, workers or folders."""

import hashlib
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from unreel.shards.border.probe import Probe
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.profiles import Profile

__all__ = ["Entry", "expected_bytes", "group_entries", "groups_digest"]

# A small data set still becomes some 32 shards: they are the units of parallel work and of shuffling.
_SHARDS_OF_A_SMALL_SET: Final = 32
_SMALLEST_SHARD: Final = 4 << 20
_LARGEST_SHARD: Final = 256 << 20


class Entry(msgspec.Struct, frozen=True):
    """A source that is to be built."""

    source: SourceFile
    probe: Probe
    words: str = ""
    """Digest of its words, empty where it has none."""


def group_entries(
    entries: Sequence[Entry], profile: Profile, *, shard_bytes: int | None = None
) -> list[list[Entry]]:
    """Divide entries into shards of about equal size, in the order of their ids.

    The order by id is as good as random, so that each shard is a mixture of all folders and classes.

    Args:
        shard_bytes: expected size of a shard; None chooses 4 to 256 MiB by the size of the whole.
    """
    ordered = sorted(entries, key=lambda entry: entry.probe.id)
    sizes = [expected_bytes(entry.probe, profile) for entry in ordered]
    total = math.fsum(sizes)
    target = shard_bytes or min(max(total / _SHARDS_OF_A_SMALL_SET, _SMALLEST_SHARD), _LARGEST_SHARD)
    shards = max(1, round(total / target))
    before, places = 0.0, []
    for size in sizes:
        places.append(int((before + size / 2) / total * shards))
        before += size
    pairs = zip(places, ordered, strict=True)
    return [[entry for _, entry in group] for _, group in groupby(pairs, key=lambda pair: pair[0])]


def expected_bytes(probe: Probe, profile: Profile) -> float:
    """Bytes that the samples of a source will have, as the profile expects it."""
    if probe.still:
        return profile.bytes_per_picture
    rate = profile.bytes_per_second if probe.video is not None else profile.bytes_per_sound_second
    return probe.seconds * rate


def groups_digest(groups: Sequence[Sequence[Entry]]) -> str:
    """32 hex digits over all that goes into the shards; paths are left out, since moving files changes nothing."""
    digest = hashlib.blake2b(digest_size=16)
    for group in groups:
        content = [(entry.probe, entry.words, _unplaced(entry.source)) for entry in group]
        digest.update(msgspec.json.encode(content, order="sorted"))
    return digest.hexdigest()


def _unplaced(source: SourceFile) -> SourceFile:
    return msgspec.structs.replace(source, path="", transcript=None)
