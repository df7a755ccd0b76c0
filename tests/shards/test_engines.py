"""Engines: the same results here and in other processes; a death costs one job, twice the same source is left out."""

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from unreel.shards.engines import Engine, InlineEngine, LocalEngine, supervise
from unreel.shards.engines.engine import Died, Done, Event
from unreel.shards.engines.supervise import DEATHS
from unreel.shards.errors import CatalogueError, WorkerLost

# Work is imported where it runs, so it stands in a module that workers can find.
WORK = """
import os, signal, subprocess, time
from typing import Self
import msgspec
from unreel.shards.errors import CatalogueError

class Job(msgspec.Struct, frozen=True):
    names: list[str]
    left_out: dict[str, str] = {}
    def without(self, source: str, why: str) -> Self:
        return msgspec.structs.replace(self, left_out={**self.left_out, source: why})

def work(job: Job, note: object) -> list[str]:
    done = []
    for name in job.names:
        if name in job.left_out:
            done.append("left out")
            continue
        note(name)
        done.append(act(name))
    return done

def act(name: str) -> str:
    kind, _, rest = name.partition(" ")
    if kind == "signal":
        os.kill(os.getpid(), int(rest))
    if kind == "once" and not os.path.exists(rest):
        open(rest, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "missing":
        os.stat("/nowhere")
    if kind == "catalogue":
        raise CatalogueError("as said")
    if kind == "bug":
        raise KeyError(name)
    if kind == "child":
        child = subprocess.Popen(["sleep", "600"], process_group=0)
        open(rest, "w").write(str(child.pid))
        time.sleep(600)
    return name.upper()
"""

Make = Callable[[], AbstractContextManager[Engine]]


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "engine_tasks.py").write_text(textwrap.dedent(WORK))
    monkeypatch.syspath_prepend(str(tmp_path))
    import engine_tasks

    yield engine_tasks
    del sys.modules["engine_tasks"]


def ends(process: int) -> bool:
    """A process that was sent a signal is not gone at once."""
    until = time.monotonic() + 5
    while alive(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(process)


def alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("make", [InlineEngine, lambda: LocalEngine(1), lambda: LocalEngine(2)])
def test_every_job_gives_its_result(make: Make, tasks: ModuleType) -> None:
    jobs = [tasks.Job(["a", "b"]), tasks.Job([]), tasks.Job(["c"])]
    with make() as engine:
        assert sorted(supervise(engine, tasks.work, jobs)) == [[], ["A", "B"], ["C"]]
        assert list(supervise(engine, tasks.work, [])) == []


@pytest.mark.parametrize("make", [InlineEngine, lambda: LocalEngine(2)])
def test_what_a_job_raises_is_raised_here(make: Make, tasks: ModuleType) -> None:
    for name, error, text in (
        ("missing", FileNotFoundError, "/nowhere"),
        ("catalogue", CatalogueError, "as said"),
        ("bug", RuntimeError, "Traceback"),
    ):
        with make() as engine, pytest.raises(error, match=text):
            list(supervise(engine, tasks.work, [tasks.Job([name])]))


def test_job_of_a_killed_worker_is_done_again(tasks: ModuleType, tmp_path: Path) -> None:
    job = tasks.Job(["a", f"once {tmp_path}/died", "b"])
    with LocalEngine(2) as engine:
        results = list(supervise(engine, tasks.work, [job, tasks.Job(["c"])]))
    assert sorted(results) == [["A", f"ONCE {tmp_path}/DIED".upper(), "B"], ["C"]]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_source_that_kills_twice_is_left_out_and_the_others_are_not(
    number: signal.Signals, tasks: ModuleType
) -> None:
    jobs = [tasks.Job(["a", f"signal {int(number)}", "b"]), tasks.Job(["c"])]
    with LocalEngine(2) as engine:
        assert sorted(supervise(engine, tasks.work, jobs)) == [["A", "left out", "B"], ["C"]]


class Scripted(InlineEngine):
    """An engine whose processes die as they are told to."""

    def __init__(self, deaths: list[Died]) -> None:
        super().__init__()
        self._deaths = deaths

    def wait(self) -> Event:  # type: ignore[override]
        if self._deaths:
            self._job = None
            return self._deaths.pop(0)
        return super().wait()


def test_lost_machine_is_no_fault_of_a_source(tasks: ModuleType) -> None:
    lost = [Died(0, "a", "the machine is gone", blame=False)] * (DEATHS + 1)
    assert list(supervise(Scripted(lost), tasks.work, [tasks.Job(["a"])])) == [["A"]]


def test_workers_that_die_before_they_begin_end_the_build(tasks: ModuleType) -> None:
    lost = [Died(0, "", "no such module", blame=True)] * 9
    with pytest.raises(WorkerLost, match="no such module"):
        list(supervise(Scripted(lost), tasks.work, [tasks.Job(["a"])]))


def test_leaving_the_engine_ends_workers_and_what_they_started(tasks: ModuleType, tmp_path: Path) -> None:
    with LocalEngine(1) as engine:
        engine.submit(0, "engine_tasks:work", msgspec.msgpack.encode(tasks.Job([f"child {tmp_path}/pid"])))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        assert alive(int((tmp_path / "pid").read_text()))
    assert ends(int((tmp_path / "pid").read_text()))


def test_death_takes_along_what_the_worker_has_started(tasks: ModuleType, tmp_path: Path) -> None:
    with LocalEngine(1) as engine:
        engine.submit(3, "engine_tasks:work", msgspec.msgpack.encode(tasks.Job([f"child {tmp_path}/pid"])))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        child = int((tmp_path / "pid").read_text())
        worker = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)
        assert engine.wait() == Died(3, f"child {tmp_path}/pid", "Killed", blame=True)
        assert ends(child)


def test_done_and_died_tell_which_job(tasks: ModuleType) -> None:
    with LocalEngine(1) as engine:
        engine.submit(7, "engine_tasks:work", msgspec.msgpack.encode(tasks.Job(["a"])))
        assert not engine.has_room
        event = engine.wait()
        assert isinstance(event, Done)
        assert (event.ticket, engine.has_room) == (7, True)


def test_workers_must_be_at_least_one() -> None:
    with pytest.raises(ValueError, match="workers 0"):
        LocalEngine(0)
