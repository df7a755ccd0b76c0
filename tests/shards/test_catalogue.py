"""The catalogue: compiled from indexes, opened in columns, never believed further than its digest."""

import itertools
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text, read_index
from unreel.shards.errors import CatalogueError, IdentityMismatch, ShardError
from unreel.shards.index import Member, SampleRow, ShardIndex, parse_index, row_of, write_index
from unreel.shards.sample import Facts, Packets, Sidecar, Source, Video, pack_column
from unreel.shards.writer import ShardWriter

Sample = tuple[Sidecar, dict[str, bytes]]

naturals = st.integers(0, 2**50)
rows = st.builds(
    SampleRow,
    key=st.text("abc-0", min_size=1),
    source=st.text(max_size=8),
    split=st.none() | st.text(max_size=5),
    frames=naturals,
    rate=st.tuples(naturals, naturals),
    motion=st.floats(0, 255),
    sound=st.floats(0, 1),
    members=st.lists(st.builds(Member, st.text(max_size=4), naturals, naturals, naturals)).map(tuple),
)


@given(st.lists(rows, max_size=4).map(tuple), st.text())
def test_indexes_are_read_as_written(samples: tuple[SampleRow, ...], identity: str) -> None:
    index = ShardIndex(shard="s", bytes=1, sha256="00", identity=identity, samples=samples)
    assert parse_index(write_index(index), Path("s.index.json")) == index


def test_rows_say_what_selections_ask(sample: Callable[..., Sample]) -> None:
    row = row_of(sample("k", frames=30)[0], ())
    assert (row.key, row.frames, row.rate, row.width, row.height) == ("k", 30, (25, 1), 160, 128)
    assert (row.audio_samples, row.audio_rate, row.seconds) == (57_600, 48_000, 1.2)
    # 25 frames a window, 15 of them with motion 5 and 10 with motion 1.
    assert row.motion == pytest.approx((15 * 5 + 10 * 1) / 25)
    assert row.sound == 0.75
    assert row_of(sample("k", sound=False)[0], ()).sound == 0.0


@given(st.lists(st.floats(0, 255, width=16), min_size=1, max_size=60), st.sampled_from([1, 24, 30]))
def test_motion_is_the_largest_mean_over_one_second(curve: list[float], fps: int) -> None:
    sidecar, _ = _plain(len(curve), fps, pack_column("motion", np.array(curve)))
    width = min(fps, len(curve))
    means = [np.mean(curve[i : i + width]) for i in range(len(curve) - width + 1)]
    assert row_of(sidecar, ()).motion == pytest.approx(max(means), abs=1e-3)


@given(st.sets(st.integers(1, 59), max_size=5))
def test_scene_is_the_longest_stretch_without_a_cut(cuts: set[int]) -> None:
    sidecar, _ = _plain(60, 25, b"")
    cut = msgspec.structs.replace(sidecar, facts=Facts(cuts=tuple(sorted(cuts))))
    edges = [0, *sorted(cuts), 60]
    assert row_of(cut, ()).scene == max(b - a for a, b in itertools.pairwise(edges))
    assert row_of(sidecar, ()).scene == 60


@given(st.lists(st.floats(0, 255, width=16), max_size=60))
def test_luma_is_the_mean_brightness(curve: list[float]) -> None:
    sidecar, _ = _plain(60, 25, b"")
    lit = msgspec.structs.replace(sidecar, facts=Facts(luma=pack_column("luma", np.array(curve))))
    assert row_of(lit, ()).luma == pytest.approx(np.mean(curve) if curve else 0.0, abs=1e-3)


def test_rows_without_a_picture_have_neither_scene_nor_luma() -> None:
    row = row_of(Sidecar(key="k", source=Source(id="0", name="k")), ())
    assert (row.scene, row.luma, row.motion) == (0, 0.0, 0.0)


def _plain(frames: int, fps: int, motion: bytes) -> Sample:
    packets = Packets(offset=b"", size=b"", key=b"")
    video = Video(
        codec="h264",
        width=16,
        height=16,
        frames=frames,
        rate=(fps, 1),
        matrix="bt709",
        gop=16,
        packets=packets,
    )
    return Sidecar(key="k", source=Source(id="0", name="k"), video=video, facts=Facts(motion=motion)), {}


def test_what_is_compiled_is_opened(catalogue: Catalogue, identity: dict[str, str]) -> None:
    opened = Catalogue.open(catalogue.folder)
    assert (opened.digest, opened.names, opened.identity) == (catalogue.digest, ("a", "b"), identity)
    assert opened.profile == {"name": "plain"}
    assert opened.counts.dtype == np.int64 and opened.counts.tolist() == [3, 3] and len(opened) == 6
    assert [(s, o, r.key) for s, o, r in opened.rows()] == [
        (s, o, f"{name}-{o}") for s, name in enumerate("ab") for o in range(3)
    ]
    assert opened.index(1) is opened.index(1)


def test_names_are_in_the_order_of_names_and_not_of_files(
    tmp_path: Path, sample: Callable[..., Sample]
) -> None:
    # As files, "s-1.index.json" comes before "s.index.json".
    for name in ("s", "s-1", "s_0"):
        with ShardWriter(tmp_path / f"{name}.tar", identity="{}") as writer:
            writer.add(*sample("k"))
            writer.commit()
    assert compile_catalogue(tmp_path, identity={}, profile={}).names == ("s", "s-1", "s_0")


