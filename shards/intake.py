"""What a worker makes of a source: probed with its words, and built into samples that carry them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import msgspec

from unreel.shards.errors import MediaRefused
from unreel.shards.grouping import Entry
from unreel.shards.limits import Limits
from unreel.shards.profiles import Profile
from unreel.shards.samples import BuiltSource, Sample, build_samples
from unreel.shards.sandbox import probe_safely
from unreel.shards.source_file import SourceFile
from unreel.shards.transcripts import Words, words_of, write_words

__all__ = ["build_entry", "look_at"]


def look_at(source: SourceFile, profile: Profile, limits: Limits) -> Entry:
    """What a source is, before it is decoded.

    Raises:
        MediaRefused: it is not taken, or its words cannot be read.
    """
    probe = probe_safely(source, profile, limits)
    return Entry(source, probe, _digest(words_of(source)))


@contextmanager
def build_entry(entry: Entry, profile: Profile, limits: Limits) -> Iterator[BuiltSource]:
    """The samples of a source with their words, for as long as the context lasts.

    Raises:
        MediaRefused: it cannot be built, or its words are others than when it was looked at.
    """
    words = words_of(entry.source)
    if _digest(words) != entry.words:
        raise MediaRefused(
            "changed", f"the words in {entry.source.transcript} changed while the build was running"
        )
    with build_samples(entry.source, entry.probe, profile, limits) as built:
        yield replace(built, complete=lambda sample: _with_words(sample, entry, words))


def _with_words(sample: Sample, entry: Entry, words: Words) -> Sample:
    probe, sidecar = entry.probe, sample.sidecar
    start = float(Fraction(sidecar.source.start_frame) / probe.frame_rate)
    sidecar, text = write_words(sidecar, words, start=start, lead=probe.lead, end=probe.seconds)
    return sample if text is None else Sample(sidecar, {**sample.members, "txt": text})


def _digest(words: Words) -> str:
    """32 hex digits over a source's words, empty where it has none: they go into the shards as its bytes do."""
    if words == Words(language=words.language):
        return ""
    return hashlib.blake2b(msgspec.json.encode(words), digest_size=16).hexdigest()
