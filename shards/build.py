"""Sources → shards. The shard is the unit of work, of commit and of resume."""

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.probe import SKIPPED
from unreel.shards.catalogue import compile_catalogue
from unreel.shards.engines import Engine, InlineEngine, LocalEngine, supervise
from unreel.shards.engines.work import Note
from unreel.shards.errors import IdentityMismatch, MediaRefused, WorkerLost
from unreel.shards.faults import fault
from unreel.shards.files import write_atomic
from unreel.shards.folder import Plan, begin, has_begun
from unreel.shards.grouping import Entry, group_entries, groups_digest
from unreel.shards.identity import builder_identity, differences
from unreel.shards.index import INDEX_SUFFIX, identity_text
from unreel.shards.intake.checksums import with_checksums
from unreel.shards.intake.downloads import DEFAULT_CACHE_BYTES, Downloads
from unreel.shards.intake.entries import build_entry, look_at
from unreel.shards.intake.sources import SourceFile, list_sources
from unreel.shards.lock import locked
from unreel.shards.making.keep import broken_rule, read_rules
from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import DEFAULT_PROFILE, Profile
from unreel.shards.making.samples import BuiltSource
from unreel.shards.remote.web import Patience
from unreel.shards.writer import ShardWriter

__all__ = [
    "BuildSummary",
    "Job",
    "Progress",
    "SourceReport",
    "Survey",
    "all_filtered",
    "build",
    "downloads_of",
    "survey",
]

_PROBE_BATCH: Final = 8
_WAITING: Final = "waiting"
_REPORTS_SUFFIX: Final = ".reports.json"


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source."""

    source: str
    """Its path, or its URL without what follows a question mark."""
    status: Literal["done", "skipped", "refused"]
    reason: str = ""
    """Short code to count by; empty when done."""
    detail: str = ""
    """The reason in a sentence."""
    samples: int = 0
    dropped_frames: dict[str, int] = {}
    """Frames of a source that was done which are in no sample, by reason: `short-rest` at the end of the source or of a
    span, `short-scene` before a cut, `after-end` where a span begins after the source, `over-cap`. 40 ms each where there
    is no picture."""
    filtered: dict[str, int] = {}
    """Clips that were not kept, by the first rule that each breaks."""
    copied: int = 0
    """Clips, kept or not, whose picture is the source's own packets."""


class BuildSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all sources: `done + skipped + refused == sources == len(reports)`."""

    sources: int
    done: int
    skipped: int
    refused: int
    samples: int
    reports: tuple[SourceReport, ...]
    keep: tuple[str, ...] = ()
    """Rules that every sample keeps to."""
    filtered: dict[str, int] = {}
    """Clips of all sources that were not kept, by the first rule that each breaks."""
    copied: int = 0
    """Clips whose picture is the source's own packets, where the profile copies; they are counted before rules."""
    repeated: tuple[str, ...] = ()
    """Rows of manifests that say what another row has said, in a sentence each; they are no sources."""

    @property
    def reasons(self) -> dict[str, int]:
        """How many sources were not done, by `status: reason`, the most frequent first."""
        missed = Counter(
            f"{report.status}: {report.reason}" for report in self.reports if report.status != "done"
        )
        return dict(missed.most_common())


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What every job of a build has."""

    identity: dict[str, str]
    profile: Profile
    limits: Limits
    downloads: Downloads
    left_out: dict[str, str] = {}
    """Path of a source that kills workers → what is known of it."""

    def without(self, source: str, why: str) -> Self:
        """The same job without a source."""
        return msgspec.structs.replace(self, left_out={**self.left_out, source: why})

    def begin(self, source: SourceFile, note: Note) -> None:
        """Say that `source` is next. Raises MediaRefused where it is left out."""
        if source.path in self.left_out:
            raise MediaRefused("kills-workers", self.left_out[source.path])
        note(source.path)
        fault("source", source.path)


class _ShardJob(Job, frozen=True, kw_only=True):
    path: str
    entries: list[Entry]
    keep: tuple[str, ...] = ()


class _ProbeJob(Job, frozen=True, kw_only=True):
    sources: Sequence[SourceFile]


class _Probed(msgspec.Struct, frozen=True):
    """One of both: what a source is, or why it is not taken."""

    path: str
    entry: Entry | None
    report: SourceReport | None


Progress = Callable[[str, int, int], None]
"""Called with a stage (`probe`, `build`), the sources that are through it, and all sources of the stage."""


def build(
    sources: Iterable[str | Path],
    out: str | Path,
    *,
    profile: str | Profile = DEFAULT_PROFILE,
    workers: int = 1,
    engine: Engine | None = None,
    clip_seconds: float | None = None,
    scenes: bool | None = None,
    clips_per_source: int | None = None,
    shard_bytes: int | None = None,
    keep: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    checksums: str | Path | None = None,
    cache: str | Path | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    patience: Patience | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BuildSummary:
    """Build the shards of `sources` into the folder `out`, or continue a build that was stopped there.

    Equal sources, profile and builder identity give equal bytes, whatever the number of workers and however often the
    build was killed and started again.

    Args:
        sources: folders, files, URLs, glob patterns and manifests; see `list_sources`.
        profile: name of a profile, or a profile.
        workers: processes; each uses one core. 1 is this process itself, which a source that crashes takes with it.
        engine: where the work runs, instead of `workers` processes here; it is left running.
        clip_seconds, scenes, clips_per_source: instead of the profile's.
        shard_bytes: expected size of a shard; None chooses it by the size of the whole.
        keep: rules such as `motion>=2`, see `keep.read_rule`; a clip that breaks one is dropped and counted.
        limits: what a source may cost and claim before it is refused.
        checksums: a list as `sha256sum` writes it; a source that differs from it, or is not in it, is refused.
        cache: folder for the bytes of URLs until their shard is committed; None is one below `out`.
        cache_bytes: how many of them are kept between looking at a source and building it.
        patience: how long a URL is waited for.

    Raises:
        ValueError: a source names nothing, or a setting is out of range.
        IdentityMismatch: the folder was begun by another builder.
        CatalogueError: the folder was begun with other sources, or another build is writing there.
        WriteFailed: the disk is full or may not be written; what is committed stays.
        WorkerLost: workers die, and no source is to blame.
    """
    out = Path(out)
    profile = find_profile(
        profile, clip_seconds=clip_seconds, scenes=scenes, clips_per_source=clips_per_source
    )
    rules = tuple(rule.text for rule in read_rules(keep))
    with locked(out), _running(engine, workers) as running:
        identity = builder_identity(profile)
        downloads = downloads_of(out.absolute(), cache, cache_bytes, patience or Patience())
        blank = Job(identity=identity, profile=profile, limits=limits, downloads=downloads)
        seen = survey(sources, out, blank, engine=running, checksums=checksums, progress=progress)
        groups = group_entries(seen.entries, profile, shard_bytes=shard_bytes)
        begin(out, Plan(identity=identity, shards=len(groups), digest=groups_digest(groups), keep=rules))
        jobs = [
            _ShardJob(
                path=str(out.absolute() / f"shard-{number:06d}.tar"),
                entries=group,
                keep=rules,
                **_fields(blank),
            )
            for number, group in enumerate(groups)
        ]
        built = _build_all(jobs, running, progress)
        found = {report.source: report for report in (*seen.reports, *built)}
        summary = _summarise(seen.files, found, repeated=tuple(seen.repeated), keep=rules)
        if summary.samples:
            compile_catalogue(out, identity=identity, profile=msgspec.to_builtins(profile))
        if any(file.remote for file in seen.files):
            _forget(summary, seen.files, downloads)
        write_atomic(out / "build.json", msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return summary


def downloads_of(out: Path, cache: str | Path | None, most: int, patience: Patience) -> Downloads:
    """Where the bytes of URLs are kept for the build of `out`: in `cache`, else below `out`."""
    # Two builds may share a cache: each has its own folder in it.
    own = hashlib.blake2b(str(out).encode(), digest_size=8).hexdigest()
    downloads = Downloads(
        records=str(out / ".urls"),
        folder=str(Path(cache).absolute() / own if cache else out / ".fetched"),
        most=most,
        begun=has_begun(out),
        patience=patience,
    )
    downloads.sweep()
    return downloads


def _forget(summary: BuildSummary, files: Sequence[SourceFile], downloads: Downloads) -> None:
    """Drop all bytes of URLs that no shard waits for."""
    if not any(report.reason == _WAITING for report in summary.reports):
        for file in files:
            downloads.drop(file.path)
    downloads.sweep()


class Survey(NamedTuple):
    """What the sources of a build are."""

    files: Sequence[SourceFile]
    entries: Sequence[Entry]
    """What will be built."""
    reports: Sequence[SourceReport]
    """On the others."""
    repeated: Sequence[str]


def survey(
    sources: Iterable[str | Path],
    out: Path,
    blank: Job,
    *,
    engine: Engine,
    checksums: str | Path | None,
    progress: Progress,
) -> Survey:
    """Look at all sources as `blank` says; the other arguments and the errors are those of `build`."""
    repeated: list[str] = []
    named = list_sources(sources, repeated.append)
    files = [file for file in named if not Path(file.path).is_relative_to(out.absolute())]
    if checksums is not None:
        files = with_checksums(files, checksums)
    entries, reports = _probe_all(files, blank, engine, progress)
    return Survey(files, entries, reports, repeated)


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__struct_fields__}


def _running(engine: Engine | None, workers: int) -> AbstractContextManager[Engine]:
    if engine is not None:
        return nullcontext(engine)
    return InlineEngine() if workers == 1 else LocalEngine(workers)


def _probe_all(
    files: Sequence[SourceFile],
    blank: Job,
    engine: Engine,
    progress: Progress,
) -> tuple[list[Entry], list[SourceReport]]:
    """Probe all files; what will be built, and reports on the others."""
    batches = [files[start : start + _PROBE_BATCH] for start in range(0, len(files), _PROBE_BATCH)]
    jobs = [_ProbeJob(sources=batch, **_fields(blank)) for batch in batches]
    found: dict[str, _Probed] = {}
    for results in supervise(engine, _probe_batch, jobs):
        found.update((result.path, result) for result in results)
        progress("probe", len(found), len(files))
    entries: dict[str, Entry] = {}
    reports: list[SourceReport] = []
    for file in files:
        result = found[file.path]
        if result.entry is None:
            assert result.report is not None
            reports.append(_seen_from_here(result.report))
        elif result.entry.probe.id in entries:
            first = entries[result.entry.probe.id].source.name
            reports.append(_missed(file, MediaRefused("duplicate", f"the same bytes as {first}")))
        else:
            entries[result.entry.probe.id] = result.entry
    return list(entries.values()), reports


def _seen_from_here(report: SourceReport) -> SourceReport:
    """The report itself. Raises WorkerLost where a worker misses a file that is there: it does not see our disks."""
    if report.reason == "missing" and Path(report.source).exists():
        raise WorkerLost(
            f"{report.source}: is here and not where a worker runs ({report.detail}); sources and the output folder must "
            "have the same paths on all machines"
        )
    return report


def _probe_batch(job: _ProbeJob, note: Note) -> list[_Probed]:
    _check_identity(job.identity, job.profile)
    return [_probe_one(source, job, note) for source in job.sources]


def _probe_one(source: SourceFile, job: _ProbeJob, note: Note) -> _Probed:
    try:
        job.begin(source, note)
        return _Probed(source.path, look_at(source, job.profile, job.limits, job.downloads), None)
    except MediaRefused as refusal:
        return _Probed(source.path, None, _missed(source, refusal))


def _check_identity(expected: dict[str, str], profile: Profile) -> None:
    """Raises IdentityMismatch where this process would build other bytes than the one that leads the build."""
    found = builder_identity(profile)
    if found != expected:
        raise IdentityMismatch(
            f"worker on {platform.node()}: another builder than the one that leads: {differences(found, expected)}; "
            "install the same versions on all machines"
        )


def _missed(source: SourceFile, refusal: MediaRefused) -> SourceReport:
    status: Literal["skipped", "refused"] = "skipped" if refusal.reason in SKIPPED else "refused"
    return SourceReport(source=source.path, status=status, reason=refusal.reason, detail=refusal.detail)


def _build_all(jobs: Sequence[_ShardJob], engine: Engine, progress: Progress) -> list[SourceReport]:
    """Build the shards that are not yet committed; the reports on the sources of all of them."""
    committed = {job.path: _committed_reports(job) for job in jobs}
    reports = [report for shard in committed.values() for report in shard or ()]
    total = sum(len(job.entries) for job in jobs)
    progress("build", len(reports), total)
    for shard in supervise(engine, _build_shard, [job for job in jobs if committed[job.path] is None]):
        reports += shard
        progress("build", len(reports), total)
    return reports


def _committed_reports(job: _ShardJob) -> list[SourceReport] | None:
    """The reports of a shard that an earlier run has finished, else None. The plan says that it is the same shard."""
    path = Path(job.path)
    try:
        reports = msgspec.json.decode(_beside(path, _REPORTS_SUFFIX).read_bytes(), type=list[SourceReport])
    except FileNotFoundError:
        return None
    if any(report.samples for report in reports) and not _beside(path, INDEX_SUFFIX).exists():
        return None
    pairs = zip(reports, job.entries, strict=True)
    return [msgspec.structs.replace(report, source=entry.source.path) for report, entry in pairs]


def _build_shard(job: _ShardJob, note: Note) -> list[SourceReport]:
    """Build one shard; a source that fails is refused and the others are built."""
    path = Path(job.path)
    _check_identity(job.identity, job.profile)
    if not path.parent.is_dir():
        raise WorkerLost(f"{path.parent}: not there on {platform.node()}; all machines must share the folder")
    try:
        reports = _write_shard(job, path, note)
    except _Waits as waits:
        return _waiting(job, waits)
    for entry in job.entries:
        if entry.source.remote:
            job.downloads.drop(entry.source.path)
    return reports


def _write_shard(job: _ShardJob, path: Path, note: Note) -> list[SourceReport]:
    with ShardWriter(path, identity=identity_text(job.identity)) as writer:
        reports = [_build_source(entry, job, writer, note) for entry in job.entries]
        # Before the commit: a committed shard always has its reports. A shard of refusals has nothing to commit.
        shown = [_shown(report, entry.source) for report, entry in zip(reports, job.entries, strict=True)]
        write_atomic(_beside(path, _REPORTS_SUFFIX), msgspec.json.encode(shown) + b"\n")
        if len(writer):
            writer.commit()
    return reports


class _Waits(Exception):
    """A shard's source cannot be reached now: without it the shard would be another one for ever."""

    def __init__(self, source: SourceFile, refusal: MediaRefused) -> None:
        self.source, self.refusal = source, refusal


