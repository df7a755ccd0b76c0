"""Shards are plain deterministic tars, and the index is their commit."""

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from unreel.shards.catalogue import read_index
from unreel.shards.errors import ShardError
from unreel.shards.sample import MEMBERS
from unreel.shards.writer import ShardWriter, tar_header

Sample = tuple[msgspec.Struct, dict[str, bytes]]


def write(path: Path, samples: list[Sample]) -> Path:
    with ShardWriter(path, identity="{}") as writer:
        for one in samples:
            writer.add(*one)
        writer.commit()
    return path


@pytest.fixture
def shard(tmp_path: Path, sample: Callable[..., Sample]) -> Path:
    sidecar, members = sample("k-0")
    narrated = (sidecar, {"txt": b"a ball falls", **dict(reversed(members.items()))})
    return write(tmp_path / "s.tar", [narrated, sample("k-1", sound=False), sample("k-2")])


def test_json_comes_first_and_members_lie_together_in_the_order_of_the_contract(shard: Path) -> None:
    with tarfile.open(shard) as tar:
        names = tar.getnames()
    assert names == [
        *(f"k-0.{member}" for member in ("json", "mp4", "flac", "txt")),
        *(f"k-1.{member}" for member in ("json", "mp4")),
        *(f"k-2.{member}" for member in ("json", "mp4", "flac")),
    ]
    assert [name.split(".")[1] for name in names[:4]] == [m for m in MEMBERS if m not in ("jpg", "opus")]


def test_headers_are_plain_ustar_without_clock_user_or_machine(shard: Path) -> None:
    data = shard.read_bytes()
    with tarfile.open(shard) as tar:
        for member in tar:
            header = data[member.offset : member.offset + 512]
            assert header[257:265] == b"ustar\x0000"
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname, member.type, member.pax_headers) == (
                "",
                "",
                tarfile.REGTYPE,
                {},
            )
    assert data.endswith(bytes(1024)) and len(data) % 512 == 0


def test_equal_samples_give_equal_bytes(tmp_path: Path, sample: Callable[..., Sample]) -> None:
    samples = [sample("k-0"), sample("k-1")]
    (tmp_path / "other").mkdir()
    first, second = write(tmp_path / "s.tar", samples), write(tmp_path / "other" / "s.tar", samples)
    for suffix in (".tar", ".idx", ".index.json"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


def test_index_says_where_every_byte_is(shard: Path, sample: Callable[..., Sample]) -> None:
    index, data = read_index(shard), shard.read_bytes()
    assert (index.bytes, index.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    for row in index.samples:
        for member in row.members:
            payload = data[member.offset : member.offset + member.size]
            expected = sample(row.key)[1].get(member.name)
            assert expected is None or payload == expected


def test_idx_is_what_wds2idx_writes(shard: Path, tmp_path: Path) -> None:
    wds2idx = pytest.importorskip("wds2idx")
    with wds2idx.IndexCreator(str(shard), str(tmp_path / "theirs.idx"), verbose=False) as creator:
        creator.create_index()
    assert shard.with_suffix(".idx").read_text() == (tmp_path / "theirs.idx").read_text()


def test_dali_reads_our_shards_with_our_idx(shard: Path, sample: Callable[..., Sample]) -> None:
    dali = pytest.importorskip("nvidia.dali")

    @dali.pipeline_def(batch_size=3, num_threads=1, device_id=None)
    def pipeline() -> object:
        return tuple(
            dali.fn.readers.webdataset(
                paths=[str(shard)], index_paths=[str(shard.with_suffix(".idx"))], ext=["mp4", "json"]
            )
        )

    built = pipeline()
    built.build()
    videos, sidecars = built.run()
    for i in range(3):
        sidecar, members = sample(f"k-{i}", sound=i != 1)
        assert bytes(videos.at(i)) == members["mp4"]
        assert msgspec.json.decode(bytes(sidecars.at(i)))["key"] == sidecar.key


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_plain_webdataset_reads_our_shards(shard: Path, sample: Callable[..., Sample]) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [one["__key__"] for one in samples] == ["k-0", "k-1", "k-2"]
    assert [one["mp4"] for one in samples] == [sample(one["__key__"])[1]["mp4"] for one in samples]
    assert "flac" not in samples[1] and samples[0]["txt"] == b"a ball falls"


def test_gnu_tar_lists_our_shards(shard: Path) -> None:
    done = subprocess.run(["tar", "-tf", str(shard)], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 9 and done.stderr == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"npy": b""}, r"members \['npy'\] are unknown"),
        ({"json": b"{}"}, r"members \['json'\] are unknown"),
        ({"../mp4": b""}, "are unknown"),
        ({"jpg": b""}, r"declares \['flac', 'mp4'\], given are \['flac', 'jpg', 'mp4'\]"),
    ],
)
def test_members_outside_the_contract_are_refused(
    tmp_path: Path, sample: Callable[..., Sample], change: dict[str, bytes], message: str
) -> None:
    sidecar, members = sample("k")
    with ShardWriter(tmp_path / "s.tar", identity="{}") as writer:
        with pytest.raises(ValueError, match=message):
            writer.add(sidecar, {**members, **change})
        assert len(writer) == 0 and writer.size == 0


