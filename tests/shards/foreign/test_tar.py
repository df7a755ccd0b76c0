"""The walk over a tar of others: every kind of member and every kind of damage has its reason."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.errors import MediaRefused
from unreel.shards.foreign import tar as tar_module
from unreel.shards.foreign.tar import ForeignTar, TarEntry, TarRefusal


def write(path: Path, members: list[tuple[str, bytes]], format: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return path


def walk(path: Path) -> list[TarEntry | TarRefusal]:
    with ForeignTar(path) as tar:
        return list(tar.members())


def refusal(path: Path) -> str:
    with pytest.raises(MediaRefused) as caught:
        walk(path)
    return caught.value.reason


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_tarfile_finds_them(tmp_path: Path, format: int) -> None:
    long = "folder/" * 12 + "a" * 80 + ".mp4"
    path = write(
        tmp_path / "t.tar", [("a.mp4", b"x" * 700), (long, b"y"), ("é.txt", b""), ("b.json", b"{}")], format
    )
    with tarfile.open(path) as tar:
        expected = [(member.name, member.offset_data, member.size) for member in tar]
    found = [(entry.name, entry.offset, entry.size) for entry in walk(path) if isinstance(entry, TarEntry)]
    assert found == expected and len(found) == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.mp4", "name-escapes"),
        ("a/../../b.mp4", "name-escapes"),
        ("/etc/a.mp4", "name-absolute"),
        ("a\nb.mp4", "name-control"),
        ("a\x1b[2J.mp4", "name-control"),
    ],
)
def test_names_that_mean_no_good_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    found = walk(write(tmp_path / "t.tar", [(name, b"x"), ("b.mp4", b"y")]))
    assert [getattr(one, "reason", one.name) for one in found] == [reason, "b.mp4"]


def test_what_stands_behind_a_nul_in_a_name_does_not_pass(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tar", [("a.mp4_b", b"x")])
    block = bytearray(path.read_bytes())
    block[5] = 0
    info = tarfile.TarInfo.frombuf  # the checksum over the block, as the writer would have set it
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block[:512]))[0]
    assert info(bytes(block[:512]), "utf-8", "strict").name == "a.mp4"
    path.write_bytes(block)
    (found,) = walk(path)
    assert isinstance(found, TarRefusal) and found.reason == "name-control"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "symbolic-link"),
        (tarfile.LNKTYPE, "hard-link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "fifo"),
        (b"Z", "unknown-type"),
    ],
)
def test_only_regular_files_are_read(tmp_path: Path, kind: bytes, reason: str) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
        tar.addfile(tarfile.TarInfo("b.mp4"))
    found = walk(tmp_path / "t.tar")
    assert [getattr(one, "reason", one.name) for one in found] == [reason, "b.mp4"]


def test_sparse_files_are_refused_in_each_of_their_forms(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "pax.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.mp4")
        info.size, info.pax_headers = 3, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        tar.addfile(info, io.BytesIO(b"abc"))
    path = write(tmp_path / "old.tar", [("a.mp4", b"x" * 600), ("b.mp4", b"y")])
    data = bytearray(path.read_bytes())
    data[156:157] = tarfile.GNUTYPE_SPARSE
    data[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(data[:512]))[0]
    path.write_bytes(data)
    assert [getattr(one, "reason", one.name) for one in walk(path)] == ["sparse", "b.mp4"]
    (found,) = walk(tmp_path / "pax.tar")
    assert isinstance(found, TarRefusal) and found.reason == "sparse"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: cut(path, 900), "truncated"),
        (lambda path: cut(path, 512 + 1024), "truncated"),
        (lambda path: cut(path, 0), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes() + write(path.with_name("u"), [("c.mp4", b"z")]).read_bytes()), "trailing-data"),
        (lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]), "bad-header"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(100)), "compressed"),
        (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100)), "compressed"),
    ],
    ids=["cut in a payload", "cut at a member", "empty", "two tars joined", "header", "gzip", "zstd"],
)  # fmt: skip
def test_a_tar_that_cannot_be_trusted_is_refused_as_a_whole(
    tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    path = write(tmp_path / "t.tar", [("a.mp4", b"x" * 700), ("b.mp4", b"y")])
    damage(path)
    assert refusal(path) == reason


def test_a_size_of_8_tib_allocates_nothing(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.mp4")
    info.size = 8 << 40
    (tmp_path / "t.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert refusal(tmp_path / "t.tar") == "truncated"
    with tarfile.open(tmp_path / "u.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        small = tarfile.TarInfo("a.mp4")
        small.pax_headers = {"size": str(8 << 40)}
        tar.addfile(small)
    assert refusal(tmp_path / "u.tar") == "truncated"


def test_names_and_members_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.tar", [("a" * (1 << 20) + ".mp4", b"x")], tarfile.PAX_FORMAT)
    assert refusal(path) == "name-too-long"
    monkeypatch.setattr(tar_module, "MAX_MEMBERS", 2)
    assert refusal(write(path, [(f"{number}.mp4", b"") for number in range(3)])) == "too-many-members"
    monkeypatch.setattr(tar_module, "MAX_MEMBER_BYTES", 2)
    (found,) = walk(write(path, [("a.mp4", b"abc")]))
    assert isinstance(found, TarRefusal) and found.reason == "too-large"
