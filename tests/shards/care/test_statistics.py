"""Statistics of data sets: equal to what a plain count of the rows gives, exact ends, and a sample that is a sample."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.shards.build import build
from unreel.shards.care.dedup import dedup
from unreel.shards.care.statistics import gather, spread
from unreel.shards.catalogue import Catalogue
from unreel.shards.foreign.indexing import index_folder


class Counts:
    """As much of a catalogue as places need."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = np.array(counts, np.int64)

    def __len__(self) -> int:
        return int(self.counts.sum())


def test_numbers_are_those_of_the_rows(tiny_catalogue: Catalogue) -> None:
    rows = [row for _, _, row in tiny_catalogue.rows()]
    found = gather([tiny_catalogue], facts=None)
    assert (found.shards, found.samples, found.rows, found.sidecars) == (3, 36, 36, 36)
    assert found.sources == len({row.source for row in rows})
    assert found.picture_seconds == pytest.approx(
        sum(row.frames * row.rate[1] / row.rate[0] for row in rows), abs=1e-3
    )
    assert found.sound_seconds == pytest.approx(sum(row.audio_samples for row in rows) / 48_000, abs=1e-3)
    members = [member for row in rows for member in row.members]
    for name, (files, size) in found.members.items():
        assert files == sum(member.name == name for member in members)
        assert size == sum(member.size for member in members if member.name == name)
    assert found.bytes == sum(path.stat().st_size for path in Path(tiny_catalogue.folder).glob("*.tar"))
    seconds = found.distributions["seconds"]
    assert (seconds.least, seconds.most) == (min(r.seconds for r in rows), max(r.seconds for r in rows))
    assert seconds.median == pytest.approx(np.median([row.seconds for row in rows]))
    assert sum(found.sizes.values()) == sum(found.rates.values()) == sum(found.splits.values()) == 36
    assert found.built is None
    for distribution in found.distributions.values():
        assert sum(distribution.counts) == distribution.count
        assert len(distribution.edges) == len(distribution.counts) + 1


def test_what_a_sample_lacks_is_not_counted_as_zero(tiny_catalogue: Catalogue) -> None:
    found = gather([tiny_catalogue], facts=None)
    with_sound = sum(row.audio_samples > 0 for _, _, row in tiny_catalogue.rows())
    assert found.distributions["sound"].count == found.distributions["silence"].count == with_sound < 36


def test_several_folders_are_one(tiny_catalogue: Catalogue) -> None:
    one, two = gather([tiny_catalogue]), gather([tiny_catalogue, tiny_catalogue])
    assert two.samples == 72 and two.sources == one.sources and two.bytes == 2 * one.bytes


def test_a_part_opens_few_indexes_and_says_so(
    tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    read = Catalogue._index_data
    monkeypatch.setattr(
        Catalogue, "_index_data", lambda self, shard: (opened.append(shard), read(self, shard))[1]
    )
    found = gather([Catalogue.open(tiny_catalogue.folder)], sample=1)
    assert (found.samples, found.rows, found.sidecars) == (36, 1, 1)
    assert set(opened) == {1}, "one sample lies in the middle shard"


@given(
    counts=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=3),
    wanted=st.integers(1, 40),
)
def test_places_are_spread_evenly(counts: list[list[int]], wanted: int) -> None:
    sets = [Counts(some) for some in counts]
    everything = [
        (number, shard, ordinal)
        for number, some in enumerate(counts)
        for shard, count in enumerate(some)
        for ordinal in range(count)
    ]
    places = spread(sets, wanted)  # type: ignore[arg-type]
    assert len(places) == min(wanted, len(everything)) == len(set(places))
    positions = [everything.index(place) for place in places]
    gaps = np.diff([-1, *positions])
    assert positions == sorted(positions)
    assert not positions or gaps[1:].max(initial=0) - gaps[1:].min(initial=10**9) <= 1 or len(positions) < 3


@pytest.mark.parametrize("name", ["sample", "facts"])
def test_no_samples_are_refused(name: str, tiny_catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match=f"{name} 0: 1 or more"):
        gather([tiny_catalogue], **{name: 0})


def test_reports_labels_and_a_foreign_catalogue(
    tmp_path: Path, ffmpeg: Callable[..., None], clip: Path
) -> None:
    rows = "path,kind\n" + "".join(f"{name}.mp4,{name}\n" for name in ("long", "short", "copy"))
    (tmp_path / "labels.csv").write_text(rows)
    (tmp_path / "long.mp4").write_bytes(clip.read_bytes())
    ffmpeg("-i", clip, "-t", 0.4, tmp_path / "short.mp4")
    ffmpeg("-i", clip, "-vf", "scale=128:-2", tmp_path / "copy.mp4")
    shards = tmp_path / "shards"
    build([tmp_path / "labels.csv"], shards, keep=["width>=32"])
    before = gather([Catalogue.open(shards)])
    assert before.built is not None and before.built.reasons == {"skipped: too-short": 1}
    assert before.named["label kind"] == {"long": 1, "copy": 1} and before.named["codec of the source"] == {
        "h264": 2
    }
    dedup(shards)
    after = gather([Catalogue.open(shards)])
    assert after.samples == 1 and after.built is not None and after.built.near_duplicates == 1
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    [tar] = shards.glob("*.tar")
    (foreign / "x.tar").write_bytes(tar.read_bytes())
    index_folder(foreign)
    indexed = gather([Catalogue.open(foreign)])
    assert indexed.samples == 1 and indexed.built is None
    assert msgspec.json.decode(msgspec.json.encode(indexed), type=type(indexed)) == indexed