def test_missing_members_and_taken_keys_are_refused(tmp_path: Path, sample: Callable[..., Sample]) -> None:
    sidecar, members = sample("k")
    with ShardWriter(tmp_path / "s.tar", identity="{}") as writer:
        with pytest.raises(ValueError, match=r"given are \['mp4'\]"):
            writer.add(sidecar, {"mp4": b""})
        writer.add(sidecar, members)
        with pytest.raises(ValueError, match="key 'k' is taken"):
            writer.add(sidecar, members)


@pytest.mark.parametrize("name", ["s", "s.zip", "S.tar", "a b.tar", "a.b.tar"])
def test_names_of_shards_are_keys_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in \.tar|allowed are"):
        ShardWriter(tmp_path / name, identity="{}")
    assert list(tmp_path.iterdir()) == []


def test_too_long_keys_are_refused_and_not_cut() -> None:
    with pytest.raises(ValueError, match="name is too long"):
        tar_header("k" * 99 + ".mp4", 1)


def test_an_empty_shard_is_refused(tmp_path: Path) -> None:
    with (
        ShardWriter(tmp_path / "s.tar", identity="{}") as writer,
        pytest.raises(ValueError, match="no sample"),
    ):
        writer.commit()


def test_leaving_without_commit_leaves_nothing(tmp_path: Path, sample: Callable[..., Sample]) -> None:
    with ShardWriter(tmp_path / "s.tar", identity="{}") as writer:
        writer.add(*sample("k"))
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("moment", range(3))
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_rename_the_old_shard_is_never_mixed_with_the_new(
    tmp_path: Path,
    sample: Callable[..., Sample],
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
    after: bool,
) -> None:
    path = write(tmp_path / "s.tar", [sample("old")])
    calls = 0
    replace = os.replace

    def killing(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls - 1 == moment and not after:
            raise Killed
        replace(source, target)
        if calls - 1 == moment:
            raise Killed

    monkeypatch.setattr(os, "replace", killing)
    with pytest.raises(Killed):
        write(path, [sample("new-0"), sample("new-1")])
    if moment == 2 and after:
        assert len(read_index(path).samples) == 2
        return
    with pytest.raises(ShardError, match="never committed"):
        read_index(path)
    # What has a final name is whole, old or new.
    assert hashlib.sha256(path.read_bytes()).hexdigest() in _digests(tmp_path, sample)
    monkeypatch.undo()
    write(path, [sample("new-0"), sample("new-1")])
    assert len(read_index(path).samples) == 2
    assert {name.name for name in tmp_path.iterdir() if name.name.startswith(".s.tar")} == set()


def _digests(tmp_path: Path, sample: Callable[..., Sample]) -> set[str]:
    digests = set()
    for number, samples in enumerate([[sample("old")], [sample("new-0"), sample("new-1")]]):
        (tmp_path / str(number)).mkdir()
        path = write(tmp_path / str(number) / "s.tar", samples)
        digests.add(read_index(path).sha256)
    return digests
