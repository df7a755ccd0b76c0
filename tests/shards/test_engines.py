"""Engines: the same results here and in other processes; a killed worker is an error and no hang."""

import os
import signal

import pytest

from unreel.shards.engines import LocalEngine
from unreel.shards.errors import UnreelError


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_gives_its_result(workers: int) -> None:
    with LocalEngine(workers) as engine:
        assert sorted(engine.run(abs, [-3, 2, -1])) == [1, 2, 3]
        assert sorted(engine.run(len, ["a", "bc"])) == [1, 2]
        assert list(engine.run(abs, [])) == []


def test_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with LocalEngine(2) as engine, pytest.raises(UnreelError, match="the same command continues"):
        list(engine.run(signal.raise_signal, [signal.SIGKILL]))


def test_failing_job_is_raised_here() -> None:
    with LocalEngine(2) as engine, pytest.raises(FileNotFoundError):
        list(engine.run(os.stat, ["/nowhere"]))


def test_workers_must_be_at_least_one() -> None:
    with pytest.raises(ValueError, match="workers 0"):
        LocalEngine(0)
