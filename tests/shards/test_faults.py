"""Faults on demand: they strike where and when they are told to, in a process that was started with them."""

import os
import subprocess
import sys

import pytest

from unreel.shards.faults import POINTS, VARIABLE

REACH = """
import sys
from unreel.shards.faults import fault
for point in sys.argv[1:]:
    fault(*point.split("@"))
    print(point)
"""


def reach(planned: str, *points: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {VARIABLE: planned}
    return subprocess.run(
        [sys.executable, "-c", REACH, *points], env=environment, capture_output=True, text=True, check=False
    )


def test_fault_strikes_at_its_count_and_only_there() -> None:
    done = reach("write:2=kill", "write", "source", "write", "write")
    assert (done.returncode, done.stdout.split()) == (-9, ["write", "source"])


def test_fault_of_a_name_strikes_each_time() -> None:
    done = reach("source@bad=ENOSPC", "source@good", "source@a-bad-one")
    assert done.stdout.split() == ["source@good"]
    assert "No space left" in done.stderr


def test_without_the_variable_nothing_fails() -> None:
    assert reach("", *POINTS).returncode == 0


@pytest.mark.parametrize("planned", ["write", "nowhere=kill", "write=boom", "write:x=kill"])
def test_unknown_fault_is_an_error_that_says_the_form(planned: str) -> None:
    done = reach(planned, "write")
    assert done.returncode == 1
    assert "POINT[:COUNT][@TEXT]=ACTION" in done.stderr
