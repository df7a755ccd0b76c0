"""The pipes of a process: drained together, and nothing is left behind."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from unreel.shards.border.limits import Limits
from unreel.shards.errors import MediaRefused
from unreel.shards.making.streams import Streams


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_slow_pipe_does_not_block_the_others() -> None:
    """The process writes 8 MB to one pipe before a word to the other, which is asked for first."""

    def command(pipes: Mapping[str, int]) -> list[str]:
        return python(
            f"import os; f = os.fdopen({pipes['big']}, 'wb'); f.write(bytes(8 << 20)); f.close(); os.write({pipes['word']}, b'done\\n')"
        )

    with closing(Streams(["big", "word"], command)) as running:
        assert running.take_line("word") == "done"
        assert len(running.take("big", 5 << 20)) == 5 << 20
        assert len(running.take("big", 5 << 20)) == 3 << 20
        assert running.take_line("word") is None
        assert running.finish() == {"big": b"", "word": b""}


def test_process_waits_for_its_reader() -> None:
    """What nobody asks for stays in the process: memory does not grow with the length of a source."""

    def command(pipes: Mapping[str, int]) -> list[str]:
        return python(
            f"import os\nfor _ in range(64): os.write({pipes['big']}, bytes(1 << 20)); os.write(2, b'x')"
        )

    with closing(Streams(["big"], command)) as running:
        running.take("big", 1 << 20)
        time.sleep(0.2)
        assert sum(map(len, running._buffers.values())) < 4 << 20


def test_failure_tells_its_first_words_without_addresses() -> None:
    code = "import sys; sys.exit('[h264 @ 0x55d0c0ffee00] broken\\nand more')"
    running = Streams([], lambda pipes: python(code))
    with closing(running), pytest.raises(MediaRefused) as refusal:
        running.finish()
    assert (refusal.value.reason, refusal.value.detail) == ("damaged", "[h264] broken")


def test_stalled_process_is_refused_and_killed() -> None:
    sleeper = Streams(["data"], lambda pipes: python("import time; time.sleep(60)"), limits=Limits(wall=0.3))
    with closing(sleeper) as running:
        with pytest.raises(MediaRefused, match=r"timed-out: .* the limit is 0\.3"):
            running.take("data", 1)
        process = running._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(
    ("code", "limits", "reason"),
    [
        ("while True: pass", Limits(cpu=1), "timed-out: the decode took more seconds of processor time"),
        ("x = bytearray(1 << 30)", Limits(memory=512 << 20), "damaged: Traceback"),
        (
            "sys.exit('Cannot allocate memory')",
            Limits(),
            "too-much-memory: the decode needs more",
        ),
        ("os.abort()", Limits(), "crashed: ffmpeg ended with: Aborted"),
        ("socket.socket()", Limits(), "damaged: Traceback"),
    ],
)
def test_process_is_held_to_its_limits(code: str, limits: Limits, reason: str) -> None:
    running = Streams([], lambda pipes: python(f"import os, socket, sys\n{code}"), limits=limits)
    with closing(running), pytest.raises(MediaRefused, match=reason):
        running.finish()


def test_process_writes_no_file(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'file')!r}, 'wb', 0).write(b'x')"
    running = Streams([], lambda pipes: python(code))
    with closing(running), pytest.raises(MediaRefused, match="damaged: Traceback"):
        running.finish()
    assert (tmp_path / "file").read_bytes() == b""


def test_process_that_gives_too_much_is_stopped() -> None:
    def command(pipes: Mapping[str, int]) -> list[str]:
        return python(f"import os\nwhile True: os.write({pipes['data']}, bytes(1 << 20))")

    running = Streams(["data"], command, limits=Limits(output=8 << 20))
    with closing(running), pytest.raises(MediaRefused, match=r"too-much-output: .* the limit is 8388608"):
        running.take("data", 16 << 20)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with closing(
            Streams(["a", "b"], lambda pipes: python(f"import os; os.write({pipes['a']}, b'x')"))
        ) as running:
            running.take("a", 1)
    with pytest.raises(FileNotFoundError):
        Streams(["a"], lambda pipes: ["/nowhere/ffmpeg"])
    assert len(os.listdir("/proc/self/fd")) == before


def test_process_is_in_our_session_and_leads_a_group_of_its_own() -> None:
    """What ends a session ends it, and what kills its group leaves us alone."""
    with closing(Streams([], lambda _pipes: python("import time; time.sleep(60)"))) as running:
        process = running._process.pid
        assert os.getsid(process) == os.getsid(0)
        assert os.getpgid(process) == process
