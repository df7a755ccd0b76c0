"""R3 and R4: a run that goes on elsewhere sees what it would have seen, from every position and in any world."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from unreel.shards.catalogue import Catalogue, compile_catalogue

CHILD = Path(__file__).with_name("resume_child.py")
spec = importlib.util.spec_from_file_location("resume_child", CHILD)
assert spec is not None and spec.loader is not None
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)

POSITIONS = 40
LARGEST_STATE = 64 * 1024


@pytest.fixture(scope="module")
def folders(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The tiny data set, and one shard of it as another data set."""
    other = tmp_path_factory.mktemp("other")
    for path in tiny_catalogue.folder.glob("tiny-2*"):
        shutil.copy(path, other)
    compile_catalogue(other, identity=tiny_catalogue.identity, profile={})
    return [str(tiny_catalogue.folder), str(other)]


def elsewhere(requests: list[dict[str, Any]]) -> list[Any]:
    """What a fresh process says to `requests`."""
    done = subprocess.run(
        [sys.executable, CHILD], input=json.dumps(requests), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def unbroken(folders: list[str], setting: str, steps: int) -> tuple[list[str], list[Any]]:
    """The state before each step as it would lie on disk, and what each step gives."""
    states, given = [], []
    with child.open_loader(folders, setting) as loader:
        for _ in range(steps):
            states.append(json.dumps(loader.state_dict()))
            given.append(json.loads(json.dumps(child.describe(next(loader)))))
    return states, given


def test_R3_each_of_40_positions_is_taken_up_by_a_fresh_process(
    folders: list[str], full: bool, record: Callable[..., None]
) -> None:
    runs = {setting: unbroken(folders, setting, POSITIONS) for setting in child.SETTINGS}
    rest = POSITIONS if full else 1
    requests = [
        {
            "folders": folders,
            "setting": setting,
            "state": json.loads(state),
            "steps": min(rest, POSITIONS - n),
            "process": n,
        }
        for setting, (states, _) in runs.items()
        for n, state in enumerate(states)
    ]
    answers = iter(_answers(requests, full))
    for setting, (states, given) in runs.items():
        found = list(islice(answers, POSITIONS))
        equal = [rows == given[n : n + len(rows)] for n, rows in enumerate(found)]
        largest = max(map(len, states))
        record(
            "R3", f"the process ends before each step ({setting})", positions=POSITIONS, equal=sum(equal),
            steps_compared=sum(map(len, found)), largest_state_bytes=largest,
        )  # fmt: skip
        assert all(equal) and largest <= LARGEST_STATE
        assert [len(rows) for rows in found] == [min(rest, POSITIONS - n) for n in range(POSITIONS)]
        # The ends of epochs were met: samples came again, at other random numbers.
        assert len({row for _, _, rows, _ in given for row in rows}) > 36


def test_R4_another_world_size_goes_on_with_the_same_batches(
    folders: list[str], full: bool, record: Callable[..., None]
) -> None:
    steps, saved_at = (36, (0, 5, 9, 18)) if full else (9, (7,))
    runs = {setting: unbroken(folders, setting, steps)[1] for setting in child.SETTINGS}
    resumes = [
        (setting, before, world) for setting in child.SETTINGS for before in saved_at for world in (1, 2, 4)
    ]
    states = {
        (setting, before): _state_at_world_2(folders, setting, before)
        for setting in child.SETTINGS
        for before in saved_at
    }
    requests = [
        {
            "folders": folders,
            "setting": setting,
            "state": states[setting, before],
            "rank": rank,
            "world": world,
        }
        | {"steps": steps - before, "process": f"{rank} of {world}"}
        for setting, before, world in resumes
        for rank in range(world)
    ]
    answers, wrong = iter(_answers(requests, full)), dict.fromkeys(child.SETTINGS, 0)
    for setting, before, world in resumes:
        ranks = zip(*islice(answers, world), strict=True)
        for parts, whole in zip(ranks, runs[setting][before:], strict=True):
            wrong[setting] += _joined(parts) != whole[:3]
    record(
        "R4", "saved at world 2, taken up at 1, 2 and 4", resumes=len(resumes), settings=list(wrong),
        steps_compared=len(wrong) * 3 * sum(steps - n for n in saved_at), steps_that_differ=sum(wrong.values()),
    )  # fmt: skip
    assert not any(wrong.values())
    # 36 samples in batches of 8: two epochs are nine steps.
    keys = [key for _, keys, *_ in runs["plain"][:9] for key in keys]
    assert len(set(keys[:36])) == len(set(keys[36:72])) == 36


def _answers(requests: list[dict[str, Any]], full: bool) -> list[Any]:
    """In full each `process` is one of its own; in the small form one process takes up all states."""
    groups: dict[object, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault(request["process"] if full else 0, []).append(number)
    found = [
        pair
        for numbers in groups.values()
        for pair in zip(numbers, elsewhere([requests[number] for number in numbers]), strict=True)
    ]
    return [answer for _, answer in sorted(found)]


def _state_at_world_2(folders: list[str], setting: str, steps: int) -> dict[str, Any]:
    """The state after `steps` steps of two ranks; both hold the same but for what failed on the rank."""
    states = []
    for rank in range(2):
        with child.open_loader(folders, setting, rank=rank, world=2) as loader:
            list(islice(loader, steps))
            states.append(json.loads(json.dumps(loader.state_dict())))
    assert states[0] | {"failures": None} == states[1] | {"failures": None}
    return states[0]


def _joined(parts: tuple[Any, ...]) -> list[Any]:
    """The step of all ranks: ids and random numbers in the order of the ranks."""
    [number] = {part[0] for part in parts}
    return [number, [key for part in parts for key in part[1]], [row for part in parts for row in part[2]]]
