"""Index the tars of others where they lie: our index, sidecars and `wds2idx` file beside them, and a catalogue of all.

The tars are read and never changed. Each sample gets a sidecar, measured from its own members; since it cannot stand in the tar,
all sidecars of a tar lie in `NAME.sidecars`. What is refused is refused by name, and the rest is taken.
"""

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Final

import av
import msgspec

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.sandbox import MemberRequest, describe_safely
from unreel.shards.catalogue import compile_catalogue, identity_text, read_index
from unreel.shards.commit import index_path
from unreel.shards.errors import CatalogueError, MediaRefused, ShardError
from unreel.shards.files import write_atomic
from unreel.shards.foreign.members import Described
from unreel.shards.foreign.samples import TEXTS, RawSample, group_members, mapped_key, pick, read_words
from unreel.shards.foreign.tar import ForeignTar, TarEntry, TarRefusal
from unreel.shards.index import (
    INDEX_SUFFIX,
    SIDECARS_SUFFIX,
    Member,
    SampleRow,
    ShardIndex,
    SideFile,
    row_of,
    wds_index,
    write_index,
)
from unreel.shards.lock import locked
from unreel.shards.making.measure import check_facts, measure_facts, missing_facts
from unreel.shards.pool import Pool
from unreel.shards.sample import (
    Audio,
    Facts,
    Sidecar,
    Source,
    Video,
    audio_length,
    read_sidecar,
    write_sidecar,
)

__all__ = ["Indexed", "Refused", "TarReport", "index_folder", "index_tar"]

