"""Selections: by need, by source, and with the reasons when nothing is left."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import Selection, is_held_out, select
from unreel.shards.catalogue import Catalogue, SampleRow, compile_catalogue, identity_text
from unreel.shards.sample import Audio, Sidecar, Source
from unreel.shards.writer import ShardWriter


def chosen(catalogue: Catalogue, selection: Selection) -> dict[str, SampleRow]:
    accepted = {
        (shard, selection.ordinal(shard, rank))
        for shard, count in enumerate(selection.counts.tolist())
        for rank in range(count)
    }
    return {row.key: row for shard, ordinal, row in catalogue.rows() if (shard, ordinal) in accepted}


def test_without_needs_and_split_no_index_is_opened(
    tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalogue, "index", None)
    selection = select(tiny_catalogue, Needs(group=16), split=None, holdout=0.0)
    assert len(selection) == 36 and selection.accepted is None


@pytest.mark.parametrize(
    ("needs", "meets"),
    [
        (Needs(video=True), lambda row: row.frames > 0),
        (Needs(audio=True), lambda row: row.audio_samples > 0),
        (Needs(min_seconds=2.5), lambda row: row.seconds >= 2.49),
        (Needs(min_size=(128, 160)), lambda row: row.height >= 128 and row.width >= 160),
        (Needs(min_size=(129, 100)), lambda row: row.height >= 129 and row.width >= 100),
        (Needs(min_motion=3.0), lambda row: row.motion >= 3.0),
        (Needs(min_sound=0.5), lambda row: row.sound >= 0.5),
        (Needs(audio=True, min_size=(176, 128)), lambda row: row.audio_samples > 0 and row.height == 176),
    ],
)
def test_exactly_those_are_taken_that_meet_the_needs(
    tiny_catalogue: Catalogue, needs: Needs, meets: object
) -> None:
    assert callable(meets)
    selection = select(tiny_catalogue, needs, split=None, holdout=0.0)
    expected = {row.key for _, _, row in tiny_catalogue.rows() if meets(row)}
    assert set(chosen(tiny_catalogue, selection)) == expected
    assert len(selection) == len(expected) > 0


def test_sources_are_held_out_and_never_clips(tiny_catalogue: Catalogue) -> None:
    parts = {
        split: chosen(tiny_catalogue, select(tiny_catalogue, Needs(), split=split, holdout=0.3))
        for split in ("train", "val")
    }
    sources = {split: {row.source for row in rows.values()} for split, rows in parts.items()}
    assert len(parts["train"]) + len(parts["val"]) == 36 and parts["val"]
    assert not sources["train"] & sources["val"]
    assert all(is_held_out(source, 0.3) for source in sources["val"])


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_holdout_only_adds_sources(source: str, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert is_held_out(source, high) or not is_held_out(source, low)
    assert not is_held_out(source, 0.0) and is_held_out(source, 1.0)


def test_the_share_of_sources_is_the_one_asked_for() -> None:
    held = sum(is_held_out(f"{number:016x}", 0.2) for number in range(20_000))
    # Four standard errors of a binomial.
    assert abs(held - 4000) < 4 * (20_000 * 0.2 * 0.8) ** 0.5


def test_the_split_of_the_manifest_goes_before_the_hash(tmp_path: Path) -> None:
    splits = ["train", "val", "test", None]
    audio = Audio(codec="flac", rate=10, channels=1, samples=10)
    with ShardWriter(tmp_path / "s.tar", identity=identity_text({})) as writer:
        for number, split in enumerate(splits):
            source = Source(id=str(number), name="s", split=split)
            writer.add(Sidecar(key=f"k{number}", source=source, audio=audio), {"flac": b""})
        writer.commit()
    catalogue = compile_catalogue(tmp_path, identity={}, profile={})
    for holdout, train, val in [(0.0, {"k0", "k3"}, {"k1"}), (1.0, {"k0"}, {"k1", "k3"})]:
        assert set(chosen(catalogue, select(catalogue, Needs(), split="train", holdout=holdout))) == train
        assert set(chosen(catalogue, select(catalogue, Needs(), split="val", holdout=holdout))) == val
    assert len(select(catalogue, Needs(), split=None, holdout=0.5)) == 4


def test_an_empty_selection_says_how_many_failed_which_need(tiny_catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match=r"no sample of 36 .*: 36 failed min_seconds 60") as caught:
        select(tiny_catalogue, Needs(audio=True, min_seconds=60), split="val", holdout=0.0)
    assert "9 failed audio True" in str(caught.value)
    assert "36 failed split 'val' with holdout 0.0" in str(caught.value)


def test_rejected_samples_are_counted(tiny_catalogue: Catalogue) -> None:
    selection = select(tiny_catalogue, Needs(audio=True), split="train", holdout=0.0)
    assert selection.rejected == {"audio True": 9} and np.sum(selection.counts) == 27


@pytest.mark.parametrize(
    ("split", "holdout", "message"),
    [
        ("test", 0.2, "choose one of train, val"),
        ("train", 1.5, r"in \[0, 1\]"),
        ("train", -0.1, r"in \[0, 1\]"),
    ],
)
def test_wrong_arguments_are_refused(
    tiny_catalogue: Catalogue, split: str, holdout: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        select(tiny_catalogue, Needs(), split=split, holdout=holdout)
