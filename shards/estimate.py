"""What a build would give and cost, before it is begun: all sources are looked at, and a few of them are built for trial."""

import itertools
import resource
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.build import Job, Progress, SourceReport, downloads_of, survey
from unreel.shards.engines import Engine
from unreel.shards.errors import MediaRefused
from unreel.shards.grouping import Entry, group_entries
from unreel.shards.identity import builder_identity
from unreel.shards.intake.downloads import DEFAULT_CACHE_BYTES
from unreel.shards.intake.entries import build_entry
from unreel.shards.making.cutting import cut, wanted_pieces
from unreel.shards.making.keep import broken_rule, read_rules
from unreel.shards.making.profiles import Profile
from unreel.shards.remote.web import Patience
from unreel.shards.writer import ShardWriter

__all__ = ["Estimate", "Share", "estimate"]

# So many sources of each kind are built for trial, spread over all of them.
_TRIALS: Final = {"video": 16, "sound": 16, "picture": 32}
# Longer sources are stood for by the shorter ones: a trial shall take seconds.
_LONGEST_TRIAL: Final = 120.0


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What the sources of one kind become."""

    sources: int
    samples: int
    """Where scenes are kept apart, rules leave samples out or a trial refuses sources, in the trial's proportion."""
    seconds: float
    """Of stored media; pictures have none."""
    bytes: float
    bytes_error: float
    """One standard error of `bytes`, by how much the sources of the trial differ."""
    cpu_seconds: float
    trials: int
    """Sources built for trial."""
    trials_refused: int


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a build would give; reports are on the sources that would not even be begun."""

    sources: int
    shards: int
    kinds: Mapping[str, Share]
    reports: tuple[SourceReport, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many sources would not be begun, by `status: reason`, the most frequent first."""
        return dict(Counter(f"{report.status}: {report.reason}" for report in self.reports).most_common())

    def total(self, field: str) -> float:
        """The sum of a field over all kinds."""
        return float(sum(getattr(share, field) for share in self.kinds.values()))


def estimate(
    sources: Iterable[str | Path],
    out: str | Path,
    *,
    profile: Profile,
    engine: Engine,
    shard_bytes: int | None = None,
    keep: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    checksums: str | Path | None = None,
    cache: str | Path | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    progress: Progress = lambda stage, done, total: None,
) -> Estimate:
    """What `build` would do with the same arguments; `out` is not touched.

    The trial runs here and not on the engine, so that its processor time is counted.

    Raises:
        ValueError: as `build`.
    """
    with TemporaryDirectory() as scratch:
        downloads = downloads_of(Path(scratch), cache, cache_bytes, Patience())
        job = Job(identity=builder_identity(profile), profile=profile, limits=limits, downloads=downloads)
        seen = survey(sources, Path(out), job, engine=engine, checksums=checksums, progress=progress)
        shares = _shares(seen.entries, job, keep, progress)
    groups = group_entries(seen.entries, profile, shard_bytes=shard_bytes) if seen.entries else []
    return Estimate(sources=len(seen.files), shards=len(groups), kinds=shares, reports=tuple(seen.reports))


def _shares(entries: Sequence[Entry], job: Job, keep: Sequence[str], progress: Progress) -> dict[str, Share]:
    kinds: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.probe.id):
        kinds.setdefault(_kind(entry), []).append(entry)
    chosen = {kind: _choose(found, _TRIALS[kind]) for kind, found in kinds.items()}
    total, done = sum(map(len, chosen.values())), itertools.count(1)

    def tick() -> None:
        progress("trial", next(done), total)

    return {kind: _share(kinds[kind], chosen[kind], job, keep, tick) for kind in kinds}


def _kind(entry: Entry) -> str:
    if entry.probe.still:
        return "picture"
    return "sound" if entry.probe.video is None else "video"


