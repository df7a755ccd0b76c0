"""Encoded samples for the decode backends: small clips of several codecs, profiles and encoders, and FLAC sound."""

import io
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.pipelines.decode import available, make_backend
from unreel.pipelines.decode.backend import DecodeBackend
from unreel.pipelines.plan import Plan, Span, Window
from unreel.shards.index import SampleRow
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Audio, Packets, Sidecar, Source, Video, pack_column

FRAMES = 40
RATE = 25
AUDIO_RATE = 48_000
GOP = 16
WINDOW = Window(3, 5, 48, 56)
"""Smaller than every clip, at an odd place."""

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
X264 = ("-c:v", "libx264", "-bf", "0", "-sc_threshold", "0", "-flags", "+cgop", "-crf", "20")
VP9 = (
    "-c:v",
    "libvpx-vp9",
    "-b:v",
    "0",
    "-crf",
    "20",
    "-cpu-used",
    "8",
    "-auto-alt-ref",
    "0",
    "-lag-in-frames",
    "0",
)
MJPEG = ("-c:v", "mjpeg", "-qmin", "2", "-qmax", "2", "-strict", "unofficial")
Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Clip:
    """A sample and what is in it: planar pictures as `ffmpeg -f rawvideo` writes them, and its sound."""

    sample: EncodedSample
    yuv: Planes
    sound: NDArray[np.int16]


def moving_yuv(width: int, height: int, seed: int, frames: int = FRAMES) -> bytes:
    """Limited-range 4:2:0 pictures: a texture that moves under smooth strong colours; different for each seed."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(40, 200, (height + 2 * frames, width + 2 * frames))
    texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1) + np.roll(texture, 2, 1)) // 4
    down, across = np.mgrid[0 : height // 2, 0 : width // 2]
    parts = []
    for frame in range(frames):
        luma = texture[frame : frame + height, 2 * frame : 2 * frame + width]
        angle = 2 * np.pi * (down / height + across / width + frame / frames + seed / 7)
        chroma = (128 + 60 * np.sin(angle), 128 + 60 * np.cos(angle))
        parts += [np.asarray(plane, np.uint8).tobytes() for plane in (luma, *chroma)]
    return b"".join(parts)


def encode(raw: bytes, width: int, height: int, codec: tuple[str, ...], path: Path, *, matrix: str) -> bytes:
    """`raw` through the ffmpeg program, tagged with `matrix` and limited range; raw YUV goes in, so nothing is converted."""
    tags = ("-colorspace", matrix, "-color_primaries", matrix, "-color_trc", matrix, "-color_range", "tv")
    source = (
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-s",
        f"{width}x{height}",
        "-r",
        str(RATE),
        *tags,
        "-i",
        "-",
    )
    command = [
        FFMPEG,
        "-v",
        "error",
        "-y",
        *source,
        "-g",
        str(GOP),
        *codec,
        *tags,
        "-threads",
        "1",
        str(path),
    ]
    subprocess.run(command, input=raw, check=True)
    return path.read_bytes()


def raw_video(path: Path, width: int, height: int) -> Planes:
    """The pictures of a file as `ffmpeg -f rawvideo` decodes them: Y `[T, H, W]`, U and V `[T, H/2, W/2]`."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, height * width * 3 // 2)
    luma, cb, cr = np.split(pictures, [height * width, height * width * 5 // 4], axis=1)
    half = (-1, height // 2, width // 2)
    return luma.reshape(-1, height, width), cb.reshape(half), cr.reshape(half)


def encode_flac(sound: NDArray[np.integer], *, bits: int = 16) -> bytes:
    """FLAC of int `[samples, channels]`; 24-bit samples lie in the upper bits of int32."""
    sink = io.BytesIO()
    layout = "mono" if sound.shape[1] == 1 else "stereo"
    sample_format = "s16" if bits == 16 else "s32"
    with av.open(sink, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=AUDIO_RATE, layout=layout, format=sample_format)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), sample_format, layout)
        frame.sample_rate = AUDIO_RATE
        for part in (frame, None):
            container.mux(stream.encode(part))
    return sink.getvalue()


def noise(samples: int, seed: int) -> NDArray[np.int16]:
    """A random walk: like music to FLAC, and no two places are alike."""
    steps = np.random.default_rng(seed).normal(0, 900, samples)
    return (np.cumsum(steps) % 60_000 - 30_000).astype(np.int16)


def describe(data: bytes, *, matrix: str, b_frames: bool = False) -> Video:
    """What a sidecar says of an MP4."""
    with av.open(io.BytesIO(data), format="mp4") as container:
        stream = container.streams.video[0]
        rows = [
            (packet.pos, packet.size, packet.is_keyframe) for packet in container.demux(stream) if packet.size
        ]
        offset, size, key = map(np.array, zip(*rows, strict=True))
        return Video(
            codec=stream.codec_context.codec.canonical_name,
            width=stream.width,
            height=stream.height,
            frames=len(rows),
            rate=(RATE, 1),
            matrix=matrix,
            gop=GOP,
            b_frames=b_frames,
            extradata=bytes(stream.codec_context.extradata or b""),
            packets=Packets(
                offset=pack_column("offset", offset),
                size=pack_column("size", size),
                key=pack_column("key", key),
            ),
        )


def make_sample(key: str, members: Mapping[str, bytes], video: Video | None, samples: int) -> EncodedSample:
    """A sample as the reader gives it; `samples` is the length of its sound, 0 for none."""
    audio = Audio(codec="flac", rate=AUDIO_RATE, channels=1, samples=samples) if samples else None
    source = Source(id=f"{0:016x}", name=f"{key}.mp4")
    return EncodedSample(
        shard="test.tar",
        row=SampleRow(key=key, source=source.id, members=()),
        sidecar=Sidecar(key=key, source=source, video=video, audio=audio),
        members={name: memoryview(data) for name, data in members.items()},
    )


def with_member(sample: EncodedSample, **members: bytes) -> EncodedSample:
    """The same sample with other bytes in some members."""
    changed = {name: memoryview(data) for name, data in members.items()}
    return EncodedSample(sample.shard, sample.row, sample.sidecar, {**sample.members, **changed})


def with_video(sample: EncodedSample, **fields: object) -> EncodedSample:
    """The same bytes under a sidecar that says something else of the picture."""
    video = msgspec.structs.replace(sample.sidecar.video, **fields)
    sidecar = msgspec.structs.replace(sample.sidecar, video=video)
    return EncodedSample(sample.shard, sample.row, sidecar, sample.members)


def make_clip(
    folder: Path, key: str, *, size: tuple[int, int], codec: tuple[str, ...], matrix: str, seed: int
) -> Clip:
    width, height = size
    path = folder / f"{key}.mp4"
    data = encode(moving_yuv(width, height, seed), width, height, codec, path, matrix=matrix)
    sound = noise(FRAMES * AUDIO_RATE // RATE, seed)
    members = {"mp4": data, "flac": encode_flac(sound[:, None])}
    sample = make_sample(key, members, describe(data, matrix=matrix), len(sound))
    return Clip(sample, raw_video(path, width, height), sound)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """H.264 after the contract, in three sizes, three profiles and `fastdecode`: 12 clips of one encoder each."""
    folder = tmp_path_factory.mktemp("mixed")
    settings = {name: ("-profile:v", name) for name in ("baseline", "main", "high")}
    settings["fastdecode"] = ("-tune", "fastdecode", "-preset", "ultrafast")
    return [
        make_clip(
            folder,
            f"{name}-{width}x{height}",
            size=(width, height),
            codec=(*X264, *options),
            matrix="bt709",
            seed=seed,
        )
        for seed, ((width, height), (name, options)) in enumerate(
            (size, setting) for size in ((176, 128), (64, 64), (80, 144)) for setting in settings.items()
        )
    ]


@pytest.fixture(scope="session")
def bt601(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Clip]]:
    """Three clips each of VP9 and MJPEG, BT.601 limited range: what DALI decodes on CPU."""
    folder = tmp_path_factory.mktemp("bt601")
    return {
        name: [
            make_clip(folder, f"{name}-{seed}", size=(96, 64), codec=codec, matrix="smpte170m", seed=seed)
            for seed in range(3)
        ]
        for name, codec in (("vp9", VP9), ("mjpeg", MJPEG))
    }


@pytest.fixture(params=["packets", "decord", "torchcodec", "dali"])
def backend(request: pytest.FixtureRequest) -> DecodeBackend:
    """Each backend that works on this machine, with two threads."""
    missing = available()[request.param]
    if missing is not None:
        pytest.skip(missing)
    made = make_backend(request.param, threads=2)
    request.addfinalizer(made.close)
    return made


@pytest.fixture
def clips(backend: DecodeBackend, mixed: list[Clip], bt601: dict[str, list[Clip]]) -> list[Clip]:
    """Clips that `backend` takes."""
    return bt601["vp9"] if backend.name == "dali" else mixed


def make_plan(
    frames: list[int], *, window: Window | None = WINDOW, start: int | None = None, length: int = 4_000
) -> Plan:
    """A plan for pictures, and for sound where `start` is given."""
    sound = None if start is None else Span(start, length)
    return Plan(frames=np.array(frames, np.int32), window=window if frames else None, sound=sound)


def float_rgb(yuv: Planes, matrix: str) -> NDArray[np.float64]:
    """The reference: limited-range YUV to full-range RGB in float, chroma repeated, `[T, H, W, 3]`.

    ITU-R BT.709-6 and BT.601-7: Kr and Kb from their tables, the inverse from the definitions of Y, Cb and Cr.
    """
    kr, kb = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114)}[matrix]
    luma = (yuv[0] - 16.0) / 219
    cb, cr = ((plane.repeat(2, 1).repeat(2, 2) - 128.0) / 224 for plane in yuv[1:])
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255


