"""Drills: `full` says how much of them runs, `record` notes their figures for the table and for `faults.json`."""

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unreel.shards.border import isolation, sandbox

RESULTS: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
# A full drill may take so long; the fast form keeps the suite's own limit.
DRILL_SECONDS = 1800
_LOOK_EVERY = 0.01


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    full = config.getoption("--drills")
    for item in items:
        if full:
            item.add_marker(pytest.mark.timeout(DRILL_SECONDS))
        elif item.get_closest_marker("drill"):
            item.add_marker(pytest.mark.skip(reason="runs under make faults"))


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """True for the drills in full, False for the small form that is a part of `make test`."""
    return bool(pytestconfig.getoption("--drills"))


@pytest.fixture
def record(request: pytest.FixtureRequest, full: bool) -> Callable[..., None]:
    """`record("R5", "mutated media", faults=70, accepted=0)`: one line of the result."""

    def note(drill: str, what: str, /, **figures: object) -> None:
        result = {"drill": drill, "what": what, "full": full, "test": request.node.nodeid, "figures": figures}
        request.config.stash[RESULTS].append(result)

    return note


def _follow(process: int, peaks: list[int]) -> None:
    """Note the largest resident memory of a process until it ends."""
    status = Path(f"/proc/{process}/status")
    with suppress(OSError, IndexError):
        while True:
            peaks.append(int(status.read_text().split("VmHWM:")[1].split()[0]) >> 10)
            time.sleep(_LOOK_EVERY)


@pytest.fixture
def peak_mib(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """`peak_mib()`: the largest resident memory of the processes that opened a source since the test began."""
    peaks = [0]

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *command: Any, **settings: Any) -> None:
            super().__init__(*command, **settings)
            # Not the usage that `wait4` gives: that of a child includes what its parent had before the start.
            threading.Thread(target=_follow, args=(self.pid, peaks), daemon=True).start()

    def largest() -> int:
        time.sleep(2 * _LOOK_EVERY)
        sandbox.close()
        return max(peaks)

    sandbox.close()
    monkeypatch.setattr(isolation.subprocess, "Popen", Watched)
    return largest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        for result in item.config.stash[RESULTS]:
            if result["test"] == item.nodeid:
                result |= {"outcome": report.outcome, "seconds": round(report.duration, 1)}
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section("faults")
    for result in results:
        terminalreporter.write_line("FAULT " + msgspec.json.encode(result).decode())
    if config.getoption("--drills"):
        config.rootpath.joinpath("faults.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
