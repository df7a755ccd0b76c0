"""Still pictures: JPEG of any subsampling through every backend that takes them, and through the loader."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from tests.pipelines.decode.conftest import Clip, make_plan, with_member
from unreel.pipelines.decode import available, choose_backend, make_backend
from unreel.pipelines.decode.backend import DecodeBackend
from unreel.pipelines.decode.isolated import Isolated
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch
from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.index import SampleRow
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Image, Sidecar, Source

KINDS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey")
BOUND = {"4:4:4": (0.6, 3), "grey": (0.1, 1)}
"""Mean and largest distance from Pillow. Elsewhere Pillow interpolates chroma, which `packets` repeats."""
COARSE_BOUND = (1.5, 24)
# Code of 8x8 blocks says nothing of their places, so other sampling factors in the header make another valid picture.
SHUFFLED = {"4:4:0": ("4:2:2", 0x12), "4:1:1": ("4:2:0", 0x41)}


def pixels(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Smooth strong colours and a texture in luma, different for each seed."""
    down, across = np.mgrid[0:height, 0:width]
    texture = np.random.default_rng(seed).integers(-9, 9, (height, width))
    waves = (across / 19 + seed, down / 23, (across + down) / 29)
    return np.stack([128 + 90 * np.sin(wave) + texture for wave in waves], -1).astype(np.uint8)


def jpeg(kind: str, width: int, height: int, seed: int = 0) -> bytes:
    """A baseline JPEG, `kind` one of `KINDS`."""
    made, factors = SHUFFLED.get(kind, (kind, None))
    source, sink = pixels(width, height, seed), io.BytesIO()
    if kind == "grey":
        Picture.fromarray(source[..., 0]).save(sink, "JPEG", quality=95)
    else:
        Picture.fromarray(source).save(sink, "JPEG", quality=95, subsampling=made)
    data = bytearray(sink.getvalue())
    if factors is not None:
        data[data.index(b"\xff\xc0") + 11] = factors
    return bytes(data)


def pillow(data: bytes) -> NDArray[np.float64]:
    return np.asarray(Picture.open(io.BytesIO(data)).convert("RGB")).astype(float)


def still(key: str, data: bytes, width: int, height: int) -> EncodedSample:
    source = Source(id=f"{0:016x}", name=f"{key}.jpg")
    sidecar = Sidecar(key=key, source=source, image=Image(codec="mjpeg", width=width, height=height))
    row = SampleRow(key=key, source=source.id, members=())
    return EncodedSample("test.tar", row, sidecar, {"jpg": memoryview(data)})


def samples_of(kind: str, size: tuple[int, int], count: int = 3) -> list[EncodedSample]:
    name = kind.replace(":", "")
    return [still(f"{name}-{seed}", jpeg(kind, *size, seed), *size) for seed in range(count)]


def whole(size: tuple[int, int]) -> Plan:
    return make_plan([0], window=Window(0, 0, size[1], size[0]))


@pytest.fixture
def packets() -> Iterator[DecodeBackend]:
    backend = make_backend("packets", threads=2)
    yield backend
    backend.close()


# 4:4:0 and 4:1:1 need whole blocks, so that their headers fit another kind.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(96, 64), (95, 67), (33, 17)])
def test_packets_is_near_pillow(packets: DecodeBackend, kind: str, size: tuple[int, int]) -> None:
    size = (64, 64) if kind in SHUFFLED else size
    samples = samples_of(kind, size)
    decoded = packets.decode(samples, [whole(size)] * len(samples))
    assert not decoded.failures and decoded.frames.shape == (3, 1, size[1], size[0], 3)
    # The halved chroma of a shuffled picture is no smooth one, so interpolating it is another matter.
    mean, largest = (8, 200) if kind in SHUFFLED else BOUND.get(kind, COARSE_BOUND)
    for row, sample in enumerate(samples):
        error = np.abs(decoded.frames[row, 0].numpy() - pillow(bytes(sample.members["jpg"])))
        assert error.mean() <= mean and error.max() <= largest


@pytest.mark.parametrize("kind", KINDS)
def test_both_loops_of_packets_give_the_exact_value_rounded(packets: DecodeBackend, kind: str) -> None:
    size = (64, 64) if kind in SHUFFLED else (95, 67)
    (sample,) = samples_of(kind, size, 1)
    out = np.empty((1, size[1], size[0], 3), np.uint8)
    PacketDecoder().decode(sample, [(whole(size), (out,))])
    assert np.array_equal(packets.decode([sample], [whole(size)]).frames[0], out)
    assert np.abs(out[0] - exact(bytes(sample.members["jpg"]))).max() < 0.501