def crop(pictures: NDArray, window: Window = WINDOW) -> NDArray:
    """`[T, H, W, 3]` seen through `window`."""
    return pictures[:, window.top : window.top + window.height, window.left : window.left + window.width]


Damage = Callable[[EncodedSample], EncodedSample]


def _cut_short(sample: EncodedSample) -> EncodedSample:
    data = bytes(sample.members["mp4"])
    return with_member(sample, mp4=data[: len(data) // 2])


def _garbage(sample: EncodedSample) -> EncodedSample:
    return with_member(sample, mp4=b"no picture here " * 500)


def _empty(sample: EncodedSample) -> EncodedSample:
    return with_member(sample, mp4=b"")


def _overwritten(sample: EncodedSample) -> EncodedSample:
    """The payload of the key frames replaced, the container as it was."""
    video = sample.sidecar.video
    data = bytearray(sample.members["mp4"])
    for frame in video.packets.key_frames:
        offset, size = int(video.packets.offsets[frame]), int(video.packets.sizes[frame])
        data[offset + 8 : offset + size] = b"\xa5" * (size - 8)
    return with_member(sample, mp4=bytes(data))


@pytest.fixture(
    params=[_cut_short, _garbage, _empty, _overwritten], ids=lambda damage: damage.__name__.strip("_")
)
def damage(request: pytest.FixtureRequest) -> Damage:
    """Ways in which the bytes of a picture can be wrong."""
    return request.param
