"""R6: hostile tars. Nothing is created outside, no code runs, each is refused with its reason, in bounded memory."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.conftest import tiny_sample
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError
from unreel.shards.foreign.tar import MAX_MEMBERS
from unreel.shards.reader import Reader

LIMIT_MIB = 256
CANARY = "import pathlib; pathlib.Path({path!r}).write_text('ran')"
INDEX = """
import resource, sys, msgspec
from pathlib import Path
from unreel.shards.foreign import tar
from unreel.shards.foreign.indexing import index_folder
from unreel.shards.border.sandbox import close
tar.MAX_MEMBERS = int(sys.argv[3])
report = index_folder(Path(sys.argv[1]), out=Path(sys.argv[2]))
close()
# getrusage of this process would count the one that started it.
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
peaks = [int(status["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
print(msgspec.json.encode({"report": report, "mib": [peak / 1024 for peak in peaks]}).decode())
"""

Writer = Callable[[tarfile.TarFile], None]


def add(tar: tarfile.TarFile, name: str, payload: bytes = b"x", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(payload)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(payload))


def raw_header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """A header with whatever bytes in its name."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[156:157] = kind
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    return bytes(block)


def tiny_members(count: int) -> bytes:
    """Headers of `count` empty members of different names."""
    first = raw_header(b"0000000.mp4", 0)
    checksum = int(first[148:154], 8) - sum(b"0000000")
    numbers = (b"%07d" % number for number in range(count))
    return b"".join(
        number + first[7:148] + b"%06o\0 " % (checksum + sum(number)) + first[156:] for number in numbers
    )


def pickled(canary: Path) -> bytes:
    """A pickle, protocol 0, that runs code when loaded; written by hand, since nothing here imports pickle."""
    return b"cbuiltins\nexec\n(V" + CANARY.format(path=str(canary)).encode() + b"\ntR."


def hostile(canary: Path, video: bytes, full: bool) -> dict[str, tuple[Writer | bytes, str]]:
    """name → (what writes the tar, the reason that it must be refused with). Each has a good sample too, where it can."""
    secret = "/etc/passwd"

    def link(kind: bytes) -> Writer:
        return lambda tar: add(tar, "a.mp4", b"", type=kind, linkname=secret)

    def members(*pairs: tuple[str, bytes]) -> Writer:
        return lambda tar: [add(tar, *pair) for pair in pairs] and None

    code = CANARY.format(path=str(canary)).encode()
    end = bytes(1024)
    count = 1_000_000 if full else 20_000
    return {
        "dotdot": (members(("../../escaped.mp4", video)), "name-escapes"),
        "absolute": (members((str(canary.parent / "absolute.mp4"), video)), "name-absolute"),
        "symlink": (link(tarfile.SYMTYPE), "symbolic-link"),
        "hardlink": (link(tarfile.LNKTYPE), "hard-link"),
        "device": (link(tarfile.CHRTYPE), "device"),
        "fifo": (link(tarfile.FIFOTYPE), "fifo"),
        "sparse": (raw_header(b"a.mp4", 512, b"S") + bytes(512) + end, "sparse"),
        "newline": (members(("a\nb.mp4", video)), "name-control"),
        "nul": (raw_header(b"a.mp4\0.pyd", 1) + b"x" * 512 + end, "name-control"),
        "duplicate": (members(("d.mp4", video), ("d.mp4", video)), "duplicate-member"),
        "pyd": (members(("a.pyd", code)), "code"),
        "pth": (members(("a.pth", pickled(canary))), "code"),
        "npy": (members(("a.npy", b"\x93NUMPY\x01\0v\0{'descr': '|O'}" + pickled(canary))), "code"),
        "pickle": (members(("a.pickle", pickled(canary)), ("a.pkl", pickled(canary))), "code"),
        "pickle-as-mp4": (members(("a.mp4", pickled(canary))), "not-media"),
        "pickle-as-json": (members(("a.mp4", video), ("a.json", pickled(canary))), "bad-json"),
        "playlist": (members(("a.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")), "playlist"),
        "long-name": (lambda tar: add(tar, "a" * (1 << 20) + ".mp4", video), "name-too-long"),
        "8tib": (raw_header(b"a.mp4", 8 << 40) + end, "truncated"),
        "negative": (raw_header(b"a.mp4", -512) + end, "bad-header"),
        "million": (tiny_members(count) + end, "too-many-members"),
        "gzip": (gzip.compress(bytes(64 << 20 if full else 4 << 20)), "compressed"),
        "joined": (raw_header(b"a.mp4", 0) + end + raw_header(b"b.mp4", 0) + end, "trailing-data"),
        "cut": (raw_header(b"a.mp4", 0), "truncated"),
    }


def reasons(report: dict[str, object]) -> set[str]:
    names = {report["reason"], *report["refused_samples"], *report["refused_members"]}  # type: ignore[misc]
    return {str(name) for name in names if name}


def snapshot(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_R6_hostile_tars_are_refused_by_name(tmp_path: Path, full: bool, record: Callable[..., None]) -> None:
    tars, out, canary = tmp_path / "tars", tmp_path / "out", tmp_path / "canary"
    tars.mkdir()
    video = tiny_sample(0)[1]["mp4"]
    cases = hostile(canary, video, full)
    for name, (content, _) in cases.items():
        if isinstance(content, bytes):
            (tars / f"{name}.tar").write_bytes(content)
        else:
            with tarfile.open(tars / f"{name}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
                content(tar)
                add(tar, "good.mp4", video)
    before = snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", INDEX, str(tars), str(out), str(MAX_MEMBERS if full else 10_000)],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    reports = {Path(report["tar"]).stem: report for report in result["report"]["reports"]}
    wrong = {
        name: reasons(reports[name])
        for name, (_, reason) in cases.items()
        if reason not in reasons(reports[name])
    }
    created = {path for path in snapshot(tmp_path) - before if not path.startswith(str(out))}
    readable = _readable(out)
    record(
        "R6",
        "hostile tars",
        tars=len(cases),
        refused_with_reason=len(cases) - len(wrong),
        reasons=len({reason for _, reason in cases.values()}),
        files_created_outside=len(created),
        code_run=int(canary.exists()),
        good_samples_kept=readable,
        peak_mib=round(max(result["mib"])),
    )
    assert not wrong and not created and not canary.exists()
    assert max(result["mib"]) <= LIMIT_MIB, result["mib"]
    # What a tar is not refused for as a whole does not cost its good sample.
    partly = sum(report["status"] == "indexed" for report in reports.values())
    assert readable == partly >= 12


def _readable(out: Path) -> int:
    catalogue = Catalogue.open(out)
    reader = Reader(catalogue)
    keys = [reader.read(shard, ordinal).row.key for shard, ordinal, _ in catalogue.rows()]
    assert set(keys) == {"good"}
    return len(keys)


def test_R6_a_hostile_catalogue_or_index_opens_nothing(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    """Names of shards are names: one that leads elsewhere is refused."""
    import pyarrow as pa

    from unreel.shards import catalogue as module

    summary, table = module.open_tables(tiny_catalogue.folder)
    rows = table.to_pylist()
    rows[0]["name"] = "../tiny-0"
    table = pa.Table.from_pylist(rows, schema=table.schema)
    summary = msgspec.structs.replace(summary, digest=module._digest(table))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "catalogue.arrow").write_bytes(module._table_bytes(table))
    (tmp_path / "set" / "catalogue.json").write_bytes(msgspec.json.encode(summary))
    with pytest.raises(CatalogueError, match="a shard's name is no path"):
        Catalogue.open(tmp_path / "set")
    assert os.listdir(tmp_path) == ["set"]
