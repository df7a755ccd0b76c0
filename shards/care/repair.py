"""Put right what `verify` condemns, and nothing else: from the tars where they hold it, from the sources where they do not.

With the sources and the same builder a shard comes back byte for byte. What stood there before is kept until the new is whole.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from unreel.shards.build import Progress as BuildProgress
from unreel.shards.build import build
from unreel.shards.care.contract import contract_breaches
from unreel.shards.care.dedup import drop_again
from unreel.shards.care.removal import Wanted, read_log, remove
from unreel.shards.care.verify import Damage, Mode, Verification, verify
from unreel.shards.catalogue import compile_catalogue, identity_text, open_tables, read_index, read_summary
from unreel.shards.commit import index_path, settle_folder
from unreel.shards.errors import CatalogueError, MediaRefused, ShardError
from unreel.shards.files import write_atomic
from unreel.shards.folder import Plan
from unreel.shards.foreign.tar import ForeignTar, TarEntry
from unreel.shards.index import Member, SampleRow, ShardIndex, row_of, wds_index, write_index
from unreel.shards.lock import locked
from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import DEFAULT_PROFILE, Profile
from unreel.shards.sample import read_sidecar

__all__ = ["Repair", "Step", "index_of_tar", "plan_repair", "repair"]

Action = Literal["settle", "wds-index", "index", "catalogue", "rebuild", "index-again"]

_LIGHT: Final[dict[str, Action]] = {
    "leftover": "settle",
    "unsettled": "settle",
    "wds-index": "wds-index",
    "catalogue": "catalogue",
}
_REPORTS_SUFFIX: Final = ".reports.json"
_ASIDE_SUFFIX: Final = ".condemned"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do."""

    action: Action
    """`settle`: end or take back what a killed program began. `wds-index`, `index`, `catalogue`: write that file anew from
    what holds. `rebuild`: build the shard from its sources. `index-again`: give `unreel index`, the tar belongs to others."""
    shard: str = ""
    why: tuple[str, ...] = ()
    """The checks that condemned it."""


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    done: bool
    """False for a plan."""
    steps: tuple[Step, ...]
    identical: tuple[str, ...] = ()
    """Rebuilt shards with the SHA-256 that the catalogue had."""
    different: tuple[str, ...] = ()
    """Rebuilt shards with another one: their sidecars were changed since the build."""
    clean: bool
    """Whether nothing is condemned any more, or before a plan."""
    left: tuple[Damage, ...] = ()


def plan_repair(folder: Path | str, *, mode: Mode = "full", workers: int = 1) -> Repair:
    """What `repair` would do; nothing is changed."""
    found = verify(folder, mode=mode, workers=workers)
    return Repair(done=False, steps=tuple(_steps(Path(folder), found)), clean=found.clean, left=found.damage)


def repair(
    folder: Path | str,
    sources: Iterable[str | Path] = (),
    *,
    mode: Mode = "full",
    profile: str | Profile | None = None,
    clip_seconds: float | None = None,
    shard_bytes: int | None = None,
    workers: int = 1,
    progress: BuildProgress = lambda stage, done, total: None,
) -> Repair:
    """Verify, put right, verify again.

    Args:
        sources: what the folder was built from; needed for shards whose tar is damaged.
        mode: of the verification; `quick` does not see bits that changed in payloads.
        profile, clip_seconds, shard_bytes: as the folder was built; None takes the profile of the catalogue.

    Raises:
        CatalogueError, IdentityMismatch: the sources, the settings or the builder are not those of the folder. Nothing is
            changed then.
    """
    folder, sources = Path(folder), list(sources)
    listed = _listed(folder)
    steps = plan_repair(folder, mode=mode, workers=workers).steps
    with locked(folder):
        settle_folder(folder)
        for step in steps:
            _from_what_holds(folder / f"{step.shard}.tar", step.action)
    broken = [step.shard for step in steps if step.action == "rebuild"]
    if broken and sources:
        with _aside(folder, broken):
            build(
                sources,
                folder,
                profile=_profile(folder, profile),
                clip_seconds=clip_seconds,
                shard_bytes=shard_bytes,
                keep=_rules(folder),
                workers=workers,
                progress=progress,
            )
        _keep_removed(folder)
        drop_again(folder)
    elif not broken and steps:
        _recompile(folder, profile)
    found = verify(folder, mode=mode, workers=workers)
    rebuilt = [name for name in broken if sources and name not in found.condemned and name in listed]
    same = {name for name in rebuilt if read_index(folder / f"{name}.tar").sha256 == listed[name]}
    return Repair(
        done=True,
        steps=steps,
        identical=tuple(name for name in rebuilt if name in same),
        different=tuple(name for name in rebuilt if name not in same),
        clean=found.clean,
        left=found.damage,
    )


def index_of_tar(path: Path, identity: str) -> ShardIndex:
    """The index of a tar of ours, made from the tar alone: it holds all that the index says.

    Raises:
        ShardError: the tar is damaged, or no shard of ours.
    """
    digest = hashlib.sha256()
    with ForeignTar(path) as tar:
        for start in range(0, tar.bytes, 1 << 20):
            digest.update(tar.read(start, 1 << 20))
        try:
            rows = tuple(_row(tar, members) for members in _samples(tar))
        except MediaRefused as refusal:
            raise ShardError(f"{path}: {refusal}") from refusal
        return ShardIndex(
            shard=path.name.removesuffix(".tar"),
            bytes=tar.bytes,
            sha256=digest.hexdigest(),
            identity=identity,
            samples=rows,
        )


