"""`unreel bench profiles`: what each build profile costs in bytes, in time to encode and in time to decode."""

import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.table import Table

from unreel.tools.console import Ticker, output, progress, write_result

if TYPE_CHECKING:
    from unreel.pipelines.decode import DecodeBackend
    from unreel.pipelines.plan import Plan
    from unreel.shards.making.profiles import Profile
    from unreel.shards.reader import EncodedSample

__all__ = ["ProfileCost", "profiles"]

_BASE: Final = "clips-128"
_FRAMES: Final = 16
_BATCH: Final = 8
_SEED: Final = 0


class ProfileCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one profile costs."""

    samples: int
    hours: float
    """Of stored media; of the source where pictures are taken from it."""
    picture_bytes_per_hour: float
    """Of pictures alone, without a clock: bytes of one."""
    sound_bytes_per_hour: float
    build_cpu: float
    """Seconds of processor time to build one second of it, or one picture: decode, facts and encode."""
    decode: float | None = None
    """CPU time of a 16-frame clip at random, as a multiple of `clips-128` in the same repeat; the median."""
    decode_range: tuple[float, float] | None = None


def profiles(
    media: Annotated[list[str], typer.Argument(help="Folders or files to build from.")],
    name: Annotated[
        list[str] | None, typer.Option(help="A profile or TOML file; repeatable.  [default: all]")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips that are decoded in a repeat.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats; the order of the profiles rotates.")] = 5,
    json: Annotated[str | None, typer.Option(help="Write the result to this file; - for stdout.")] = None,
) -> None:
    """Build the same media with each profile, on one core, and decode clips at random from the result.

    Example: `unreel bench profiles videos/ sounds/ pictures/ --name clips-128 --name clips-256`
    """
    from unreel.shards.making.profile_file import find_profile
    from unreel.shards.making.profiles import PROFILES

    chosen = {profile.name: profile for profile in map(find_profile, name or PROFILES)}
    with TemporaryDirectory() as folder, progress(len(chosen) + repeats, "building and decoding") as ticker:
        costs = {}
        for each, profile in chosen.items():
            costs[each] = _build(media, Path(folder, each), profile)
            ticker.advance()
        decoded = {each: Path(folder, each) for each, profile in chosen.items() if profile.videos == "clips"}
        ratios = _decode(decoded, chosen, clips, repeats, ticker) if _BASE in decoded else {}
    for each, found in ratios.items():
        spread = (min(found), max(found))
        costs[each] = msgspec.structs.replace(costs[each], decode=median(found), decode_range=spread)
    if json != "-":
        output.print(_table(costs))
    write_result(msgspec.to_builtins(costs), json)


def _build(media: Sequence[str], out: Path, profile: "Profile") -> ProfileCost:
    from unreel.shards.build import build

    before = _cpu_seconds()
    summary = build(media, out, profile=profile)
    spent = _cpu_seconds() - before
    if not summary.samples:
        raise ValueError(
            f"profile {profile.name}: takes nothing of {', '.join(media)}; add media of its kind"
        )
    return _weigh(out, spent)


def _weigh(folder: Path, spent: float) -> ProfileCost:
    samples = _read(folder)
    sidecars = [sample.sidecar for sample in samples]
    seconds = sum(sidecar.seconds for sidecar in sidecars)
    pictures = sum(
        len(sample.members[name]) for sample in samples for name in ("mp4", "jpg") if name in sample.members
    )
    sounds = sum(
        len(sample.members[name]) for sample in samples for name in ("flac", "opus") if name in sample.members
    )
    unit = seconds / 3600 if seconds else len(samples)
    return ProfileCost(
        samples=len(samples),
        hours=seconds / 3600,
        picture_bytes_per_hour=pictures / unit,
        sound_bytes_per_hour=sounds / unit,
        build_cpu=spent / (seconds or len(samples)),
    )


def _read(folder: Path) -> "list[EncodedSample]":
    from unreel.shards.catalogue import Catalogue
    from unreel.shards.reader import Reader

    catalogue = Catalogue.open(folder)
    reader = Reader(catalogue)
    return [reader.read(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]


def _decode(
    folders: Mapping[str, Path],
    profiles: "Mapping[str, Profile]",
    clips: int,
    repeats: int,
    ticker: Ticker,
) -> dict[str, list[float]]:
    """Profile → its time over that of `clips-128`, one ratio a repeat."""
    from unreel.pipelines.decode import make_backend

    work = {each: _draw(_read(folder), profiles[each], clips) for each, folder in folders.items()}
    backends = {each: make_backend("packets", threads=1) for each in work}
    order, ratios = list(work), {each: list[float]() for each in work}
    for each in order:
        _decode_all(backends[each], work[each])
    for repeat in range(repeats):
        turned = order[repeat % len(order) :] + order[: repeat % len(order)]
        spent = {each: _decode_all(backends[each], work[each]) for each in turned}
        for each in order:
            ratios[each].append(spent[each] / spent[_BASE])
        ticker.advance()
    return ratios


def _draw(
    samples: "Sequence[EncodedSample]", profile: "Profile", clips: int
) -> "list[tuple[EncodedSample, Plan]]":
    """The same moments of the same sources for each profile."""
    import numpy as np

    from unreel.pipelines.plan import Plan, Window

    rng = np.random.default_rng(_SEED)
    ordered = sorted(samples, key=lambda sample: sample.sidecar.key)
    drawn: list[tuple[EncodedSample, Plan]] = []
    while len(drawn) < clips:
        sample = ordered[int(rng.integers(len(ordered)))]
        place, video = rng.random(), sample.sidecar.video
        if video is not None and video.frames >= _FRAMES:
            start = int(place * (video.frames - _FRAMES + 1))
            frames = np.arange(start, start + _FRAMES, dtype=np.int32)
            drawn.append((sample, Plan(frames=frames, window=Window(0, 0, profile.side, profile.side))))
    return drawn


def _decode_all(backend: "DecodeBackend", work: "Sequence[tuple[EncodedSample, Plan]]") -> float:
    """Seconds of this process's CPU time."""
    start = time.process_time()
    for first in range(0, len(work), _BATCH):
        samples, plans = zip(*work[first : first + _BATCH], strict=True)
        decoded = backend.decode(list(samples), list(plans))
        if decoded.failures:
            raise ValueError(f"decoding failed: {decoded.failures[0]}")
    return time.process_time() - start


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _table(costs: Mapping[str, ProfileCost]) -> Table:
    table = Table(
        "profile", "samples", "picture MB/h", "sound MB/h", "CPU s to build 1 s", "decode, of clips-128"
    )
    for name, cost in costs.items():
        picture, sound = (value / 1e6 for value in (cost.picture_bytes_per_hour, cost.sound_bytes_per_hour))
        still = not cost.hours
        spread = "" if cost.decode_range is None else " ({:.2f} to {:.2f})".format(*cost.decode_range)
        table.add_row(
            name,
            f"{cost.samples}",
            f"{1000 * picture:.1f} KB each" if still else f"{picture:.0f}",
            f"{sound:.0f}" if sound else "",
            f"{cost.build_cpu:.4f}" + (" each" if still else ""),
            "" if cost.decode is None else f"{cost.decode:.2f}{spread}",
        )
    return table
