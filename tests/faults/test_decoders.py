"""Decoder processes are killed while a loader runs; samples kill them; and a loader runs for a long time."""

import gc
import hashlib
import os
import random
import shutil
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.failures import FailurePolicy
from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.catalogue import Catalogue, recompile_catalogue
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

LIMIT_SECONDS = 10.0
"""Longest time in which a run goes on after a death, or ends with its reason."""


@dataclass(frozen=True)
class Clips:
    """Six frames and 1,000 audio samples from a random start, as they are decoded."""

    name: ClassVar[str] = "clips"

    @property
    def needs(self) -> Needs:
        return Needs(video=True, audio=True)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        assert sidecar.video is not None
        start = int(draws.integers("start", 0, sidecar.video.frames - 6)[0])
        frames = np.arange(start, start + 6, dtype=np.int32)
        return Plan(frames=frames, window=Window(0, 0, 112, 112), sound=Span(start, 1000))

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        assert media.frames is not None and media.audio is not None
        return PretextBatch(
            inputs={"frame": media.frames, "audio": media.audio},
            targets=torch.from_numpy(draws.integers("target", 0, 2)),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )


def loader(catalogue: Catalogue, **settings: Any) -> Loader:
    chosen = {"batch_size": 8, "seed": 7, "split": None, "backend": "packets", **settings}
    return Loader(catalogue, Clips(), **chosen)


def fingerprint(step: Step) -> tuple[object, ...]:
    """What a step gave: order, validity, every pixel and every sound."""
    batch = step.batch
    values = [batch.inputs[name].numpy().tobytes() for name in ("frame", "audio")]
    return (batch.keys, batch.valid.tolist(), batch.targets.tolist(), *map(hash, values))


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.fixture
def shared_memory() -> Iterator[Callable[[], list[str]]]:
    before = set(os.listdir("/dev/shm"))
    yield lambda: sorted(set(os.listdir("/dev/shm")) - before)


