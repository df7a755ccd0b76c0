"""R1, R10-R14 of the builder: killed, out of room, stopped, doubled and in another time, it ends with the same bytes."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.shards.conftest import run_ffmpeg
from unreel.shards import faults
from unreel.shards.build import build
from unreel.shards.engines import LocalEngine
from unreel.shards.errors import WriteFailed
from unreel.shards.faults import VARIABLE

SHARD_BYTES = 100_000
POINTS = ("temp-open:2", "mid-member:4", "before-fsync:2", "after-rename:6", "mid-manifest:6")
"""One of each named point, in the middle of the build."""
BUILD = f"""
import sys
from unreel.shards.build import build
build([sys.argv[1]], sys.argv[2], workers=int(sys.argv[3]), shard_bytes={SHARD_BYTES})
"""

Record = Callable[..., None]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of different content, every other with sound."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        picture = f"testsrc2=s=160x120:r=25:d={1.5 + number / 5},hue=h={60 * number}"
        sound = ["-f", "lavfi", "-i", f"sine=f={300 + 100 * number}:d=2", "-shortest"] if number % 2 else []
        codecs = ("-c:v", "libx264", "-c:a", "aac")
        run_ffmpeg("-f", "lavfi", "-i", picture, *sound, *codecs, folder / f"video {number}.mp4")
    return folder


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that nothing went wrong with."""
    folder = tmp_path_factory.mktemp("whole")
    build([videos], folder, shard_bytes=SHARD_BYTES)
    return folder


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`fail("write:3=ENOSPC")` plans a fault in this process; `fail("")` none."""

    def plan(text: str) -> None:
        monkeypatch.setattr(faults, "_FAULTS", faults._parse(text))
        faults._REACHED.clear()

    yield plan
    faults._REACHED.clear()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def start(
    videos: Path, out: Path, *, workers: int = 1, fault: str = "", code: str = BUILD
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, str(videos), str(out), str(workers)]
    return subprocess.Popen(command, env=os.environ | {VARIABLE: fault}, stderr=subprocess.PIPE, text=True)


def command(videos: Path, out: Path) -> "subprocess.Popen[str]":
    words = ["build", str(videos), str(out), "--workers", "2", "--shard-bytes", str(SHARD_BYTES)]
    program = [sys.executable, "-m", "unreel.tools.cli", *words]
    return subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def wait_for_work(process: "subprocess.Popen[str]", out: Path, already: int) -> None:
    """Return when a shard more than before is there or begun."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if len(list(out.glob(".*.partial"))) or len(list(out.glob("*.index.json"))) > already:
            return
        time.sleep(0.002)


def wrong_finals(out: Path, whole: Path) -> int:
    """Files of shards under their final names that are not what they will be in the end."""
    names = [path.name for path in out.glob("shard-*")]
    return sum((out / name).read_bytes() != (whole / name).read_bytes() for name in names)


