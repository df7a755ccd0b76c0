"""What is in a data set: counts, hours, bytes and distributions, from its indexes and from some or all of its sidecars."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from unreel.shards.build import BuildSummary
from unreel.shards.care.dedup import read_duplicates
from unreel.shards.catalogue import Catalogue, SampleRow
from unreel.shards.making.measures import MEASURES
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

__all__ = ["Built", "Distribution", "Place", "Statistics", "gather", "spread"]

_BINS: Final = 24
_SKEWED: Final = 30.0
"""Where the largest value is so many times the median, bins grow with the value."""
_MOST_VALUES: Final = 1000
"""Values of one name that are counted each; a label with more is a number or a name."""

Place = tuple[int, int, int]
"""(data set, shard, ordinal) of a sample."""

Progress = Callable[[str, int, int], None]
"""Called with a stage (`indexes`, `sidecars`), what is through it, and all."""

_FROM_SIDECARS: Final[Mapping[str, tuple[str, str, Callable[[Sidecar], float | None]]]] = {
    "loudness": ("dBFS", "mean level of the sound", lambda s: _mean(s.facts.loudness_curve)),
    "silence": ("share", "of the sound that is silent", lambda s: _silence(s)),
    "mean_motion": ("levels", "change from frame to frame, mean", lambda s: _mean(s.facts.motion_curve)),
    "cuts": ("cuts", "in a sample with a moving picture", lambda s: len(s.facts.cuts) if s.video else None),
    "words": ("words", "of the transcript", lambda s: _words(s)),
    "original_height": ("px", "of the source's picture", lambda s: s.original.height or None if s.original else None),
    "original_gop": ("frames", "from key frame to key frame in the source", lambda s: s.original.gop or None if s.original else None),
}  # fmt: skip
"""Name → unit, meaning, and how it is taken of a sidecar; None where a sample has none of it."""

_NAMED: Final[Mapping[str, Callable[[Sidecar], object]]] = {
    "language": lambda s: s.language,
    "licence": lambda s: s.source.licence,
    "stored as": lambda s: " + ".join(part.codec for part in (s.video, s.image, s.audio) if part),
    "container of the source": lambda s: s.original.container if s.original else None,
    "codec of the source": lambda s: s.original.video_codec if s.original else None,
    "sound codec of the source": lambda s: s.original.audio_codec if s.original else None,
}
"""What is counted by its value; None is not counted."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """How one quantity is spread over the samples that have it."""

    unit: str
    meaning: str
    count: int
    least: float
    low: float
    """5 % of the samples lie below."""
    median: float
    high: float
    """5 % of the samples lie above."""
    most: float
    mean: float
    edges: tuple[float, ...]
    """Of the bins, ascending, one more than bins."""
    counts: tuple[int, ...]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What the builder's reports say, summed over the data sets that have them."""

    sources: int = 0
    done: int = 0
    skipped: int = 0
    refused: int = 0
    reasons: dict[str, int] = {}
    """Sources by `status: reason`."""
    filtered: dict[str, int] = {}
    """Clips that were not kept, by rule."""
    near_duplicates: int = 0
    """Samples that `unreel dedup` dropped."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What is in one or several data sets."""

    folders: tuple[str, ...]
    shards: int
    samples: int
    bytes: int
    """Of all tars."""
    rows: int
    """Samples whose index rows were looked at: all of them, unless a part was asked for."""
    sidecars: int
    """Samples whose sidecars were looked at, spread evenly over all."""
    sources: int
    """Recordings among `rows`."""
    picture_seconds: float
    """Of moving pictures among `rows`."""
    sound_seconds: float
    stills: int
    splits: dict[str, int]
    """Samples among `rows` by the manifest's split; `` are those without one."""
    members: dict[str, tuple[int, int]]
    """Member → files and bytes among `rows`."""
    sizes: dict[str, int]
    """Width x height → samples among `rows`."""
    rates: dict[str, int]
    """Frames a second → samples among `rows`."""
    distributions: dict[str, Distribution]
    named: dict[str, dict[str, int]]
    """Name → value → samples among `sidecars`; labels have the name `label NAME`."""
    built: Built | None
    """None where no folder has a builder's reports."""


