"""The recording of the drills itself: figures and outcomes arrive, and a drill in full is not run by `make test`."""

from pathlib import Path

import msgspec
import pytest

pytest_plugins = ["pytester"]

DRILLS = """
import pytest

def test_R0_holds(record, full):
    record("R0", "nothing", faults=3 if full else 1, accepted=0)

def test_R0_breaks(record):
    record("R0", "everything", accepted=7)
    assert False

@pytest.mark.drill
def test_R0_only_in_full(record):
    record("R0", "long", faults=9)
"""
OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--drills", action="store_true")
"""


@pytest.fixture
def drills(pytester: pytest.Pytester) -> pytest.Pytester:
    here = Path(__file__).parent
    pytester.makeini("[pytest]\nmarkers =\n  drill: in full only\n  timeout(seconds): limit")
    pytester.makeconftest(OPTIONS + (here / "conftest.py").read_text())
    pytester.makepyfile(DRILLS)
    return pytester


def test_fast_form_prints_one_line_a_record(drills: pytest.Pytester) -> None:
    result = drills.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    lines = [line[6:] for line in result.outlines if line.startswith("FAULT ")]
    found = [msgspec.json.decode(line) for line in lines]
    assert [(entry["figures"], entry["outcome"]) for entry in found] == [
        ({"faults": 1, "accepted": 0}, "passed"),
        ({"accepted": 7}, "failed"),
    ]
    assert not (drills.path / "faults.json").exists()


def test_full_form_runs_all_and_writes_the_file(drills: pytest.Pytester) -> None:
    drills.runpytest("--drills", "-p", "no:cacheprovider").assert_outcomes(passed=2, failed=1)
    found = msgspec.json.decode((drills.path / "faults.json").read_bytes())
    assert [entry["figures"].get("faults") for entry in found] == [3, None, 9]