def exact(data: bytes) -> NDArray[np.float64]:
    """FFmpeg's own planes in float: full range, BT.601-7, a chroma sample for all pixels that it covers."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    (picture,) = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    planes = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width].astype(float)
        for plane in picture.planes
    ]
    luma, shape = planes[0], planes[0].shape
    if len(planes) == 1:
        return np.stack([luma] * 3, -1)
    widened = []
    for plane in planes[1:]:
        factors = [-(-side // part) for side, part in zip(shape, plane.shape, strict=True)]
        repeated = plane.repeat(factors[0], 0).repeat(factors[1], 1)
        widened.append((repeated[: shape[0], : shape[1]] - 128) / 255)
    cb, cr = widened
    red, blue = luma / 255 + 2 * (1 - 0.299) * cr, luma / 255 + 2 * (1 - 0.114) * cb
    green = (luma / 255 - 0.299 * red - 0.114 * blue) / 0.587
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255


@pytest.mark.parametrize("window", [Window(1, 3, 33, 21), Window(34, 74, 33, 21), Window(0, 0, 33, 21)])
def test_a_window_is_cut_out_of_the_whole(packets: DecodeBackend, window: Window) -> None:
    size = (95, 67)
    for kind in ("4:2:0", "4:4:4", "grey"):
        samples = samples_of(kind, size)
        full = packets.decode(samples, [whole(size)] * 3).frames
        part = packets.decode(samples, [make_plan([0], window=window)] * 3).frames
        cut = full[:, :, window.top : window.top + 33, window.left : window.left + 21]
        assert torch.equal(part, cut)


def test_rows_of_several_sizes_and_kinds_beside_videos(packets: DecodeBackend, mixed: list[Clip]) -> None:
    sizes = [(95, 67), (70, 80), (120, 60)]
    stills = [still(f"s{at}", jpeg(KINDS[at], *size, at), *size) for at, size in enumerate(sizes)]
    samples = [stills[0], mixed[0].sample, stills[1], mixed[5].sample, stills[2], stills[0]]
    plan = make_plan([0])
    together = packets.decode(samples, [plan] * len(samples))
    assert not together.failures
    for row, sample in enumerate(samples):
        assert torch.equal(packets.decode([sample], [plan]).frames[0], together.frames[row])


def damaged(sample: EncodedSample) -> dict[str, EncodedSample]:
    data = bytes(sample.members["jpg"])
    # Behind the header: the front of the entropy-coded data becomes a marker that means nothing there.
    scan = data.index(b"\xff\xda") + 14
    return {
        "empty": with_member(sample, jpg=b""),
        "garbage": with_member(sample, jpg=b"no picture here" * 40),
        "header only": with_member(sample, jpg=data[:scan]),
        "png": with_member(sample, jpg=b"\x89PNG\r\n\x1a\n" + bytes(200)),
        "other size": with_member(sample, jpg=jpeg("4:2:0", 64, 64)),
    }


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_picture_fails_alone(packets: DecodeBackend, place: int) -> None:
    size = (95, 67)
    good = samples_of("4:2:0", size)
    clean = packets.decode(good, [whole(size)] * 3)
    for kind, bad in damaged(good[place]).items():
        samples = [*good[:place], bad, *good[place + 1 :]]
        decoded = packets.decode(samples, [whole(size)] * 3)
        assert set(decoded.failures) == {place}, kind
        assert good[place].sidecar.key in str(decoded.failures[place])
        others = [row for row in range(3) if row != place]
        assert torch.equal(decoded.frames[others], clean.frames[others]) and not decoded.frames[place].any()
        assert torch.equal(packets.decode(good, [whole(size)] * 3).frames, clean.frames)


def test_a_second_frame_of_a_picture_is_refused(packets: DecodeBackend) -> None:
    (sample,) = samples_of("4:2:0", (64, 64), 1)
    decoded = packets.decode([sample], [make_plan([1], window=Window(0, 0, 8, 8))])
    assert "it has 1" in str(decoded.failures[0])


def test_in_a_process_of_its_own_it_is_the_same(packets: DecodeBackend) -> None:
    samples = samples_of("4:2:0", (96, 64))
    isolated = Isolated(make_backend("packets", threads=1), workers=1)
    try:
        apart = isolated.decode(samples, [whole((96, 64))] * 3)
    finally:
        isolated.close()
    assert torch.equal(apart.frames, packets.decode(samples, [whole((96, 64))] * 3).frames)


@pytest.mark.parametrize("name", ["decord", "torchcodec"])
def test_backends_for_videos_decline_by_name(name: str) -> None:
    if available()[name] is not None:
        pytest.skip(str(available()[name]))
    (sample,) = samples_of("4:2:0", (64, 64), 1)
    backend = make_backend(name, threads=1)
    decoded = backend.decode([sample], [whole((64, 64))])
    backend.close()
    assert f"{name} takes no still pictures" in str(decoded.failures[0]) and not decoded.frames.any()


def test_another_codec_than_jpeg_is_declined_by_name(packets: DecodeBackend) -> None:
    (sample,) = samples_of("4:2:0", (64, 64), 1)
    image = Image(codec="webp", width=64, height=64)
    sidecar = Sidecar(key="w", source=sample.sidecar.source, image=image)
    webp = replace(sample, sidecar=sidecar)
    assert "as mjpeg, not webp" in str(packets.decode([webp], [whole((64, 64))]).failures[0])


def test_auto_takes_still_pictures_and_says_who_does_not() -> None:
    samples = samples_of("4:2:0", (96, 64), 4)
    choice = choose_backend(samples, [whole((96, 64))] * 4, threads=2, repeats=1)
    assert "packets" in choice.rates and not {"decord", "torchcodec"} & set(choice.rates)
    if available()["decord"] is None:
        assert "no decord: decord takes no still pictures" in str(choice)


@dataclass(frozen=True)
class Turned:
    """A toy of a picture task: every second picture upside down, to be told from the others."""

    name: ClassVar[str] = "turned"
    side: int = 32

    @property
    def needs(self) -> Needs:
        return Needs(image=True, min_size=(self.side, self.side))

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        assert sidecar.image is not None
        top, left = (sidecar.image.height - self.side) // 2, (sidecar.image.width - self.side) // 2
        return Plan(frames=np.zeros(1, np.int32), window=Window(top, left, self.side, self.side))

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        assert media.frames is not None
        targets = torch.from_numpy(media.positions % 2)
        shown = torch.where(targets[:, None, None, None, None] == 1, media.frames.flip(2), media.frames)
        return PretextBatch(
            inputs={"frame": shown},
            targets=targets,
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
        )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Eight sources of every kind that this file knows, and one PNG, through the profile `images`."""
    folder = tmp_path_factory.mktemp("pictures")
    sources = folder / "in"
    sources.mkdir()
    for seed, kind in enumerate(("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey", "4:2:0")):
        size = (128, 128) if kind in SHUFFLED else (141 + seed, 133)
        (sources / f"{seed}.jpg").write_bytes(jpeg(kind, *size, seed))
    Picture.fromarray(pixels(150, 150, 7)).save(sources / "7.png")
    out = folder / "out"
    build([sources], out, profile="images")
    return Catalogue.open(out)