_READ_BYTES: Final = 1 << 20
_MOST_SHOWN: Final = 1000
"""Refusals of one tar that are listed; all of them are counted."""
_PROFILE: Final = {"name": "foreign"}


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A sample or a member that was not taken."""

    name: str
    reason: str
    detail: str


class TarReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one tar."""

    tar: str
    status: str
    """`indexed`, `kept` (an earlier run has indexed the same bytes) or `refused`."""
    reason: str = ""
    detail: str = ""
    samples: int = 0
    split: int = 0
    """Samples whose members do not lie together, and were put together."""
    layouts: dict[str, int] = {}
    """Extensions of a sample → how many samples have these."""
    refused_samples: dict[str, int] = {}
    refused_members: dict[str, int] = {}
    ignored: dict[str, int] = {}
    """Extension → members that unreel has no use for."""
    notes: dict[str, int] = {}
    """What was taken with a reservation: `sound-in-container`, `sound-too-short`, `b-frames`."""
    refusals: tuple[Refused, ...] = ()


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a folder: `indexed + kept + refused == tars`."""

    tars: int
    indexed: int
    kept: int
    refused: int
    samples: int
    refused_samples: int
    reports: tuple[TarReport, ...]


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    tar: str
    out: str
    identity: str
    limits: Limits
    facts: tuple[str, ...]
    again: bool


Progress = Callable[[int, int], None]
"""Called with the tars that are done and all tars."""


def index_folder(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    facts: Collection[str] = (),
    again: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> Indexed:
    """Index every `*.tar` of `folder` and compile a catalogue of them; tars that are indexed already are kept.

    Args:
        out: where to write instead of beside the tars; it then holds links to them.
        facts: what to measure of each sample, by the names in `facts.FACTS`; its members are then decoded whole. What an
            earlier run has measured of the same bytes stays.
        again: also measure those `facts` that an earlier run has measured.
        limits: what a member may cost and claim before its sample is refused.

    Raises:
        CatalogueError: there is no tar, or `folder` was written by unreel.
        ValueError: there is no fact of a name.
    """
    folder, facts = Path(folder), check_facts(facts)
    target = folder if out is None else Path(out)
    tars = sorted(folder.glob("[!.]*.tar"))
    if not tars:
        raise CatalogueError(f"{folder}: no *.tar here")
    if (folder / "plan.json").exists():
        raise CatalogueError(f"{folder}: built by unreel; `unreel repair` compiles its catalogue again")
    identity = {"unreel": version("unreel"), "profile": "foreign", "probe": f"PyAV {av.__version__}"}
    text = identity_text(identity)
    with locked(target), Pool(workers) as pool:
        jobs = [
            _Job(tar=str(tar), out=str(target), identity=text, limits=limits, facts=facts, again=again)
            for tar in tars
        ]
        reports = []
        for report in pool.run(_run, jobs):
            reports.append(report)
            progress(len(reports), len(jobs))
        if any(report.samples for report in reports):
            compile_catalogue(target, identity=identity, profile=_PROFILE)
    return _summarise(sorted(reports, key=lambda report: report.tar))


def _run(job: _Job) -> TarReport:
    tar, out = Path(job.tar), Path(job.out)
    try:
        return index_tar(tar, out, identity=job.identity, facts=job.facts, again=job.again, limits=job.limits)
    except MediaRefused as refusal:
        # An index of an earlier run would speak of bytes that are no longer there.
        index_path(out / tar.name).unlink(missing_ok=True)
        return TarReport(tar=str(tar), status="refused", reason=refusal.reason, detail=refusal.detail)


def index_tar(
    tar: Path,
    out: Path,
    *,
    identity: str,
    facts: Collection[str] = (),
    again: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> TarReport:
    """Index one tar and measure `facts` of its samples; the index, written last, is the commit.

    Raises:
        MediaRefused: the tar cannot be trusted as a whole.
    """
    digest = _sha256(tar)
    link = _link(tar, out)
    earlier = _earlier(link, digest, identity)
    known = _sidecars(link, earlier) if earlier is not None and facts else {}
    complete = not any(missing_facts(sidecar, facts) for sidecar in known.values())
    if earlier is not None and complete and not (again and facts):
        return TarReport(tar=str(link), status="kept", samples=len(earlier.samples))
    with ForeignTar(tar) as opened:
        grouped = group_members(opened.members())
        work = _Tar(opened, limits, facts, again, {key: sidecar.facts for key, sidecar in known.items()})
        for sample in grouped.samples:
            work.take(sample)
        if work.rows:
            _commit(link, work, digest, identity)
        else:
            index_path(link).unlink(missing_ok=True)
    return work.report(grouped.refused, grouped.ignored)


class _Tar:
    """The samples of one tar, described one after the other."""

    def __init__(
        self,
        tar: ForeignTar,
        limits: Limits,
        facts: Collection[str],
        again: bool,
        known: Mapping[str, Facts],
    ) -> None:
        """`known`: what an earlier run has measured, by the sample's key."""
        self.tar, self.limits = tar, limits
        self.facts, self.again, self.known = facts, again, known
        self.rows: dict[str, SampleRow] = {}
        self.sidecars = bytearray()
        self.layouts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.refusals: list[Refused] = []
        self.split = 0

    def take(self, sample: RawSample) -> None:
        """Describe a sample; one that cannot be taken is counted and costs the others nothing."""
        self.layouts[" ".join(sorted(sample.members))] += 1
        self.split += sample.split
        try:
            self._take(sample)
        except MediaRefused as refusal:
            self.refused[refusal.reason] += 1
            self.refusals.append(Refused(name=sample.key, reason=refusal.reason, detail=refusal.detail))

    def _take(self, sample: RawSample) -> None:
        picked, key = pick(sample), mapped_key(sample.key)
        if key in self.rows:
            raise MediaRefused("duplicate-key", f"another sample is {key!r} here")
        texts = {name: self._text(entry, name) for name, entry in sample.members.items() if name in TEXTS}
        words = read_words(texts)
        parts = {kind: self._describe(sample.members[name], name) for kind, name in picked.items()}
        main = next(kind for kind in ("video", "sound", "picture") if kind in parts)
        video, audio = parts[main].video, self._sound(parts)
        names = [part.member for part in (video, audio, parts[main].image) if part is not None]
        self._note(parts[main], audio)
        extension = picked[main]
        sidecar = Sidecar(
            key=key,
            source=Source(
                id=self._source_id(words.url, sample.members[extension]),
                name=f"{sample.key}.{extension}",
                span_us=words.span_us,
                licence=words.licence,
                url=words.url,
            ),
            video=video,
            audio=audio,
            image=parts[main].image,
            facts=self.known.get(key, Facts()),
            original=parts[main].original,
            labels=words.labels,
        )
        sidecar = self._measured(sidecar, {name: sample.members[name] for name in names})
        self._add(sidecar, [*names, *(name for name in ("txt", "json") if name in texts)], sample)

    def _measured(self, sidecar: Sidecar, entries: Mapping[str, TarEntry]) -> Sidecar:
        """The sidecar with the facts that are asked for; a member that does not decode to its end is refused."""
        if not (self.facts and self.again) and not missing_facts(sidecar, self.facts):
            return sidecar
        members = {name: self.tar.read(entry.offset, entry.size) for name, entry in entries.items()}
        return measure_facts(sidecar, members, names=self.facts, again=self.again, limits=self.limits)

    def _add(self, sidecar: Sidecar, names: list[str], sample: RawSample) -> None:
        data = write_sidecar(sidecar)
        members = [Member("json", len(self.sidecars), len(data), zlib.crc32(data))]
        for name in names:
            entry = sample.members[name]
            ours = "meta" if name == "json" else name
            members.append(Member(ours, entry.offset, entry.size, self._crc32(entry), entry.header_crc32))
        self.rows[sidecar.key] = row_of(sidecar, tuple(members))
        self.sidecars += data

    def _text(self, entry: TarEntry, name: str) -> bytes:
        if entry.size > TEXTS[name]:
            raise MediaRefused("text-too-large", f"{entry.size} bytes of .{name}; {TEXTS[name]} are read")
        return self.tar.read(entry.offset, entry.size)

    def _describe(self, entry: TarEntry, name: str) -> Described:
        if not entry.size:
            raise MediaRefused("empty", f"its .{name} holds no byte")
        self.limits.check("bytes", entry.size)
        request = MemberRequest(
            path=str(self.tar.path), offset=entry.offset, size=entry.size, name=name, limits=self.limits
        )
        return describe_safely(request)

    def _sound(self, parts: Mapping[str, Described]) -> Audio | None:
        """The sound member, as long as the picture beside it lasts; too little sound is none."""
        audio = parts["sound"].audio if "sound" in parts else None
        video: Video | None = parts["video"].video if "video" in parts else None
        if audio is None or video is None:
            return audio
        expected = audio_length(video.frames, audio.rate, Fraction(*video.rate))
        if audio.samples < expected:
            self.notes["sound-too-short"] += 1
            return None
        return msgspec.structs.replace(audio, samples=expected)

    def _note(self, described: Described, audio: Audio | None) -> None:
        if described.video is not None:
            self.notes["b-frames"] += described.video.b_frames
            self.notes["sound-in-container"] += described.original.audio_codec is not None and audio is None

    def _source_id(self, url: str | None, entry: TarEntry) -> str:
        """Clips with one URL show one recording; without one, each content is its own."""
        digest = hashlib.blake2b(digest_size=8)
        for part in [url.encode()] if url is not None else self._blocks(entry):
            digest.update(part)
        return digest.hexdigest()

    def _crc32(self, entry: TarEntry) -> int:
        value = 0
        for block in self._blocks(entry):
            value = zlib.crc32(block, value)
        return value

    def _blocks(self, entry: TarEntry) -> Iterator[bytes]:
        for start in range(0, entry.size, _READ_BYTES):
            yield self.tar.read(entry.offset + start, min(_READ_BYTES, entry.size - start))

    def report(self, refused: list[TarRefusal], ignored: Mapping[str, int]) -> TarReport:
        """What became of the tar."""
        members = [Refused(name=one.name[:200], reason=one.reason, detail=one.detail) for one in refused]
        return TarReport(
            tar=str(self.tar.path),
            status="indexed" if self.rows else "refused",
            reason="" if self.rows else "no-samples",
            detail="" if self.rows else self._why_none(),
            samples=len(self.rows),
            split=self.split,
            layouts=dict(self.layouts.most_common()),
            refused_samples=dict(self.refused),
            refused_members=dict(Counter(one.reason for one in refused)),
            ignored=dict(ignored),
            notes={name: count for name, count in self.notes.items() if count},
            refusals=tuple([*self.refusals, *members][:_MOST_SHOWN]),
        )

    def _why_none(self) -> str:
        why = ", ".join(f"{count} {reason}" for reason, count in self.refused.items()) or "no member is media"
        return f"none of {sum(self.layouts.values())} samples can be taken: {why}"


