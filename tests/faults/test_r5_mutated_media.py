"""R5: mutated media. Nothing dies, nothing hangs, all of it is accounted for, and what damage gets through is counted."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.shards.conftest import run_ffmpeg
from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.shards.border.probe import SKIPPED
from unreel.shards.border.sandbox import probe_safely
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.source_file import SourceFile
from unreel.shards.making.profiles import PROFILES
from unreel.shards.making.samples import build_samples

PROFILE = PROFILES["mixed"]
SECONDS, MIB = 20.0, 512
PICTURE = "testsrc2=s=64x64:r=25:d=2,noise=alls=20:allf=t:all_seed=5,format=yuv420p"
SOUND = "aevalsrc=0.3*sin(500*t*t)+0.2*sin(2000*t):d=2:s=48000"
FORMATS = {
    "mp4": ("libx264", "aac"),
    "webm": ("libvpx-vp9", "libopus"),
    "mkv": ("libx265", "flac"),
    "avi": ("mpeg4", "libmp3lame"),
    "mpg": ("mpeg1video", "mp2"),
    "ogv": ("libtheora", "libvorbis"),
    "wav": (None, "pcm_s16le"),
    "ogg": (None, "libvorbis"),
    "jpg": ("mjpeg", None),
}
# Bitstreams in which a changed bit is often another valid bit: nothing but a checksum can tell.
UNDETECTABLE = {"mp4", "mkv", "avi", "mpg", "webm", "wav", "jpg"}

Content = tuple[int, dict[str, bytes]]
"""Frames and members of a sample."""
Mutation = Callable[[bytes, np.random.Generator], bytes]


def flip_one(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_ten(data: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(10):
        data = flip_one(data, rng)
    return data


def _place(data: bytes, rng: np.random.Generator, most: int) -> tuple[int, int]:
    size = int(rng.integers(1, min(most, len(data) // 2)))
    start = int(rng.integers(len(data) - size))
    return start, start + size


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _place(data, rng, 256)
    return data[:start] + rng.bytes(stop - start) + data[stop:]


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _place(data, rng, 2048)
    return data[:start] + bytes(stop - start) + data[stop:]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def drop(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _place(data, rng, 2048)
    return data[:start] + data[stop:]


def double(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _place(data, rng, 2048)
    return data[:stop] + data[start:]


MUTATIONS: tuple[Mutation, ...] = (flip_one, flip_ten, overwrite, zero, cut, drop, double)


def make(folder: Path, suffix: str) -> Path:
    """Two seconds of busy picture and sound, of which every bit counts."""
    path, (video, audio) = folder / f"clean.{suffix}", FORMATS[suffix]
    inputs = [
        part
        for media in (video and PICTURE, audio and SOUND)
        if media
        for part in ("-f", "lavfi", "-i", media)
    ]
    codecs = [*(("-c:v", video, "-g", 25) if video else ()), *(("-c:a", audio) if audio else ())]
    quiet = ["-x265-params", "log-level=none"] if video == "libx265" else []
    single = ["-frames:v", 1, "-update", 1] if suffix == "jpg" else []
    run_ffmpeg(*inputs, *codecs, *quiet, *single, path)
    return path


def take(path: Path, sha256: str | None = None) -> tuple[str, list[Content]]:
    """(what became of it, its samples)."""
    source = SourceFile(path=str(path), name=path.name, sha256=sha256)
    try:
        with build_samples(source, probe_safely(source, PROFILE, DEFAULT_LIMITS), PROFILE) as built:
            samples = list(built.samples())
    except MediaRefused as refusal:
        return ("skipped" if refusal.reason in SKIPPED else "refused"), []
    return "done", [
        (sample.sidecar.video.frames if sample.sidecar.video else 0, sample.members) for sample in samples
    ]


def compare(found: list[Content], clean: list[Content]) -> str:
    if [part[0] for part in found] != [part[0] for part in clean]:
        return "frame_count"
    return "same" if found == clean else "content"


@pytest.mark.parametrize("suffix", FORMATS)
def test_R5_mutated_media(
    suffix: str, tmp_path: Path, record: Callable[..., None], full: bool, peak_mib: Callable[[], int]
) -> None:
    clean = make(tmp_path, suffix)
    data, (status, wanted) = clean.read_bytes(), take(clean)
    assert status == "done"
    count, outcomes, slowest = 112 if full else 7, Counter[str](), 0.0
    listed = hashlib.sha256(data).hexdigest()
    got_past_the_list = 0
    for number in range(count):
        rng = np.random.default_rng([5, *suffix.encode(), number])
        mutant = tmp_path / f"mutant.{suffix}"
        mutant.write_bytes(MUTATIONS[number % len(MUTATIONS)](data, rng))
        began = time.monotonic()
        status, found = take(mutant)
        slowest = max(slowest, time.monotonic() - began)
        outcomes[status if status != "done" else f"accepted_{compare(found, wanted)}"] += 1
        if status == "done" and mutant.read_bytes() != data:
            got_past_the_list += take(mutant, listed)[0] == "done"
    wrong = outcomes["accepted_content"]
    record(
        "R5",
        f"mutated {suffix} ({'+'.join(name for name in FORMATS[suffix] if name)})",
        faults=count,
        **{name: outcomes[name] for name in ("refused", "skipped", "accepted_same")},
        accepted_with_other_content=wrong,
        accepted_with_another_frame_count=outcomes["accepted_frame_count"],
        accepted_against_a_checksum=got_past_the_list,
        slowest_seconds=round(slowest, 1),
        peak_mib=(peak := peak_mib()),
    )
    assert sum(outcomes.values()) == count
    assert (outcomes["accepted_frame_count"], got_past_the_list) == (0, 0)
    assert slowest <= SECONDS
    assert 0 < peak <= MIB
    if full and suffix not in UNDETECTABLE:
        assert wrong <= 0.02 * count