def _waiting(job: _ShardJob, waits: _Waits) -> list[SourceReport]:
    other = MediaRefused(_WAITING, f"its shard waits for {waits.source.name}; give the same command again")
    return [
        _missed(entry.source, waits.refusal if entry.source == waits.source else other)
        for entry in job.entries
    ]


def _build_source(entry: Entry, job: _ShardJob, writer: ShardWriter, note: Note) -> SourceReport:
    try:
        job.begin(entry.source, note)
        with build_entry(entry, job.profile, job.limits, job.downloads) as built:
            filtered = _write_kept(built, job.keep, writer)
    except MediaRefused as refusal:
        if refusal.reason == "unreachable":
            raise _Waits(entry.source, refusal) from refusal
        return _missed(entry.source, refusal)
    report = SourceReport(
        source=entry.source.path,
        status="done",
        samples=len(built) - filtered.total(),
        dropped_frames=built.dropped,
        filtered=dict(filtered),
        copied=built.copied,
    )
    return report if report.samples else _all_filtered(report)


def _write_kept(built: BuiltSource, keep: Sequence[str], writer: ShardWriter) -> Counter[str]:
    """Write the samples that keep to all rules; how many break which."""
    rules = read_rules(keep)
    filtered: Counter[str] = Counter()
    for sample in built.samples():
        broken = broken_rule(rules, sample.sidecar)
        if broken is None:
            writer.add(sample.sidecar, sample.members)
        else:
            filtered[broken] += 1
    return filtered


