"""Reading is exact, lazy and verified: every damage is found at first touch and named."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from unreel.shards import reader as reader_module
from unreel.shards.catalogue import Catalogue, SampleRow, compile_catalogue
from unreel.shards.errors import ShardError
from unreel.shards.reader import Reader

Sample = tuple[msgspec.Struct, dict[str, bytes]]


def read_all(catalogue: Catalogue) -> dict[str, str]:
    """Key → why it could not be read, of every sample of a fresh reader."""
    reader, errors = Reader(catalogue), {}
    for shard, ordinal, row in catalogue.rows():
        try:
            reader.read(shard, ordinal)
        except ShardError as error:
            errors[row.key] = str(error)
    return errors


def rows_of(catalogue: Catalogue, shard: int) -> tuple[SampleRow, ...]:
    return catalogue.index(shard).samples


def flip(path: Path, offset: int, bit: int = 3) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ (1 << bit)]))


def test_samples_are_what_was_written(catalogue: Catalogue, sample: Callable[..., Sample]) -> None:
    reader = Reader(catalogue)
    for shard, ordinal, row in catalogue.rows():
        read = reader.read(shard, ordinal)
        sidecar, members = sample(row.key, sound=not row.key.endswith("1"))
        assert (read.shard, read.row, read.sidecar) == (catalogue.names[shard], row, sidecar)
        assert {name: bytes(view) for name, view in read.members.items() if name != "json"} == members


def test_members_are_views_that_outlive_the_reader(
    catalogue: Catalogue, sample: Callable[..., Sample]
) -> None:
    view = Reader(catalogue).read(0, 0).members["mp4"]
    gc.collect()
    assert view.readonly and bytes(view) == sample("a-0")[1]["mp4"]


def test_members_that_are_not_asked_for_are_not_touched(catalogue: Catalogue) -> None:
    flac = next(member for member in rows_of(catalogue, 0)[0].members if member.name == "flac")
    flip(catalogue.path(0), flac.offset)
    read = Reader(catalogue).read(0, 0, members=["mp4", "jpg"])
    assert list(read.members) == ["json", "mp4"]
    with pytest.raises(ShardError, match="member flac"):
        Reader(catalogue).read(0, 0, members=["flac"])


def test_checksums_are_taken_once(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(
        reader_module, "_check_header", lambda _opened, _views, row, member: checked.append(member.name)
    )
    reader = Reader(catalogue)
    for _ in range(2):
        reader.read(0, 0)
    assert checked == ["json", "mp4", "flac"]


@pytest.mark.parametrize("blocks", range(14))
def test_a_shard_cut_anywhere_is_named_with_both_sizes(catalogue: Catalogue, blocks: int) -> None:
    path = catalogue.path(1)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(blocks * 512)
    errors = read_all(catalogue)
    assert sorted(errors) == ["b-0", "b-1", "b-2"]
    assert f"{path}: expected {size} bytes, found {blocks * 512}" in errors["b-0"]


def test_every_bit_of_headers_and_payloads_counts(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(9)
    pristine = catalogue.path(0).read_bytes()
    for row in rows_of(catalogue, 0):
        for member in row.members:
            # The last twelve bytes of a USTAR header are padding outside of every field.
            for offset in (*rng.integers(-512, -12, 6), *rng.integers(0, member.size, 6)):
                catalogue.path(0).write_bytes(pristine)
                flip(catalogue.path(0), member.offset + int(offset), int(rng.integers(8)))
                errors = read_all(catalogue)
                assert list(errors) == [row.key], (member, offset)
                assert (
                    str(catalogue.path(0)) in errors[row.key] and f"member {member.name}" in errors[row.key]
                )


def test_swapped_shards_are_found_although_their_sizes_are_equal(catalogue: Catalogue) -> None:
    a, b = catalogue.path(0), catalogue.path(1)
    assert a.stat().st_size == b.stat().st_size
    content = a.read_bytes()
    shutil.copyfile(b, a)
    b.write_bytes(content)
    errors = read_all(catalogue)
    assert len(errors) == 6
    assert "expected header of a-0.json" in errors["a-0"] and "found that of 'b-0.json'" in errors["a-0"]


def test_shards_swapped_with_their_indexes_are_found(catalogue: Catalogue) -> None:
    for suffix in (".tar", ".index.json"):
        shutil.copyfile(catalogue.folder / f"b{suffix}", catalogue.folder / f"a{suffix}")
    with pytest.raises(ShardError, match=r"a\.index\.json: the catalogue expects an index with CRC32"):
        Reader(catalogue).read(0, 0)


def test_an_index_beside_another_tar_is_refused_by_name(folder: Path, identity: dict[str, str]) -> None:
    for suffix in (".tar", ".index.json"):
        shutil.copyfile(folder / f"b{suffix}", folder / f"c{suffix}")
    with pytest.raises(ShardError, match="expected the index of shard 'c', found that of 'b'"):
        compile_catalogue(folder, identity=identity, profile={})


def test_a_missing_tar_is_named(catalogue: Catalogue) -> None:
    catalogue.path(0).unlink()
    with pytest.raises(ShardError, match=r"a\.tar: expected \d+ bytes, found no file"):
        Reader(catalogue).read(0, 0)


def test_damage_in_one_sample_leaves_the_others_readable(catalogue: Catalogue) -> None:
    flip(catalogue.path(0), rows_of(catalogue, 0)[1].members[1].offset)
    assert list(read_all(catalogue)) == ["a-1"]


def test_shards_beyond_the_open_ones_are_mapped_again(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "OPEN_SHARDS", 1)
    reader = Reader(catalogue)
    held = reader.read(0, 0)
    keys = [reader.read(shard, 0).row.key for shard in (1, 0, 1, 0)]
    assert keys == ["b-0", "a-0", "b-0", "a-0"]
    assert bytes(held.members["mp4"]) == bytes(reader.read(0, 0).members["mp4"])