def _choose(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Some entries, spread over all that are short enough; where none is, the shortest one."""
    short = [entry for entry in entries if entry.probe.seconds <= _LONGEST_TRIAL]
    if not short:
        return [min(entries, key=lambda entry: entry.probe.seconds)]
    count = min(count, len(short))
    return [short[(2 * part + 1) * len(short) // (2 * count)] for part in range(count)]


class _Trial(msgspec.Struct, frozen=True):
    """One source that was built for trial; nothing came of it where it was refused."""

    due: float
    """What `_due` says of it."""
    samples: int
    bytes: int
    seconds: float
    """Of stored media, in the trial."""
    planned: int
    """Samples that it would have by its length alone."""
    cpu_seconds: float
    refused: bool


def _share(
    entries: Sequence[Entry],
    chosen: Sequence[Entry],
    job: Job,
    keep: Sequence[str],
    tick: Callable[[], None],
) -> Share:
    trials = []
    for entry in chosen:
        trials.append(_try(entry, job, keep))
        tick()
    due, planned = (
        sum(values) for values in zip(*(_due(entry, job.profile) for entry in entries), strict=True)
    )
    part = sum(trial.due for trial in trials)
    scale = due / part if part else 0.0
    # Of what the lengths alone say, the trial got this share.
    kept = sum(trial.samples for trial in trials) / max(1, sum(trial.planned for trial in trials))
    return Share(
        sources=len(entries),
        samples=round(planned * kept),
        seconds=scale * sum(trial.seconds for trial in trials),
        bytes=scale * sum(trial.bytes for trial in trials),
        bytes_error=scale * _ratio_error(trials, len(entries)),
        cpu_seconds=scale * sum(trial.cpu_seconds for trial in trials),
        trials=len(trials),
        trials_refused=sum(trial.refused for trial in trials),
    )


def _ratio_error(trials: Sequence[_Trial], sources: int) -> float:
    """Standard error of the trial's bytes as a ratio estimate over `sources` sources (Cochran, "Sampling Techniques", 6.4)."""
    size, due = (np.array([getattr(trial, name) for trial in trials]) for name in ("bytes", "due"))
    if len(trials) < 2 or not due.any():
        return 0.0
    rest = size - size.sum() / due.sum() * due
    return float(np.sqrt(len(trials) * rest.var(ddof=1) * (1 - len(trials) / sources)))


def _due(entry: Entry, profile: Profile) -> tuple[float, int]:
    """(seconds that would be stored, or 1 for a picture; samples) of a source, by its length alone."""
    probe = entry.probe
    if probe.still:
        return 1.0, 1
    rate = probe.sample_rate
    single = profile.videos == "frames" and probe.video is not None
    pieces = cut(
        _Planned(round(probe.seconds * rate)),
        wanted_pieces(entry.source.spans, rate),
        shortest=1 if single else profile.min_frames(rate),
        longest=1 if single else profile.clip_frames(rate),
        scenes=False,
        dropped=Counter(),
    )
    frames = [piece.frames for piece in pieces]
    kept = len(frames) if profile.clips_per_source is None else min(len(frames), profile.clips_per_source)
    return float(Fraction(sum(frames)) / rate) * kept / max(1, len(frames)), kept


class _Planned:
    """A source of which only the length is known."""

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def reach(self, start: int, stop: int) -> int:
        return min(stop, self._frames)

    def cuts(self, start: int, stop: int) -> Sequence[int]:
        return ()


def _try(entry: Entry, job: Job, keep: Sequence[str]) -> _Trial:
    """Build a source into a shard that is thrown away."""
    before, rules = _cpu_seconds(), read_rules(keep)
    due, planned = _due(entry, job.profile)
    samples, seconds, refused = 0, 0.0, False
    with TemporaryDirectory() as folder, ShardWriter(Path(folder, "trial.tar"), identity="") as writer:
        try:
            with build_entry(entry, job.profile, job.limits, job.downloads) as built:
                for sample in built.samples():
                    if broken_rule(rules, sample.sidecar) is not None:
                        continue
                    writer.add(sample.sidecar, sample.members)
                    samples, seconds = samples + 1, seconds + sample.sidecar.seconds
        except MediaRefused:
            refused = True
        size = writer.size
    return _Trial(due, samples, size, seconds, planned, _cpu_seconds() - before, refused)


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