def _samples(tar: ForeignTar) -> Iterator[list[TarEntry]]:
    """The members of each sample, `json` first."""
    sample: list[TarEntry] = []
    for entry in tar.members():
        if not isinstance(entry, TarEntry):
            raise MediaRefused(entry.reason, f"{entry.name[:80]!r}: {entry.detail}")
        if entry.name.endswith(".json") and sample:
            yield sample
            sample = []
        sample.append(entry)
    if sample:
        yield sample


def _row(tar: ForeignTar, entries: Sequence[TarEntry]) -> SampleRow:
    payloads = [tar.read(entry.offset, entry.size) for entry in entries]
    sidecar = read_sidecar(payloads[0])
    names = [entry.name.removeprefix(f"{sidecar.key}.") for entry in entries]
    sizes = {name: entry.size for name, entry in zip(names[1:], entries[1:], strict=True)}
    breach = next(contract_breaches(sidecar, sizes), None)
    if names[0] != "json" or breach is not None:
        raise ShardError(
            f"{tar.path}, sample {sidecar.key}: {breach or f'expected json first, found {names}'}"
        )
    members = (
        Member(name, entry.offset, entry.size, zlib.crc32(payload))
        for name, entry, payload in zip(names, entries, payloads, strict=True)
    )
    return row_of(sidecar, tuple(members))


def _steps(folder: Path, found: Verification) -> Iterator[Step]:
    checks: dict[str, list[str]] = {}
    for damage in found.damage:
        names = checks.setdefault(damage.shard, [])
        names += [damage.check] if damage.check not in names else []
    listed = _listed(folder)
    for shard, why in sorted(checks.items()):
        light = [_LIGHT.get(check) for check in why]
        if all(action is not None for action in light):
            yield from (
                Step(action=action, shard=shard, why=tuple(why)) for action in dict.fromkeys(light) if action
            )
        else:
            yield Step(action=_heavy(folder, shard, listed), shard=shard, why=tuple(why))


def _heavy(folder: Path, shard: str, listed: dict[str, str]) -> Action:
    path = folder / f"{shard}.tar"
    try:
        if read_index(path).sidecars is not None or path.is_symlink():
            return "index-again"
    except ShardError:
        pass
    try:
        # Only the bytes that the catalogue speaks of are worth an index.
        holds = shard in listed and index_of_tar(path, "").sha256 == listed[shard]
    except (ShardError, OSError):
        holds = False
    return "index" if holds else "rebuild"


def _listed(folder: Path) -> dict[str, str]:
    """Shard → SHA-256 of its tar in the catalogue; empty where that cannot be read."""
    try:
        _, table = open_tables(folder)
    except CatalogueError:
        return {}
    return {row["name"]: row["sha256"].hex() for row in table.to_pylist()}


def _from_what_holds(path: Path, action: Action) -> None:
    if action == "index":
        index = index_of_tar(path, identity_text(_identity(path.parent)))
        write_atomic(path.with_suffix(".idx"), wds_index(index))
        write_atomic(index_path(path), write_index(index))
    elif action == "wds-index":
        write_atomic(path.with_suffix(".idx"), wds_index(read_index(path)))


def _identity(folder: Path) -> dict[str, Any]:
    plan = folder / "plan.json"
    if plan.exists():
        return dict(msgspec.json.decode(plan.read_bytes(), type=Plan).identity)
    return read_summary(folder).identity


def _rules(folder: Path) -> tuple[str, ...]:
    plan = folder / "plan.json"
    return msgspec.json.decode(plan.read_bytes(), type=Plan).keep if plan.exists() else ()


def _profile(folder: Path, given: str | Profile | None) -> str | Profile:
    """The profile of the folder; what is given must be it, which `build` checks by the identity."""
    if given is not None:
        return given
    try:
        return msgspec.convert(read_summary(folder).profile, Profile)
    except (CatalogueError, msgspec.ValidationError):
        return DEFAULT_PROFILE


def _recompile(folder: Path, given: str | Profile | None) -> None:
    try:
        profile = read_summary(folder).profile
    except CatalogueError:
        found = find_profile(_profile(folder, given))
        if _identity(folder).get("profile") != f"{found.name} {found.digest}":
            raise CatalogueError(
                f"{folder}: catalogue.json is lost and with it the profile; it was "
                f"{_identity(folder).get('profile')!r}, name it with --profile"
            ) from None
        profile = msgspec.to_builtins(found)
    compile_catalogue(folder, identity=_identity(folder), profile=profile)


@contextmanager
def _aside(folder: Path, shards: Sequence[str]) -> Iterator[None]:
    """Without its index and reports a shard is not built yet. Both come back where the build refuses to begin."""
    moved = [
        path
        for shard in shards
        for path in (index_path(folder / f"{shard}.tar"), folder / f"{shard}{_REPORTS_SUFFIX}")
        if path.exists()
    ]
    for path in moved:
        path.rename(_beside(path))
    try:
        yield
    finally:
        for path in moved:
            if path.exists():
                _beside(path).unlink()
            else:
                _beside(path).rename(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_ASIDE_SUFFIX}")


def _keep_removed(folder: Path) -> None:
    """What was taken out of the data set stays out."""
    log = read_log(folder)
    if log.sources:
        remove(folder, Wanted(sources=log.sources))