def test_R11_killed_decoders_cost_nothing(
    tiny_catalogue: Catalogue,
    full: bool,
    record: Callable[..., None],
    shared_memory: Callable[[], list[str]],
) -> None:
    kills, steps = (30, 120) if full else (3, 12)
    with loader(tiny_catalogue) as unbroken:
        expected = [fingerprint(next(unbroken)) for _ in range(steps)]
    dice = random.Random(11)
    # The first and the last step are among them, and the queue is full at most of them.
    due = {0, steps - 1, *dice.sample(range(1, steps - 1), kills - 2)}
    seen: set[int] = set()
    waits, found = [], []
    with loader(tiny_catalogue, workers=2) as broken:
        for number in range(steps):
            backend: Any = broken.backend
            processes = backend.processes
            seen |= set(processes)
            if number in due and processes:
                kind = dice.choice([signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
                os.kill(dice.choice(processes), kind)
            begun = time.monotonic()
            found.append(fingerprint(next(broken)))
            waits.append(time.monotonic() - begun)
        seen |= set(backend.processes)
    orphans, left = sum(map(is_alive, seen)), shared_memory()
    record(
        "R11",
        "decoder processes killed",
        kills=len(due),
        steps=steps,
        steps_equal=sum(a == b for a, b in zip(found, expected, strict=True)),
        longest_wait_seconds=round(max(waits), 1),
        orphans=orphans,
        left_in_shared_memory=len(left),
    )
    assert found == expected and orphans == 0 and left == []
    assert not full or max(waits) <= LIMIT_SECONDS


def test_R11_a_sample_that_kills_its_decoder_is_quarantined(
    tiny_catalogue: Catalogue, full: bool, record: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("SIGSEGV", "SIGKILL", "SIGABRT") if full else ("SIGSEGV",)
    others_equal, named = [], []
    with loader(tiny_catalogue) as unbroken:
        expected = [next(unbroken) for _ in range(8)]
    culprit = expected[1].batch.keys[3]
    for kind in kinds:
        monkeypatch.setenv("UNREEL_FAULT_DECODE", f'{kind}:"key":"{culprit}"')
        with loader(tiny_catalogue, workers=2, failures=FailurePolicy(share=1.0)) as broken:
            found = [next(broken) for _ in range(8)]
            named.append([name.rpartition("/")[2] for name in broken.failures.quarantine])
        others_equal.append(all(map(same_but_for(culprit), found, expected)))
    record("R11", "sample kills its decoder", kinds=list(kinds), others_equal=others_equal, quarantined=named)
    assert all(others_equal) and named == [[culprit]] * len(kinds)


def same_but_for(culprit: str) -> Callable[[Step, Step], bool]:
    def same(found: Step, expected: Step) -> bool:
        kept = torch.tensor([key != culprit for key in expected.batch.keys])
        frames, wanted = found.batch.inputs["frame"], expected.batch.inputs["frame"]
        return (
            found.batch.keys == expected.batch.keys
            and torch.equal(found.batch.valid, kept)
            and torch.equal(frames[kept], wanted[kept])
            and not frames[~kept].any()
        )

    return same


@pytest.mark.drill
def test_R19_long_run_grows_nothing(
    tiny_catalogue: Catalogue, tmp_path: Path, record: Callable[..., None]
) -> None:
    """20 minutes over one data set, one sample of which holds damaged bytes; `UNREEL_SOAK_SECONDS` changes the length."""
    seconds = float(os.environ.get("UNREEL_SOAK_SECONDS", "1200"))
    harmed = with_one_damaged(tiny_catalogue, tmp_path / "harmed")
    rows = failed = batches = 0
    memory: list[tuple[int, float]] = []
    files: list[int] = []
    policy = FailurePolicy(share=1.0)
    with loader(harmed, batch_size=16, workers=2, failures=policy) as soaked:
        ending = time.monotonic() + seconds
        while time.monotonic() < ending:
            batch = next(soaked).batch
            batches += 1
            rows += len(batch)
            failed += int((~batch.valid).sum())
            if batches % 50 == 0:
                gc.collect()
                memory.append((batches, resident_mib()))
                files.append(len(os.listdir("/proc/self/fd")))
        expected = rows // soaked.samples
    slope = growth(memory[len(memory) // 4 :])
    record(
        "R19",
        "long run",
        seconds=seconds,
        batches=batches,
        rows=rows,
        failed=failed,
        failed_expected=expected,
        mib_per_1000_batches=round(slope, 3),
        open_files=[min(files), max(files)],
    )
    assert abs(failed - expected) <= 1 and slope < 1.0 and max(files) == min(files)


def with_one_damaged(catalogue: Catalogue, folder: Path) -> Catalogue:
    """A copy in which every packet of one clip is damaged, under sums that fit: only a decoder can find it."""
    shutil.copytree(catalogue.folder, folder)
    shard, row = next((shard, row) for shard, _, row in catalogue.rows() if row.audio_samples and row.frames)
    name = catalogue.names[shard]
    tar, index_file = folder / f"{name}.tar", folder / f"{name}.index.json"
    data, index = bytearray(tar.read_bytes()), msgspec.json.decode(index_file.read_bytes())
    sample = next(sample for sample in index["samples"] if sample["key"] == row.key)
    member = next(member for member in sample["members"] if member["name"] == "mp4")
    sidecar = (
        Reader(catalogue).read(shard, [s["key"] for s in index["samples"]].index(row.key), members=()).sidecar
    )
    assert sidecar.video is not None
    packets = sidecar.video.packets
    for start, size in zip(packets.offsets.tolist(), packets.sizes.tolist(), strict=True):
        for at in range(member["offset"] + start, member["offset"] + start + size):
            data[at] ^= 0xFF
    member["crc32"] = zlib.crc32(data[member["offset"] : member["offset"] + member["size"]])
    index["sha256"] = hashlib.sha256(data).hexdigest()
    tar.write_bytes(data)
    index_file.write_bytes(msgspec.json.encode(index))
    recompile_catalogue(folder)
    return Catalogue.open(folder)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(memory: list[tuple[int, float]]) -> float:
    """MiB in 1,000 batches, by least squares."""
    batches, sizes = np.array(memory).T
    return float(np.polyfit(batches / 1000, sizes, 1)[0])
