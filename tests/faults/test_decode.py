"""One kept decoder takes clips of every size, profile and encoder in random order, damaged ones in between: byte for byte."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pipelines.decode.conftest import (
    FRAMES,
    MJPEG,
    VP9,
    X264,
    Clip,
    make_clip,
    make_plan,
    with_member,
)
from unreel.pipelines.decode import make_backend
from unreel.pipelines.decode.packets import Packets
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.plan import Plan, Window
from unreel.shards.reader import EncodedSample

SIZES = ((176, 128), (64, 64), (80, 144))
X265 = ("-c:v", "libx265", "-x265-params", "bframes=0:log-level=none:open-gop=0:keyint=16:min-keyint=16")
ENCODERS = {
    "baseline": (*X264, "-profile:v", "baseline"),
    "main": (*X264, "-profile:v", "main"),
    "high": (*X264, "-profile:v", "high"),
    "high-refs": (*X264, "-profile:v", "high", "-refs", "4", "-preset", "slow"),
    "fastdecode": (*X264, "-tune", "fastdecode", "-preset", "ultrafast"),
    "slices": (*X264, "-profile:v", "high", "-x264-params", "slices=4"),
    "x265": X265,
    "vp9": VP9,
    "mjpeg": MJPEG,
}
LENGTH = 16
"""Frames of one clip that is asked for."""

Clips = dict[tuple[int, int], list[Clip]]
Batch = list[tuple[Clip, EncodedSample, int, bool]]
"""Rows: a clip, its sample, sound or damaged, the first frame, and whether it is damaged."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Clips:
    """Size → clips of different encoders. The small form has three of them in two sizes."""
    folder = tmp_path_factory.mktemp("encoders")
    names = list(ENCODERS) if full else ["baseline", "slices", "x265"]
    return {
        size: [
            make_clip(
                folder,
                f"{name}-{size[0]}x{size[1]}",
                size=size,
                codec=ENCODERS[name],
                matrix="bt709",
                seed=10 * at + place,
            )
            for place, name in enumerate(names)
        ]
        for at, size in enumerate(SIZES if full else SIZES[:2])
    }


def plan_of(clip: Clip, start: int) -> Plan:
    video = clip.sample.sidecar.video
    assert video is not None
    frames = list(range(start, start + LENGTH))
    return make_plan(frames, window=Window(0, 0, video.height, video.width))


def broken(sample: EncodedSample, rng: random.Random) -> EncodedSample:
    """One of four kinds of damage that no decoder may answer with a picture, whatever it is asked for."""
    data, video = bytearray(sample.members["mp4"]), sample.sidecar.video
    assert video is not None
    kind = rng.randrange(4)
    if kind == 0:
        return with_member(sample, mp4=b"")
    if kind == 1:
        return with_member(sample, mp4=bytes(data[: int(video.packets.offsets[0]) + 9]))
    for offset, size in zip(video.packets.offsets.tolist(), video.packets.sizes.tolist(), strict=True):
        # 0xff all over is a length, a header and a marker that nothing has.
        data[offset : offset + size] = b"\xff" * size if kind == 2 else bytes(size)
    return with_member(sample, mp4=bytes(data))


def batches(clips: Clips, count: int, rng: random.Random) -> Iterator[Batch]:
    """Batches of five of one size; sizes change at random, and a seventh of the rows is damaged."""
    for _ in range(count // 5):
        of_size = rng.choice(list(clips.values()))
        chosen = [
            (rng.choice(of_size), rng.randrange(FRAMES - LENGTH + 1), rng.random() < 1 / 7) for _ in range(5)
        ]
        yield [
            (clip, broken(clip.sample, rng) if bad else clip.sample, start, bad)
            for clip, start, bad in chosen
        ]


Outcome = Callable[[Batch], list[tuple[NDArray, NDArray, NDArray] | None]]
"""Batch → for each row its planes, or None where it was refused."""


def compiled(threads: int) -> Outcome:
    """Whole batches without the GIL."""
    backend = make_backend("packets", threads=threads)
    assert isinstance(backend, Packets) and backend.fallback is None

    def decode(batch: Batch) -> list[tuple[NDArray, NDArray, NDArray] | None]:
        plans = [plan_of(clip, start) for clip, _, start, _ in batch]
        decoded = backend.decode([sample for _, sample, _, _ in batch], plans, pixels="yuv420")
        assert decoded.yuv is not None
        luma, chroma = decoded.yuv.luma.numpy(), decoded.yuv.chroma.numpy()
        rows = range(len(batch))
        return [
            None if row in decoded.failures else (luma[row], chroma[row, :, 0], chroma[row, :, 1])
            for row in rows
        ]

    return decode


def pyav(threads: int) -> Outcome:
    """The fallback: a decoder for each thread, one row at a time."""
    local, pool = threading.local(), ThreadPoolExecutor(threads)

    def one(row: tuple[Clip, EncodedSample, int, bool]) -> tuple[NDArray, NDArray, NDArray] | None:
        if not hasattr(local, "decoder"):
            local.decoder = PacketDecoder()
        clip, sample, start, _ = row
        try:
            planes: tuple[NDArray, NDArray, NDArray] = local.decoder.decode_yuv(
                sample, plan_of(clip, start).frames
            )
        except Packets.errors:
            return None
        return planes

    return lambda batch: list(pool.map(one, batch))


def verdict(planes: tuple[NDArray, NDArray, NDArray] | None, clip: Clip, start: int, bad: bool) -> str:
    """What became of a row: exact or wrong or blamed, and of a damaged one refused or accepted."""
    if bad:
        return "refused" if planes is None else "accepted"
    if planes is None:
        return "blamed"
    expected = (plane[start : start + LENGTH] for plane in clip.yuv)
    return "exact" if all(map(np.array_equal, planes, expected)) else "wrong"


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("loop", [compiled, pyav])
def test_a_kept_decoder_is_exact_whatever_came_before(
    clips: Clips, threads: int, loop: Callable[[int], Outcome], full: bool, record: Callable[..., None]
) -> None:
    count, decode, seen = 600 if full else 60, loop(threads), Counter[str]()
    for batch in batches(clips, count, random.Random(threads)):
        for planes, (clip, _, start, bad) in zip(decode(batch), batch, strict=True):
            seen[verdict(planes, clip, start, bad)] += 1
    record(
        "decode",
        "clips of several encoders and sizes in random order through kept decoders, damaged ones in between",
        loop=loop.__name__,
        threads=threads,
        clips=count,
        streams=sum(map(len, clips.values())),
        **{name: seen[name] for name in ("exact", "wrong", "blamed", "refused", "accepted")},
    )
    assert seen["exact"] + seen["refused"] == count and seen["refused"]
