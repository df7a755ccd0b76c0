"""The Ray engine on one node: the same bytes as here, a death reported with its source, nothing left running."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")

WORK = """
import os
import msgspec

class Job(msgspec.Struct, frozen=True):
    names: list[str]
    left_out: list[str] = []
    def without(self, source, why):
        return msgspec.structs.replace(self, left_out=[*self.left_out, source])

def work(job: Job, note: object) -> list[str]:
    done = []
    for name in job.names:
        if name in job.left_out:
            done.append("left out")
            continue
        note(name)
        if name.startswith("signal"):
            os.kill(os.getpid(), int(name.split()[1]))
        if name == "missing":
            os.stat("/nowhere")
        done.append(name.upper())
    return done
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    (tmp_path / "ray_tasks.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    import ray_tasks

    yield ray_tasks
    del sys.modules["ray_tasks"]


def test_deaths_are_counted_failures_raised_and_sigterm_given_back(tasks: object) -> None:
    from unreel.shards.engines import supervise
    from unreel.shards.engines.ray import RayEngine

    former = signal.getsignal(signal.SIGTERM)
    jobs = [tasks.Job(["a", f"signal {int(signal.SIGSEGV)}", "b"]), tasks.Job(["c"])]  # type: ignore[attr-defined]
    with RayEngine(workers=2) as engine:
        assert signal.getsignal(signal.SIGTERM) is former
        assert sorted(supervise(engine, tasks.work, jobs)) == [["A", "left out", "B"], ["C"]]  # type: ignore[attr-defined]
        with pytest.raises(FileNotFoundError, match="/nowhere"):
            list(supervise(engine, tasks.work, [tasks.Job(["missing"])]))  # type: ignore[attr-defined]


def test_cluster_has_the_cores_that_it_has() -> None:
    from unreel.shards.engines.ray import RayEngine

    with pytest.raises(ValueError, match="a cluster has the cores"):
        RayEngine("127.0.0.1:1", workers=3)
