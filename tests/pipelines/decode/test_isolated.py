"""Processes of their own: the same pixels and sound; a crash costs one sample, and nobody is left behind."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from unreel.pipelines.decode import make_backend
from unreel.pipelines.decode.isolated import Isolated
from unreel.pipelines.plan import Plan, Span, Window
from unreel.shards.errors import DecoderKilled


def plan(start: int) -> Plan:
    frames = np.arange(start, start + 5, dtype=np.int32)
    return Plan(frames=frames, window=Window(3, 5, 48, 56), sound=Span(start * 1000, 4_000))


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    backend = Isolated(make_backend("packets", threads=1), workers=2)
    yield backend
    backend.close()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_same_pixels_and_sound_as_in_this_process(isolated, mixed) -> None:
    samples, plans = [clip.sample for clip in mixed], [plan(i) for i in range(len(mixed))]
    direct = make_backend("packets", threads=1)
    try:
        expected = direct.decode(samples, plans)
    finally:
        direct.close()
    found = isolated.decode(samples, plans)
    assert not found.failures and (isolated.name, isolated.version) == ("packets", direct.version)
    assert np.array_equal(found.frames, expected.frames) and np.array_equal(found.audio, expected.audio)


def test_bad_sample_fails_alone_and_kills_nobody(isolated, mixed) -> None:
    samples, plans = [clip.sample for clip in mixed[:4]], [plan(0), plan(0), plan(500), plan(0)]
    processes = set(isolated.processes)
    found = isolated.decode(samples, plans)
    assert list(found.failures) == [2] and not found.frames[2].any() and found.frames[3].any()
    assert set(isolated.processes) == processes


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGSTOP"])
def test_sample_that_kills_its_decoder_is_quarantined_and_the_others_are_right(
    name: str, mixed, monkeypatch
) -> None:
    culprit = mixed[1].sample
    monkeypatch.setenv("UNREEL_FAULT_DECODE", f'{name}:"{culprit.sidecar.key}"')
    monkeypatch.setattr("unreel.pipelines.decode.isolated.SILENT_SECONDS", 0.5)
    backend = Isolated(make_backend("packets", threads=1), workers=1)
    try:
        for _ in range(2):
            found = backend.decode([clip.sample for clip in mixed[:3]], [plan(0)] * 3)
            error = found.failures[1]
            assert list(found.failures) == [1] and isinstance(error.__cause__, DecoderKilled)
            assert culprit.sidecar.key in str(error) and found.frames[0].any() and found.frames[2].any()
        assert backend.deaths == {f"{culprit.shard}/{culprit.sidecar.key}": 2}
        processes = backend.processes
    finally:
        backend.close()
    assert not any(map(alive, processes))


def test_process_killed_from_outside_costs_nothing(isolated, mixed) -> None:
    samples, plans = [clip.sample for clip in mixed] * 4, [plan(i % 12) for i in range(48)]
    expected = isolated.decode(samples, plans)
    victim = isolated.processes[0]
    killer = threading.Timer(0.05, os.kill, (victim, signal.SIGKILL))
    killer.start()
    found = isolated.decode(samples, plans)
    killer.join()
    again = isolated.decode(samples, plans)
    for result in (found, again):
        assert not result.failures and np.array_equal(result.frames, expected.frames)
    assert victim not in isolated.processes


def test_a_process_ends_with_its_owner(mixed, tmp_path) -> None:
    import subprocess
    import sys

    code = (
        "import os\n"
        "from unreel.pipelines.decode import make_backend\n"
        "from unreel.pipelines.decode.isolated import Isolated\n"
        "print(*Isolated(make_backend('packets', threads=1), workers=1).processes, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    children = [int(number) for number in told.stdout.split()]
    deadline = time.monotonic() + 20
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children and not any(map(alive, children))


def test_no_worker_is_an_error() -> None:
    backend = make_backend("packets", threads=1)
    with pytest.raises(ValueError, match="workers 0"):
        Isolated(backend, workers=0)
    backend.close()