def gather(
    catalogues: Sequence[Catalogue],
    *,
    sample: int | None = None,
    facts: int | None = 1000,
    progress: Progress = lambda stage, done, total: None,
) -> Statistics:
    """Look at data sets as one.

    Args:
        sample: index rows and sidecars of so many samples, spread evenly; None reads all indexes.
        facts: sidecars of so many samples, spread evenly; None reads all. Where `sample` is smaller, that many.

    Raises:
        ValueError: `sample` or `facts` is less than 1.
        ShardError: an index or a sidecar is damaged or out of reach.
    """
    for name, value in (("sample", sample), ("facts", facts)):
        if value is not None and value < 1:
            raise ValueError(f"{name} {value}: 1 or more samples are needed")
    rows, looked = _Rows(), _Sidecars()
    total = sum(len(catalogue) for catalogue in catalogues)
    places = None if sample is None or sample >= total else spread(catalogues, sample)
    for done, row in enumerate(_rows(catalogues, places)):
        rows.add(row)
        progress("indexes", done + 1, total if places is None else len(places))
    wanted = spread(catalogues, min(facts or total, sample or total, total))
    readers = [Reader(catalogue) for catalogue in catalogues]
    for done, (number, shard, ordinal) in enumerate(wanted):
        looked.add(readers[number].read(shard, ordinal, members=()).sidecar)
        progress("sidecars", done + 1, len(wanted))
    return Statistics(
        folders=tuple(str(catalogue.folder) for catalogue in catalogues),
        shards=sum(len(catalogue.counts) for catalogue in catalogues),
        samples=total,
        bytes=sum(catalogue.total_bytes for catalogue in catalogues),
        sidecars=len(wanted),
        built=_built([Path(catalogue.folder) for catalogue in catalogues if not catalogue.remote]),
        **rows.summary(),
        distributions={**rows.distributions(), **looked.distributions()},
        named=looked.named(),
    )


def spread(catalogues: Sequence[Catalogue], count: int) -> list[Place]:
    """Places of `count` samples at equal distances over all samples, at most all; it reads no index."""
    totals = np.cumsum([0, *(len(catalogue) for catalogue in catalogues)])
    count = min(count, int(totals[-1]))
    starts = [np.cumsum(catalogue.counts) - catalogue.counts for catalogue in catalogues]
    places = []
    for step in range(count):
        position = (2 * step + 1) * int(totals[-1]) // (2 * count)
        number = int(np.searchsorted(totals, position, side="right")) - 1
        inside = position - int(totals[number])
        shard = int(np.searchsorted(starts[number], inside, side="right")) - 1
        places.append((number, shard, inside - int(starts[number][shard])))
    return places


def _rows(catalogues: Sequence[Catalogue], places: Sequence[Place] | None) -> Iterator[SampleRow]:
    if places is None:
        for catalogue in catalogues:
            for _, _, row in catalogue.rows():
                yield row
        return
    for number, shard, ordinal in places:
        yield catalogues[number].index(shard).samples[ordinal]


class _Rows:
    """What index rows add up to."""

    def __init__(self) -> None:
        self._values = {name: array("d") for name in (*MEASURES, "kilobytes")}
        self._sources: set[str] = set()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in ("splits", "sizes", "rates")}
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._picture = self._sound = 0.0
        self._stills = 0

    def add(self, row: SampleRow) -> None:
        for name, measure in MEASURES.items():
            if _has(row, name):
                self._values[name].append(measure(row))
        self._values["kilobytes"].append(sum(member.size for member in row.members) / 1000)
        self._sources.add(row.source)
        self._counts["splits"][row.split or ""] += 1
        if row.width:
            self._counts["sizes"][f"{row.width}x{row.height}"] += 1
        if row.frames:
            self._counts["rates"][f"{row.rate[0] / row.rate[1]:.5g}"] += 1
            self._picture += row.seconds
        self._stills += row.width > 0 and not row.frames
        self._sound += row.audio_samples / row.audio_rate if row.audio_rate else 0.0
        for member in row.members:
            self._files[member.name] += 1
            self._bytes[member.name] += member.size

    def summary(self) -> dict[str, Any]:
        return {
            "rows": sum(self._counts["splits"].values()),
            "sources": len(self._sources),
            "picture_seconds": round(self._picture, 3),
            "sound_seconds": round(self._sound, 3),
            "stills": self._stills,
            "members": {name: (count, self._bytes[name]) for name, count in self._files.most_common()},
            **{name: dict(counter.most_common(_MOST_VALUES)) for name, counter in self._counts.items()},
        }

    def distributions(self) -> dict[str, Distribution]:
        known = {name: (measure.unit, measure.meaning) for name, measure in MEASURES.items()}
        known["kilobytes"] = ("kB", "of all members of a sample")
        return {name: _distribution(values, *known[name]) for name, values in self._values.items() if values}