def _link(tar: Path, out: Path) -> Path:
    """The tar's name in `out`; a link where that is another folder."""
    link = out / tar.name
    if link.resolve() != tar.resolve():
        if link.exists() or link.is_symlink():
            raise CatalogueError(f"{link}: expected a link to {tar}, found another file; use an empty folder")
        link.symlink_to(os.path.relpath(tar.resolve(), out.resolve()))
    return link


def _earlier(link: Path, digest: str, identity: str) -> ShardIndex | None:
    """What an earlier run has written of the same bytes."""
    try:
        index = read_index(link)
    except ShardError:
        return None
    if index.sidecars is None:
        raise CatalogueError(f"{link}: written by unreel; its samples need no other index")
    side = link.with_suffix(SIDECARS_SUFFIX)
    if (index.sha256, index.identity) != (digest, identity) or not side.exists():
        return None
    if _sha256(side) != index.sidecars.sha256:
        return None
    return index


def _sidecars(link: Path, index: ShardIndex) -> dict[str, Sidecar]:
    """Key → sidecar, as an earlier run has written them."""
    data = link.with_suffix(SIDECARS_SUFFIX).read_bytes()
    places = {
        row.key: next(member for member in row.members if member.name == "json") for row in index.samples
    }
    return {
        key: read_sidecar(data[place.offset : place.offset + place.size]) for key, place in places.items()
    }


def _commit(link: Path, work: _Tar, digest: str, identity: str) -> None:
    sidecars = bytes(work.sidecars)
    index = ShardIndex(
        shard=link.name.removesuffix(".tar"),
        bytes=work.tar.bytes,
        sha256=digest,
        identity=identity,
        sidecars=SideFile(bytes=len(sidecars), sha256=hashlib.sha256(sidecars).hexdigest()),
        samples=tuple(work.rows.values()),
    )
    index_path(link).unlink(missing_ok=True)
    write_atomic(link.with_suffix(SIDECARS_SUFFIX), sidecars)
    write_atomic(link.with_suffix(".idx"), wds_index(index))
    write_atomic(link.with_name(index.shard + INDEX_SUFFIX), write_index(index))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _summarise(reports: list[TarReport]) -> Indexed:
    counts = Counter(report.status for report in reports)
    return Indexed(
        tars=len(reports),
        indexed=counts["indexed"],
        kept=counts["kept"],
        refused=counts["refused"],
        samples=sum(report.samples for report in reports),
        refused_samples=sum(sum(report.refused_samples.values()) for report in reports),
        reports=tuple(reports),
    )
