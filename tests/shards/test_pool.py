"""The pool: the same results here and in other processes; a killed worker is an error and no hang."""

import os
import signal

import pytest

from unreel.shards.errors import UnreelError
from unreel.shards.pool import Pool


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_gives_its_result(workers: int) -> None:
    with Pool(workers) as pool:
        assert sorted(pool.run(abs, [-3, 2, -1])) == [1, 2, 3]
        assert sorted(pool.run(len, ["a", "bc"])) == [1, 2]
        assert list(pool.run(abs, [])) == []


def test_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with Pool(2) as pool, pytest.raises(UnreelError, match="the same command continues"):
        list(pool.run(signal.raise_signal, [signal.SIGKILL]))


def test_failing_job_is_raised_here() -> None:
    with Pool(2) as pool, pytest.raises(FileNotFoundError):
        list(pool.run(os.stat, ["/nowhere"]))


def test_workers_must_be_at_least_one() -> None:
    with pytest.raises(ValueError, match="workers 0"):
        Pool(0)
