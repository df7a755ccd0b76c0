"""Compiled selections: what was compiled is what is read, on disk or not, and damage is seen."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unreel.pipelines import selection as selections
from unreel.pipelines.compiled import Compiled, compile_codes, load_codes, store_codes
from unreel.pipelines.order import Order
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import Selection, select
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError

ONE = {"balance": None}
BY_LABEL = {"balance": "label"}


class Given:
    """Codes that were made up; classes are their numbers as text."""

    def __init__(self, codes: list[list[int]]) -> None:
        self._codes = codes
        self.classes = [f"c{number}" for number in range(max((max(c, default=0) for c in codes), default=0))]
        self.rejected = {"luck": 3}

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return (np.array(codes, np.uint16) for codes in self._codes)


class Undivided(Given):
    def __init__(self, codes: list[list[int]]) -> None:
        super().__init__([[min(code, 1) for code in shard] for shard in codes])
        self.classes = []


def samples(codes: list[list[int]]) -> NDArray[np.int64]:
    return np.array([len(shard) for shard in codes], np.int64)


def content(compiled: Compiled) -> list[list[list[int]]]:
    classes, shards = compiled.counts.shape
    return [[compiled.accepted(shard, c).tolist() for shard in range(shards)] for c in range(classes)]


shards_of_codes = st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=12)


@given(shards_of_codes.filter(lambda codes: any(map(any, codes))))
def test_every_accepted_ordinal_comes_back(codes: list[list[int]]) -> None:
    compiled = compile_codes(samples(codes), Given(codes), BY_LABEL)
    expected = [
        [[i for i, code in enumerate(shard) if code == c + 1] for shard in codes]
        for c in range(max(map(max, filter(None, codes))))
    ]
    assert content(compiled) == expected
    assert compiled.counts.tolist() == [[len(kept) for kept in shards] for shards in expected]
    undivided = compile_codes(samples(codes), Undivided(codes), ONE)
    assert content(undivided) == [[[i for i, code in enumerate(shard) if code] for shard in codes]]


CODES = [[0, 1, 2, 0, 1], [], [3, 0, 0], [0] * 9 + [1] * 9]


@pytest.mark.parametrize(("kind", "identity"), [(Given, BY_LABEL), (Undivided, ONE)])
def test_on_disk_is_the_same_as_in_memory(tmp_path: Path, kind: type[Given], identity: dict) -> None:
    memory = compile_codes(samples(CODES), kind(CODES), identity)
    stored = store_codes(tmp_path / "x", samples(CODES), kind(CODES), identity)
    again = load_codes(tmp_path / "x", samples(CODES), identity)
    assert again is not None
    assert content(memory) == content(stored) == content(again)
    assert (again.classes, again.rejected) == (memory.classes, memory.rejected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_another_identity_and_damage_are_said_aloud_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store_codes(tmp_path / "x", samples(CODES), Undivided(CODES), ONE)
    assert load_codes(tmp_path / "x", samples(CODES), {**ONE, "split": "val"}) is None
    assert load_codes(tmp_path / "none", samples(CODES), ONE) is None
    counts = tmp_path / "x" / "counts.npy"
    data = bytearray(counts.read_bytes())
    data[-4] ^= 1
    counts.write_bytes(data)
    assert load_codes(tmp_path / "x", samples(CODES), ONE) is None
    (tmp_path / "x" / "selection.json").write_text("{}")
    assert load_codes(tmp_path / "x", samples(CODES), ONE) is None
    assert caplog.text.count("compiled again") == 3


def test_damaged_codes_are_refused_when_they_are_used(tmp_path: Path) -> None:
    store_codes(tmp_path / "x", samples(CODES), Undivided(CODES), ONE)
    path = tmp_path / "x" / "codes.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)
    compiled = load_codes(tmp_path / "x", samples(CODES), ONE)
    assert compiled is not None and compiled.accepted(0).tolist() == [1, 2, 4]
    with pytest.raises(CatalogueError, match=r"shard number 3: .* damaged; delete the folder 'selections'"):
        compiled.accepted(3)


def test_whoever_is_second_takes_what_the_first_wrote(tmp_path: Path) -> None:
    class Late(Undivided):
        def __iter__(self) -> Iterator[NDArray[np.uint16]]:
            store_codes(tmp_path / "x", samples(CODES), Undivided(CODES), ONE)
            return super().__iter__()

    stored = store_codes(tmp_path / "x", samples(CODES), Late(CODES), ONE)
    assert content(stored) == content(compile_codes(samples(CODES), Undivided(CODES), ONE))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_nothing_is_left_of_a_compilation_that_failed(tmp_path: Path) -> None:
    class Broken(Undivided):
        def __iter__(self) -> Iterator[NDArray[np.uint16]]:
            yield np.zeros(5, np.uint16)
            raise OSError("input/output error")

    with pytest.raises(OSError, match="input/output"):
        store_codes(tmp_path / "x", samples(CODES), Broken(CODES), ONE)
    assert not list(tmp_path.iterdir())


def chosen(selection: Selection) -> list[list[int]]:
    return [selection.ordinals(shard).tolist() for shard in range(len(selection.counts))]


@pytest.fixture
def own(tiny_catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """The tiny data set's catalogue and indexes in a folder of their own, whatever its size stored."""
    monkeypatch.setattr(selections, "STORED_FROM", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    for path in tiny_catalogue.folder.iterdir():
        (folder / path.name).symlink_to(path)
    return Catalogue.open(folder)


SETTINGS = {"split": "train", "holdout": 0.3}


def test_a_selection_is_compiled_once(own: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    first = select(own, Needs(audio=True), **SETTINGS, progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr(Catalogue, "index", None)
    again = select(own, Needs(audio=True, group=8), **SETTINGS)
    assert chosen(again) == chosen(first) and again.rejected == first.rejected
    assert len(list((Path(own.folder) / "selections").iterdir())) == 1
    with pytest.raises(TypeError):
        select(own, Needs(audio=True), split="val", holdout=0.3)


def test_where_nothing_can_be_written_the_cache_folder_is_used(
    own: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(own.folder) / "selections").write_text("a file is in the way")
    first = select(own, Needs(audio=True), **SETTINGS)
    [kept] = (tmp_path / "cache" / "unreel" / "selections").iterdir()
    assert json.loads((kept / "selection.json").read_bytes())["identity"]["catalogue"] == own.digest
    monkeypatch.setattr(Catalogue, "index", None)
    assert chosen(select(own, Needs(audio=True), **SETTINGS)) == chosen(first)


def test_small_data_sets_write_nothing(own: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "STORED_FROM", 37)
    before = chosen(select(own, Needs(audio=True), **SETTINGS))
    assert not (Path(own.folder) / "selections").exists()
    monkeypatch.setattr(selections, "STORED_FROM", 36)
    assert chosen(select(own, Needs(audio=True), **SETTINGS)) == before
    assert (Path(own.folder) / "selections").is_dir()


def test_a_balanced_selection_divides_the_accepted_samples(own: Catalogue) -> None:
    selection = select(own, Needs(audio=True), **SETTINGS, balance="size")
    whole = select(own, Needs(audio=True), **SETTINGS)
    assert set(selection.classes) == {"160x128", "128x176"}
    assert (
        selection.counts.tolist()
        == whole.counts.tolist()
        == sum(c.counts for c in selection.classes.values()).tolist()
    )
    for label, part in selection.classes.items():
        sizes = {
            f"{own.index(shard).samples[i].width}x{own.index(shard).samples[i].height}"
            for shard in range(3)
            for i in part.ordinals(shard).tolist()
        }
        assert sizes == {label}


def test_a_label_that_no_sample_has_is_named(own: Catalogue) -> None:
    with pytest.raises(ValueError, match="27 failed label 'breed'"):
        select(own, Needs(audio=True), split=None, holdout=0.0, balance="breed")


def test_a_label_with_too_many_values_is_no_class(own: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "MOST_CLASSES", 35)
    with pytest.raises(ValueError, match="balance 'number': more than 35 values"):
        select(own, Needs(), split=None, holdout=0.0, balance="number")


def held(folder: Path, shards: int, samples: int) -> int:
    """Bytes that are held at most while a stored selection is opened and two far batches are located."""
    counts = np.full(shards, samples, np.int64)
    codes = [[1, 1, 0, 1] * (samples // 4)] * shards
    store_codes(folder, counts, Undivided(codes), ONE)
    tracemalloc.start()
    try:
        compiled = load_codes(folder, counts, ONE)
        assert compiled is not None
        order = Order(Selection(compiled.counts[0], compiled.accepted), 1)
        assert len(set(order.locate(range(10**9, 10**9 + 128)))) == 128
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_shards_and_not_with_samples(tmp_path: Path) -> None:
    held(tmp_path / "warm", 10, 40)
    few, many = held(tmp_path / "a", 2000, 40), held(tmp_path / "b", 2000, 400)
    double = held(tmp_path / "c", 4000, 40)
    # Ten times the samples: only those of the 64 shards of a window are unpacked.
    assert many - few < 64 * 400 * 8
    assert 1.5 * few < double < 2.5 * few