def stored(catalogue: Catalogue) -> dict[str, bytes]:
    reader = Reader(catalogue)
    read = [reader.read(shard, row, members=("jpg",)) for shard, row, _ in catalogue.rows()]
    return {sample.sidecar.key: bytes(sample.members["jpg"]) for sample in read}


def test_a_picture_task_runs_through_the_loader(pictures: Catalogue) -> None:
    with Loader(pictures, Turned(), batch_size=4, seed=0, split=None, backend="packets") as loader:
        steps = [next(loader) for _ in range(4)]
    assert not any(step.failures for step in steps)
    files, seen = stored(pictures), set()
    assert len(files) == 8
    for step in steps:
        for row, key in enumerate(step.batch.keys):
            picture = step.batch.inputs["frame"][row, 0]
            whole_picture = exact(files[key])
            top, left = ((side - 32) // 2 for side in whole_picture.shape[:2])
            expected = whole_picture[top : top + 32, left : left + 32]
            expected = expected[::-1] if step.batch.targets[row] else expected
            assert np.abs(picture.numpy() - expected).max() < 0.501
            seen.add(key)
    assert seen == set(files), "every picture comes once an epoch"


def test_a_damaged_picture_is_one_row_of_a_step(pictures: Catalogue, tmp_path: Path) -> None:
    with Loader(pictures, Turned(), batch_size=8, seed=0, split=None, backend="packets") as loader:
        sample_of = loader._planner._readers[0].read  # the reader, to damage what it gives
        clean, victim = loader.batch(0), loader.batch(0).keys[3]

        def read(*where: object, **chosen: object) -> EncodedSample:
            sample = sample_of(*where, **chosen)
            return with_member(sample, jpg=b"gone" * 50) if sample.sidecar.key == victim else sample

        loader._planner._readers[0].read = read
        batch = loader.batch(0)
    assert batch.valid.tolist() == [key != victim for key in batch.keys]
    others = [row for row, key in enumerate(batch.keys) if key != victim]
    assert torch.equal(batch.inputs["frame"][others], clean.inputs["frame"][others])