def committed(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*.index.json")}


def children_about(folder: Path) -> list[str]:
    """Command lines of running ffmpegs and workers that name `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "ffmpeg" in line:
            found.append(line)
    return found


def test_R1_killed_at_any_moment(
    videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record
) -> None:
    rng, wrong, redone, unequal, killed = random.Random(0), 0, 0, 0, 0
    rounds = 20 if full else 1
    for number in range(rounds):
        workers = 2 - number % 2
        out = tmp_path / f"random-{number}"
        process = start(videos, out, workers=workers)
        wait_for_work(process, out, 0)
        time.sleep(rng.uniform(0, 0.6))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        wrong += wrong_finals(out, whole)
        before = committed(out)
        build([videos], out, workers=1, shard_bytes=SHARD_BYTES)
        redone += sum(committed(out)[name] != when for name, when in before.items())
        unequal += contents(out) != contents(whole)
    for point in POINTS if full else POINTS[3:4]:
        out = tmp_path / point.replace(":", "-")
        process = start(videos, out, fault=f"{point}=kill")
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        wrong += wrong_finals(out, whole)
        before = committed(out)
        build([videos], out, shard_bytes=SHARD_BYTES)
        redone += sum(committed(out)[name] != when for name, when in before.items())
        unequal += contents(out) != contents(whole)
    points = len(POINTS) if full else 1
    record(
        "R1",
        "kill -9 of the builder at random moments and at named points",
        kills=killed,
        trees=rounds + points,
        unequal_trees=unequal,
        partial_files_under_a_final_name=wrong,
        committed_shards_redone=redone,
    )
    assert killed >= points
    assert (unequal, wrong, redone) == (0, 0, 0)


def test_R10_no_room(
    videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record, fail: Callable[[str], None]
) -> None:
    numbers = range(1, 41) if full else (1, 7, 23)
    unclear, damaged, unequal = 0, 0, 0
    for number in numbers:
        out, kind = tmp_path / f"out-{number}", ("ENOSPC", "EDQUOT", "EROFS")[number % 3]
        fail(f"write:{number}={kind}")
        with pytest.raises(WriteFailed) as failed:
            build([videos], out, shard_bytes=SHARD_BYTES)
        said = str(failed.value)
        reason = os.strerror(getattr(errno, kind))
        unclear += not (
            str(out) in said and reason in said and "bytes were to be written" in said and "\n" not in said
        )
        damaged += wrong_finals(out, whole) + len(list(out.glob(".*.partial")))
        fail("")
        build([videos], out, shard_bytes=SHARD_BYTES)
        unequal += contents(out) != contents(whole)
    record(
        "R10",
        "the n-th write fails: disk full, over quota, read-only",
        failed_writes=len(numbers),
        unclear_messages=unclear,
        damaged_or_left_files=damaged,
        unequal_trees_after_rerun=unequal,
    )
    assert (unclear, damaged, unequal) == (0, 0, 0)


def test_R10_limit_on_file_sizes_as_a_command(
    videos: Path, whole: Path, tmp_path: Path, record: Record
) -> None:
    words = ["build", str(videos), str(tmp_path / "out"), "--workers", "2", "--shard-bytes", str(SHARD_BYTES)]
    limit = ["prlimit", "--fsize=60000", sys.executable, "-m", "unreel.tools.cli", *words]
    done = subprocess.run(limit, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    wrong = wrong_finals(tmp_path / "out", whole)
    build([videos], tmp_path / "out", shard_bytes=SHARD_BYTES)
    equal = contents(tmp_path / "out") == contents(whole)
    record(
        "R10", "RLIMIT_FSIZE, the whole command", code=done.returncode, damaged=wrong, equal_after_rerun=equal
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in " ".join(lines)
    assert (wrong, equal) == (0, True)


def test_R11_workers_of_the_builder_die(
    videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record
) -> None:
    """A source that kills is left out and named; workers that are killed from outside change nothing."""
    culprit = "video 3"
    os.environ[VARIABLE] = f"source@{culprit}=segv"
    try:
        with LocalEngine(2) as engine:
            summary = build([videos], tmp_path / "culprit", engine=engine, shard_bytes=SHARD_BYTES)
    finally:
        del os.environ[VARIABLE]
    named = [Path(report.source).stem for report in summary.reports if report.reason == "kills-workers"]
    others = tmp_path / "others"
    shutil.copytree(videos, others, ignore=lambda _, names: [name for name in names if culprit in name])
    build([others], tmp_path / "without", shard_bytes=SHARD_BYTES)
    shards = [
        {
            name: data
            for name, data in contents(tmp_path / folder).items()
            if name.endswith((".tar", ".index.json"))
        }
        for folder in ("culprit", "without")
    ]
    killed = _kill_workers(videos, tmp_path / "killed", 10 if full else 1)
    equal = contents(tmp_path / "killed") == contents(whole)
    record(
        "R11",
        "a source kills its workers; workers of the builder are killed from outside",
        named=named,
        others_equal=shards[0] == shards[1],
        killed_from_outside=killed,
        equal_tree=equal,
    )
    assert named == [culprit]
    assert shards[0] == shards[1]
    assert killed >= 1
    assert equal


def _kill_workers(videos: Path, out: Path, most: int) -> int:
    """Kill each worker once at most at a source, so that no source is held to be the cause."""
    rng, killed, seen = random.Random(1), 0, set[str]()
    with LocalEngine(2) as engine:

        def strike(stage: str, done: int, _total: int) -> None:
            nonlocal killed
            for worker in list(engine._busy.values()):
                if stage == "build" and killed < most and worker._note not in seen and rng.random() < 0.7:
                    seen.add(worker._note)
                    os.kill(worker._process.pid, signal.SIGKILL)
                    killed += 1

        build([videos], out, engine=engine, shard_bytes=SHARD_BYTES, progress=strike)
    return killed


def test_R12_asked_to_stop(videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record) -> None:
    rng, wrong_codes, left, orphans, unequal, slowest = random.Random(2), 0, 0, 0, 0, 0.0
    rounds = 20 if full else 1
    for number in range(rounds):
        out, kind = tmp_path / f"out-{number}", (signal.SIGTERM, signal.SIGINT)[number % 2]
        twice = number % 4 == 3
        process = command(videos, out)
        wait_for_work(process, out, 0)
        time.sleep(rng.uniform(0, 0.6))
        asked, running = time.monotonic(), process.poll() is None
        process.send_signal(kind)
        if twice:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        slowest = max(slowest, time.monotonic() - asked)
        wrong_codes += running and process.returncode not in (
            128 + kind,
            128 + signal.SIGTERM if twice else 128 + kind,
            0,
        )
        left += 0 if twice else len(list(out.glob(".*.partial")))
        time.sleep(0.3)
        orphans += len(children_about(videos))
        build([videos], out, shard_bytes=SHARD_BYTES)
        unequal += contents(out) != contents(whole)
    record(
        "R12",
        "SIGTERM and SIGINT at random moments, twice in a quarter of them",
        signals=rounds,
        slowest_seconds=round(slowest, 1),
        wrong_exit_codes=wrong_codes,
        half_written_files_left=left,
        orphans=orphans,
        unequal_trees_after_rerun=unequal,
    )
    assert (wrong_codes, left, orphans, unequal) == (0, 0, 0, 0)
    assert slowest < 10


RACE = f"""
import os, sys, time
from pathlib import Path
from unreel.shards.build import build
from unreel.shards.errors import CatalogueError
Path(sys.argv[2] + f".ready-{{os.getpid()}}").touch()
while not os.path.exists(sys.argv[2] + ".go"):
    time.sleep(0.001)
started = time.monotonic()
try:
    build([sys.argv[1]], sys.argv[2], shard_bytes={SHARD_BYTES})
except CatalogueError as error:
    print(time.monotonic() - started, error, file=sys.stderr)
    sys.exit(7)
"""


def test_R13_several_builders_in_one_folder(
    videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record
) -> None:
    refused, winners, unnamed, unequal, slowest = 0, [], 0, 0, 0.0
    rounds = 10 if full else 1
    for number in range(rounds):
        out, several = tmp_path / f"out-{number}", 5 if number % 2 else 2
        processes = [start(videos, out, code=RACE) for _ in range(several)]
        while len(list(tmp_path.glob(f"{out.name}.ready-*"))) < several:
            time.sleep(0.01)
        Path(f"{out}.go").touch()
        said = [process.communicate()[1] for process in processes]
        codes = [process.returncode for process in processes]
        winners.append(codes.count(0))
        refused += codes.count(7)
        for code, text in zip(codes, said, strict=True):
            if code == 7:
                slowest = max(slowest, float(text.split()[0]))
                unnamed += not ("process " in text or "just started" in text)
        unequal += contents(out) != contents(whole)
    record(
        "R13",
        "two and five builders started on one folder at the same moment",
        rounds=rounds,
        rounds_with_one_writer=winners.count(1),
        refused=refused,
        refusals_without_a_name=unnamed,
        slowest_refusal_seconds=round(slowest, 2),
        unequal_trees=unequal,
    )
    assert winners == [1] * rounds
    assert (unnamed, unequal) == (0, 0)
    assert slowest < 2


CLOCK = """
import datetime, itertools, sys, time
real, count = time.time, itertools.count()
shift = {{"day-back": -86400.0, "ten-years": 3.2e8}}.get({0!r}, 0.0)
time.time = lambda: real() + shift - (next(count) * 60.0 if {0!r} == "backwards" else 0.0)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_R14_clocks_and_zones(videos: Path, whole: Path, tmp_path: Path, full: bool, record: Record) -> None:
    cases = {
        "day-back": "UTC",
        "ten-years": "Asia/Kathmandu",
        "backwards": "America/St_Johns",
        "dst": "Europe/Berlin",
    }
    unequal = 0
    chosen = dict(list(cases.items())[: None if full else 1])
    for case, zone in chosen.items():
        out = tmp_path / case
        code = CLOCK.format(case) + BUILD
        run = [sys.executable, "-c", code, str(videos), str(out), "1"]
        if case == "dst" and shutil.which("faketime"):
            # Two seconds before the hour that is skipped, for every program that the builder starts as well.
            run = ["faketime", "--exclude-monotonic", "2027-03-28 01:59:58", *run]
        subprocess.run(run, env=os.environ | {"TZ": zone}, check=True)
        unequal += contents(out) != contents(whole)
    record(
        "R14",
        "a clock a day back, ten years ahead, running backwards, and the hour that is skipped",
        cases=list(chosen),
        unequal_trees=unequal,
    )
    assert unequal == 0


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore")
def test_R11_machine_of_a_ray_cluster_is_lost(
    videos: Path, whole: Path, tmp_path: Path, record: Record
) -> None:
    """In a process of its own: Ray leaves threads and warnings behind."""
    pytest.importorskip("ray")
    script = Path(__file__).with_name("ray_child.py")
    run = [sys.executable, str(script), str(videos), str(tmp_path / "out"), str(SHARD_BYTES)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=280)
    figures = json.loads(done.stdout.splitlines()[-1])
    equal = contents(tmp_path / "out") == contents(whole)
    record("R11", "one of two machines of a Ray cluster is lost in the middle", **figures, equal_tree=equal)
    assert figures["machines_lost"] == 1
    assert equal
