"""What a worker makes of a source: fetched where it is remote, probed with its words, built into samples that carry them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import msgspec

from unreel.shards.border.limits import Limits
from unreel.shards.border.probe import Probe
from unreel.shards.border.sandbox import probe_safely
from unreel.shards.errors import MediaRefused
from unreel.shards.grouping import Entry
from unreel.shards.intake.downloads import Downloads
from unreel.shards.intake.source_file import SourceFile
from unreel.shards.intake.transcripts import Words, words_of, write_words
from unreel.shards.making.profiles import Profile
from unreel.shards.making.samples import BuiltSource, Sample, build_samples

__all__ = ["build_entry", "look_at"]


def look_at(source: SourceFile, profile: Profile, limits: Limits, downloads: Downloads) -> Entry:
    """What a source is, before it is decoded.

    Raises:
        MediaRefused: it is not taken, or its words cannot be read.
    """
    look = _look_at_url if source.remote else _look_at_file
    probe = look(source, profile, limits, downloads)
    return Entry(source, probe, _digest(words_of(_told(source, probe))))


def _told(source: SourceFile, probe: Probe) -> SourceFile:
    """The source with the words of its own track of subtitles, where nobody gives it others."""
    if source.transcript or source.captions or not probe.captions:
        return source
    language = source.language or probe.language
    return msgspec.structs.replace(source, captions=probe.captions, language=language)


def _look_at_file(source: SourceFile, profile: Profile, limits: Limits, _downloads: Downloads) -> Probe:
    return probe_safely(source, profile, limits)


def _look_at_url(source: SourceFile, profile: Profile, limits: Limits, downloads: Downloads) -> Probe:
    url = source.path
    known = downloads.recall(url, profile.digest, limits)
    if known is not None:
        return known
    try:
        here = msgspec.structs.replace(source, path=str(downloads.take(url, limits)))
        probe = probe_safely(here, profile, limits)
    except MediaRefused as refusal:
        downloads.remember(url, profile.digest, limits, refusal)
        downloads.drop(url)
        raise
    downloads.remember(url, profile.digest, limits, probe)
    downloads.trim(url)
    return probe


@contextmanager
def build_entry(
    entry: Entry, profile: Profile, limits: Limits, downloads: Downloads
) -> Iterator[BuiltSource]:
    """The samples of a source with their words, for as long as the context lasts.

    Raises:
        MediaRefused: it cannot be built; `changed` where its bytes or words are others than when it was looked at;
            `unreachable` where its bytes do not come again.
    """
    words = words_of(_told(entry.source, entry.probe))
    if _digest(words) != entry.words:
        raise MediaRefused(
            "changed", f"the words in {entry.source.transcript} changed while the build was running"
        )
    source = entry.source
    if source.remote:
        path = downloads.take(source.path, limits, entry.probe.id)
        source = msgspec.structs.replace(source, path=str(path))
    with build_samples(source, entry.probe, profile, limits) as built:
        yield replace(built, complete=lambda sample: _with_words(sample, entry, words))
    if entry.source.remote:
        downloads.trim(entry.source.path)


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