def test_a_catalogue_can_always_be_rebuilt(catalogue: Catalogue, identity: dict[str, str]) -> None:
    files = {name: (catalogue.folder / name).read_bytes() for name in ("catalogue.json", "catalogue.arrow")}
    for name in files:
        (catalogue.folder / name).unlink()
    compile_catalogue(catalogue.folder, identity=identity, profile={"name": "plain"})
    assert files == {name: (catalogue.folder / name).read_bytes() for name in files}


def test_a_tar_without_an_index_does_not_exist(catalogue: Catalogue, identity: dict[str, str]) -> None:
    shutil.copyfile(catalogue.folder / "a.tar", catalogue.folder / "c.tar")
    assert compile_catalogue(catalogue.folder, identity=identity, profile={}).names == ("a", "b")
    (catalogue.folder / "b.index.json").unlink()
    assert compile_catalogue(catalogue.folder, identity=identity, profile={}).names == ("a",)
    with pytest.raises(
        ShardError, match=r"c\.index\.json: no index, so the shard beside it was never committed"
    ):
        read_index(catalogue.folder / "c.tar")


def test_the_digest_says_what_is_there_and_not_who_built_it(
    tmp_path: Path, sample: Callable[..., Sample], catalogue: Catalogue
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("b", "a"):
        with ShardWriter(other / f"{name}.tar", identity=identity_text({"host": "another"})) as writer:
            for number in range(3):
                writer.add(*sample(f"{name}-{number}", sound=number != 1))
            writer.commit()
    rebuilt = compile_catalogue(other, identity={"host": "another"}, profile={"name": "same"})
    assert rebuilt.digest == catalogue.digest
    with ShardWriter(other / "b.tar", identity=identity_text({"host": "another"})) as writer:
        writer.add(*sample("b-0"))
        writer.commit()
    assert compile_catalogue(other, identity={"host": "another"}, profile={}).digest != catalogue.digest


def test_another_builder_is_refused_and_both_are_named(catalogue: Catalogue) -> None:
    with pytest.raises(
        IdentityMismatch, match=r'built by \{"profile":"plain","unreel":"0"\}.*of \{"unreel":"1"\}'
    ):
        compile_catalogue(catalogue.folder, identity={"unreel": "1"}, profile={})


def test_identities_are_compared_whatever_their_order() -> None:
    assert identity_text({"b": 1, "a": {"d": 2, "c": 3}}) == identity_text({"a": {"c": 3, "d": 2}, "b": 1})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("catalogue.json", None, "no catalogue.json here"),
        ("catalogue.json", b"", "not a catalogue"),
        ("catalogue.json", b"[1]", "not a catalogue"),
        ("catalogue.json", b'{"schema": "1.0"}', "not a catalogue"),
        (
            "catalogue.json",
            b'{"schema": "2.0", "shards": "elsewhere"}',
            r"schema 2\.x, this reader knows 1\.x",
        ),
        ("catalogue.arrow", None, "not a table of shards"),
        ("catalogue.arrow", b"", "not a table of shards"),
        ("catalogue.arrow", b"ARROW1 and nothing else", "not a table of shards"),
    ],
)
def test_damaged_catalogues_are_refused_by_name(
    catalogue: Catalogue, name: str, content: bytes | None, message: str
) -> None:
    path = catalogue.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogueError, match=message):
        Catalogue.open(catalogue.folder)


def test_columns_of_another_build_are_refused(
    catalogue: Catalogue, identity: dict[str, str], sample: Callable[..., Sample]
) -> None:
    old = (catalogue.folder / "catalogue.arrow").read_bytes()
    with ShardWriter(catalogue.folder / "c.tar", identity=identity_text(identity)) as writer:
        writer.add(*sample("c"))
        writer.commit()
    compile_catalogue(catalogue.folder, identity=identity, profile={})
    (catalogue.folder / "catalogue.arrow").write_bytes(old)
    with pytest.raises(CatalogueError, match=r"expects shards with digest .* compile the catalogue again"):
        Catalogue.open(catalogue.folder)


def test_every_bit_of_an_index_counts(catalogue: Catalogue) -> None:
    path = catalogue.folder / "a.index.json"
    pristine = path.read_bytes()
    for offset in np.random.default_rng(3).integers(0, len(pristine), 20).tolist():
        changed = bytearray(pristine)
        changed[offset] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ShardError, match=r"a\.index\.json: the catalogue expects"):
            Catalogue.open(catalogue.folder).index(0)


def test_newer_indexes_are_refused_by_name_and_newer_minors_read(folder: Path) -> None:
    path = folder / "a.index.json"
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**content, "schema": "1.9", "new": 1}))
    assert len(read_index(folder / "a.tar").samples) == 3
    path.write_bytes(msgspec.json.encode({**content, "schema": "2.0", "samples": "elsewhere"}))
    with pytest.raises(ShardError, match=r"index schema 2\.x, this reader knows 1\.x"):
        read_index(folder / "a.tar")


def test_a_tar_of_another_size_is_not_compiled(folder: Path, identity: dict[str, str]) -> None:
    with (folder / "a.tar").open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(CatalogueError, match=r"a\.tar: its index expects \d+ bytes, found \d+"):
        compile_catalogue(folder, identity=identity, profile={})


def test_an_empty_folder_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no shard with an index"):
        compile_catalogue(tmp_path, identity={}, profile={})


def test_seconds_of_a_row_are_exact_for_ntsc() -> None:
    row = SampleRow(key="k", source="s", frames=300, rate=(30_000, 1001), members=())
    assert row.seconds == float(Fraction(300 * 1001, 30_000))