def _all_filtered(report: SourceReport) -> SourceReport:
    broken = ", ".join(f"{count} by {rule}" for rule, count in report.filtered.items())
    return msgspec.structs.replace(
        report, status="skipped", reason="filtered", detail=f"no clip is kept: {broken}"
    )


def _shown(report: SourceReport, source: SourceFile) -> SourceReport:
    """A report as it is written down: a URL's name is without its signature."""
    return msgspec.structs.replace(report, source=source.name) if source.remote else report


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.stem + suffix)


def _summarise(
    files: Sequence[SourceFile], reports: Mapping[str, SourceReport], **rest: tuple[str, ...]
) -> BuildSummary:
    ordered = tuple(_shown(reports[file.path], file) for file in files)
    counts = Counter(report.status for report in ordered)
    return BuildSummary(
        sources=len(files),
        done=counts["done"],
        skipped=counts["skipped"],
        refused=counts["refused"],
        samples=sum(report.samples for report in ordered),
        reports=ordered,
        filtered=all_filtered(ordered),
        copied=sum(report.copied for report in ordered),
        **rest,
    )


def all_filtered(reports: Iterable[SourceReport]) -> dict[str, int]:
    """Clips of all these sources that were not kept, by rule, the most frequent first."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.filtered)
    return dict(total.most_common())
