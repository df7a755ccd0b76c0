"""R7: files that name other files. None is opened, no socket is made, and each is refused at once.

The kernel is the witness: inotify says whether the second file was opened, a server on the loopback whether anybody came;
in full and where `strace` is installed, the calls of all processes are read as well.
"""

import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.shards.conftest import run_ffmpeg
from unreel.shards.border import sandbox
from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.shards.border.sandbox import probe_safely
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.source_file import SourceFile
from unreel.shards.making.profiles import PROFILES
from unreel.shards.making.samples import build_samples

PROFILE = PROFILES["mixed"]
SECONDS = 1.0
IN_OPEN, IN_NONBLOCK = 0x20, 0o4000
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.faults.test_r7_disguised_playlists import outcome
for path in sys.argv[2:]:
    print(outcome(Path(path)))
"""


class Witness:
    """Counts who opens a file and who comes to a port."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = self._libc.inotify_init1(IN_NONBLOCK)
        assert self._libc.inotify_add_watch(self._events, os.fsencode(path), IN_OPEN) >= 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port = self._server.getsockname()[1]

    def opened(self) -> int:
        try:
            return len(os.read(self._events, 1 << 16)) // 16
        except BlockingIOError:
            return 0

    def visitors(self) -> int:
        count = 0
        while True:
            try:
                self._server.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        os.close(self._events)
        self._server.close()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the others point to."""
    path = tmp_path_factory.mktemp("target") / "second.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=2", "-c:v", "libx264", path)
    return path


@pytest.fixture
def witness(second: Path) -> Iterator[Witness]:
    found = Witness(second)
    yield found
    found.close()


def texts(second: Path, port: int) -> dict[str, str]:
    url, here, near = f"http://127.0.0.1:{port}/x.ts", str(second), second.name
    dash = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation id="1">'
    return {
        "HLS, a file": f"#EXTM3U\n#EXTINF:2,\n{here}\n#EXT-X-ENDLIST\n",
        "HLS, a URL": f"#EXTM3U\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n",
        "HLS, a key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:2,\n{here}\n',
        "HLS, a master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n",
        "HLS after a byte order mark": f"\ufeff#EXTM3U\n#EXTINF:2,\n{here}\n",
        "ffconcat, relative": f"ffconcat version 1.0\nfile {near}\n",
        "ffconcat, absolute": f"ffconcat version 1.0\nfile '{here}'\n",
        "concat without a head": f"file '{here}'\n",
        "DASH, a file": f"{dash}<BaseURL>{here}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "DASH, a URL": f"{dash}<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "SDP": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        "IMF": f'<?xml version="1.0"?><CompositionPlaylist><Id>urn:uuid:1</Id><Path>{here}</Path></CompositionPlaylist>',
        "subfile": f"subfile,,start,0,end,0,,:{here}\n",
        "PLS": f"[playlist]\nFile1={here}\nNumberOfEntries=1\n",
        "ASX": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "RTSP": f"rtsptextrtsp://127.0.0.1:{port}/x\n",
    }


def _sizes(data: bytearray, start: int, stop: int, place: int, more: int) -> None:
    """Add `more` to the size of each box around `place`."""
    while start + 8 <= stop:
        size = int.from_bytes(data[start : start + 4], "big")
        if start <= place < start + size:
            data[start : start + 4] = (size + more).to_bytes(4, "big")
            _sizes(data, start + 8, start + size, place, more)
            return
        start += max(8, size)


def with_reference(clean: bytes, second: Path, kind: str) -> bytes:
    """A QuickTime file whose track lies in another file: an alias record with its absolute path, or a URL."""
    place = clean.index(b"url \x00\x00\x00\x01") - 4
    if kind == "url ":
        body = b"url \x00\x00\x00\x00file://" + bytes(second) + b"\0"
    else:
        path = bytes(second) + b"\0" * (len(bytes(second)) % 2)
        record = (
            bytes(10)
            + b"\0"
            + bytes(27 + 12)
            + b"\0"
            + bytes(63 + 16)
            + struct.pack(">hh", -1, -1)
            + bytes(16)
        )
        body = (
            b"alis\x00\x00\x00\x00"
            + record
            + struct.pack(">hH", 2, len(path))
            + path
            + struct.pack(">hH", -1, 0)
        )
    data = bytearray(clean)
    _sizes(data, 0, len(data), place + 4, len(body) + 4 - 12)
    data[place : place + 12] = (len(body) + 4).to_bytes(4, "big") + body
    return bytes(data)


def disguises(folder: Path, second: Path, port: int) -> dict[str, Path]:
    files = {}
    for number, (what, text) in enumerate(texts(second, port).items()):
        files[what] = folder / f"{number}.mp4"
        files[what].write_text(text)
    for kind in ("alis", "url "):
        files[f"QuickTime, a reference of kind {kind.strip()}"] = path = folder / f"{kind.strip()}.mp4"
        path.write_bytes(with_reference(second.read_bytes(), second, kind))
        # Without media of its own, nothing but the other file could be shown.
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat") + 4
        data[start : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start)
        path.write_bytes(data)
    return files


def outcome(path: Path) -> str:
    """The reason for which it is refused, else `done`."""
    source = SourceFile(path=str(path), name=path.name)
    try:
        with build_samples(source, probe_safely(source, PROFILE, DEFAULT_LIMITS), PROFILE):
            return "done"
    except MediaRefused as refusal:
        return refusal.reason


def test_R7_disguised_playlists(
    tmp_path: Path, second: Path, witness: Witness, record: Callable[..., None], full: bool
) -> None:
    files = disguises(tmp_path, second, witness.port)
    outcome(tmp_path / "nothing")
    witness.opened()
    reasons, slowest = {}, 0.0
    for what, path in files.items():
        for name in (path, path.with_suffix(".bin")):
            name.write_bytes(path.read_bytes())
            began = time.monotonic()
            reasons[f"{what}, {name.suffix}"] = outcome(name)
            slowest = max(slowest, time.monotonic() - began)
    sandbox.close()
    opened, visitors = witness.opened(), witness.visitors()
    traced = _trace(list(files.values()), second) if full and shutil.which("strace") else {}
    record(
        "R7",
        "files that name other files",
        faults=len(reasons),
        refused=sum(reason != "done" for reason in reasons.values()),
        second_file_opened=opened,
        connections=visitors,
        slowest_seconds=round(slowest, 2),
        reasons=sorted(set(reasons.values())),
        **traced,
    )
    assert len(files) >= 18
    assert (opened, visitors) == (0, 0)
    assert "done" not in reasons.values()
    assert slowest <= SECONDS
    assert not traced or (traced["strace_second_file"], traced["strace_sockets"]) == (0, 0)


def _trace(files: list[Path], second: Path) -> dict[str, int]:
    """What strace sees of the probe and of ffmpeg, in a process of their own."""
    root = Path(__file__).parents[2]
    log = files[0].with_name("strace.log")
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=open,openat,socket,connect,bind",
        "-o",
        log,
        sys.executable,
        "-c",
        CHILD,
    ]
    subprocess.run([*command, root, *files], check=True, capture_output=True)
    lines = log.read_text(errors="replace").splitlines()
    return {
        "strace_lines": len(lines),
        "strace_second_file": sum(
            second.name in line and re.search(r"= \d+$", line) is not None for line in lines
        ),
        "strace_sockets": sum("AF_INET" in line for line in lines),
    }


def test_R7_the_witness_sees(second: Path, witness: Witness) -> None:
    """FFmpeg that is not held back does follow: what the drill counts can happen."""
    playlist = second.with_name("list.txt")
    playlist.write_text(f"ffconcat version 1.0\nfile '{second}'\n")
    run_ffmpeg("-f", "concat", "-safe", 0, "-i", playlist, "-f", "null", "-")
    assert witness.opened() > 0
    socket.create_connection(("127.0.0.1", witness.port)).close()
    assert witness.visitors() == 1