def _has(row: SampleRow, name: str) -> bool:
    """Whether a measure says something of a sample, and not only that it lacks what is measured."""
    if name in ("motion", "frame_rate", "scene_seconds"):
        return row.frames > 0
    if name in ("width", "height", "luma"):
        return row.width > 0
    if name == "seconds":
        return row.seconds > 0
    return row.audio_samples > 0


class _Sidecars:
    """What sidecars add up to."""

    def __init__(self) -> None:
        self._values = {name: array("d") for name in _FROM_SIDECARS}
        self._named: dict[str, Counter[str]] = {}

    def add(self, sidecar: Sidecar) -> None:
        for name, (_, _, take) in _FROM_SIDECARS.items():
            number = take(sidecar)
            if number is not None and np.isfinite(number):
                self._values[name].append(number)
        named = {name: take(sidecar) for name, take in _NAMED.items()}
        named |= {f"label {name}": label for name, label in sidecar.labels.items()}
        for name, value in named.items():
            if value is not None and value != "":
                self._named.setdefault(name, Counter())[str(value)] += 1

    def distributions(self) -> dict[str, Distribution]:
        return {
            name: _distribution(values, *_FROM_SIDECARS[name][:2])
            for name, values in self._values.items()
            if values
        }

    def named(self) -> dict[str, dict[str, int]]:
        return {name: dict(counter.most_common(_MOST_VALUES)) for name, counter in self._named.items()}


def _distribution(values: array, unit: str, meaning: str) -> Distribution:
    numbers = np.array(values)
    low, median, high = np.quantile(numbers, [0.05, 0.5, 0.95]).tolist()
    edges = _edges(numbers, median)
    counts, _ = np.histogram(numbers, edges)
    return Distribution(
        unit=unit,
        meaning=meaning,
        count=len(numbers),
        least=float(numbers.min()),
        low=low,
        median=median,
        high=high,
        most=float(numbers.max()),
        mean=float(numbers.mean()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def _edges(numbers: np.ndarray, median: float) -> np.ndarray:
    least, most = float(numbers.min()), float(numbers.max())
    if least == most:
        return np.array([least - 0.5, least + 0.5])
    if least > 0 and most > _SKEWED * median:
        edges = np.geomspace(least, most, _BINS + 1)
    else:
        edges = np.linspace(least, most, _BINS + 1)
    # Exact ends: a rounding must not leave out the smallest or the largest.
    edges[0], edges[-1] = least, most
    return edges


def _built(folders: Sequence[Path]) -> Built | None:
    found = Built()
    known = False
    for folder in folders:
        dropped = len(read_duplicates(folder))
        found = msgspec.structs.replace(found, near_duplicates=found.near_duplicates + dropped)
        path = folder / "build.json"
        if path.exists():
            found = _added(found, msgspec.json.decode(path.read_bytes(), type=BuildSummary))
        known |= path.exists() or dropped > 0
    return found if known else None


def _added(found: Built, summary: BuildSummary) -> Built:
    return msgspec.structs.replace(
        found,
        **{name: getattr(found, name) + getattr(summary, name) for name in ("sources", "done", "skipped", "refused")},
        reasons=dict((Counter(found.reasons) + Counter(summary.reasons)).most_common()),
        filtered=dict((Counter(found.filtered) + Counter(summary.filtered)).most_common()),
    )  # fmt: skip


def _mean(curve: np.ndarray) -> float | None:
    return float(curve.mean()) if len(curve) else None


def _silence(sidecar: Sidecar) -> float | None:
    if sidecar.audio is None or not sidecar.audio.samples:
        return None
    return sum(stop - start for start, stop in sidecar.facts.silence) / sidecar.audio.samples


def _words(sidecar: Sidecar) -> float | None:
    return sum(len(segment.text.split()) for segment in sidecar.transcript) or None
