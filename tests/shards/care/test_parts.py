"""Merged and split data sets read like any other, and no medium is copied for them."""

from pathlib import Path

import pytest

from tests.conftest import tiny_sample
from unreel.shards.care.parts import merge, split
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text
from unreel.shards.errors import CatalogueError
from unreel.shards.reader import Reader
from unreel.shards.writer import ShardWriter


def data_set(folder: Path, numbers: range, builder: str) -> Path:
    folder.mkdir()
    with ShardWriter(folder / "s-0.tar", identity=identity_text({"builder": builder})) as writer:
        for number in numbers:
            writer.add(*tiny_sample(number))
        writer.commit()
    compile_catalogue(folder, identity={"builder": builder}, profile={"name": builder})
    return folder


def keys(folder: Path) -> list[str]:
    catalogue = Catalogue.open(folder)
    reader = Reader(catalogue)
    return [reader.read(shard, ordinal).row.key for shard, ordinal, _ in catalogue.rows()]


@pytest.fixture
def both(tmp_path: Path) -> list[Path]:
    """Source 1 (clips 2 and 3) is in both."""
    return [data_set(tmp_path / "a", range(3), "one"), data_set(tmp_path / "b", range(3, 6), "two")]


@pytest.mark.parametrize("copy", [False, True])
def test_merged_data_sets_are_one(both: list[Path], tmp_path: Path, copy: bool) -> None:
    out = tmp_path / "all"
    done = merge(out, both, copy=copy)
    assert (done.shards, done.samples, done.identities, done.shared_sources) == (2, 6, 2, 1)
    assert keys(out) == [f"tiny-{number:03}" for number in range(6)]
    assert Catalogue.open(out).identity == {"parts": [{"builder": "one"}, {"builder": "two"}]}
    assert all(path.is_symlink() != copy for path in out.glob("*.tar"))
    assert verify(out, mode="full").clean
    again = merge(tmp_path / "more", [out, both[0]])
    assert (again.samples, again.identities) == (9, 2)


def test_parts_by_source_are_disjoint_whole_and_stable(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    shares = {"train": 0.7, "val": 0.3}
    done = split(tiny_catalogue.folder, tmp_path / "x", shares=shares)
    names = {name: keys(tmp_path / "x" / name) for name in shares}
    assert sorted(names["train"] + names["val"]) == [f"tiny-{number:03}" for number in range(36)]
    assert done.samples == {name: len(found) for name, found in names.items()}
    assert done.shared_sources == 0 and sum(done.sources.values()) == 18
    assert 0.4 < len(names["train"]) / 36 < 0.95
    again = split(tiny_catalogue.folder, tmp_path / "y", shares=shares)
    assert again.samples == done.samples and keys(tmp_path / "y" / "val") == names["val"]
    assert (
        split(tiny_catalogue.folder, tmp_path / "z", shares=shares, seed=1)
        and keys(tmp_path / "z" / "val") != names["val"]
    )
    for name in shares:
        assert verify(tmp_path / "x" / name, mode="full", share=0.2).clean
    digests = {Catalogue.open(tmp_path / "x" / name).digest for name in shares}
    assert len({*digests, tiny_catalogue.digest}) == 3


def test_parts_of_equal_counts_are_still_different_data_sets(both: list[Path], tmp_path: Path) -> None:
    """The digest of a state must not fit another split."""
    split(both[0], tmp_path / "x", by="label:number")
    digests = {Catalogue.open(path).digest for path in (tmp_path / "x").iterdir()}
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["0", "1", "2"] and len(digests) == 3


def test_parts_by_label_and_manifest_say_when_recordings_are_shared(both: list[Path], tmp_path: Path) -> None:
    assert split(both[0], tmp_path / "x", by="label:number").shared_sources == 1
    assert split(both[0], tmp_path / "y", by="manifest").samples == {"none": 3}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shares": {"a": 1.0}}, "two or more"),
        ({"shares": {"a": 0.5, "b": 0.6}}, "add up to 1"),
        ({"by": "colour"}, "allowed are source, manifest and label:NAME"),
        ({"by": "manifest", "shares": {"a": 1.0}}, "shares are for --by source"),
    ],
)
def test_what_cannot_be_understood_is_named(
    both: list[Path], tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        split(both[0], tmp_path / "x", **arguments)  # type: ignore[arg-type]


def test_only_empty_folders_are_written(both: list[Path]) -> None:
    for call in (lambda: merge(both[0], both), lambda: split(both[0], both[1], by="manifest")):
        with pytest.raises(CatalogueError, match="expected an empty folder"):
            call()
