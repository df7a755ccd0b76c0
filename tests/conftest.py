"""Fixtures of all rooms: seeded randomness, the markers `gpu` and `corpus`, and a tiny data set of real media."""

import io
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from hypothesis import settings
from numpy.typing import NDArray

from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text
from unreel.shards.sample import (
    Audio,
    Facts,
    Original,
    Packets,
    Sidecar,
    Source,
    Video,
    audio_length,
    frame_to_audio,
    pack_column,
)
from unreel.shards.writer import ShardWriter

ROOT = Path(__file__).parents[1]
SEED = 20160616
AUDIO_RATE = 48_000
GOP = 16
IDENTITY = {"builder": "tests/conftest.py"}

# A deadline is a timed assertion: it fails on a busy machine.
settings.register_profile("unreel", deadline=None)
settings.load_profile("unreel")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Each test starts from one seed and leaves the generators as it found them."""
    python, old_numpy = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    old_torch = torch.get_rng_state() if torch else None
    random.seed(SEED)
    np.random.seed(SEED % 2**32)
    if torch:
        torch.manual_seed(SEED)
    yield
    random.setstate(python)
    np.random.set_state(old_numpy)
    if torch and old_torch is not None:
        torch.set_rng_state(old_torch)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drills", action="store_true", help="run the drills of tests/faults in full")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        _need_gpu()
    if item.get_closest_marker("corpus") and corpus_folder() is None:
        pytest.skip("no real media: set UNREEL_CORPUS")


def _need_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("UNREEL_REQUIRE_GPU") == "1":
            pytest.fail("UNREEL_REQUIRE_GPU=1 and no CUDA device")
        pytest.skip("no CUDA device")


def corpus_folder() -> Path | None:
    folder = Path(os.environ.get("UNREEL_CORPUS", ROOT.parent / "shared" / "corpus"))
    return folder if folder.is_dir() else None


@pytest.fixture
def corpus() -> Path:
    """The folder of real media; mark the test with `corpus`."""
    folder = corpus_folder()
    assert folder is not None, "a test that takes `corpus` is marked with `corpus`"
    return folder


@dataclass(frozen=True)
class TinyClip:
    """One generated clip: a bright square moves over a coloured ground, and a tone rises while it moves fast."""

    number: int

    @property
    def rate(self) -> int:
        return (24, 25, 30)[self.number % 3]

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        return ((160, 128), (128, 176))[self.number // 2 % 2]

    @property
    def frames(self) -> int:
        return self.rate * 2 + self.number % 5 * self.rate // 5

    @property
    def has_sound(self) -> bool:
        return self.number % 4 != 3

    @property
    def x(self) -> NDArray[np.float64]:
        """Left side of the square over time, in pixels: a swing that starts at another phase in each clip."""
        phase = 2 * np.pi * (np.arange(self.frames) / self.rate / 1.5 + self.number / 7)
        return (self.size[0] - 32) * (0.5 + 0.5 * np.sin(phase))

    def pictures(self) -> NDArray[np.uint8]:
        """u8 `[frames, H, W, 3]`."""
        width, height = self.size
        rng = np.random.default_rng(self.number)
        ground = np.add.outer(np.linspace(20, 110, height), np.linspace(0, 60, width))
        picture = np.stack([ground * weight for weight in rng.uniform(0.4, 1.0, 3)], -1).astype(np.uint8)
        pictures = np.repeat(picture[None], self.frames, 0)
        colour = rng.integers(180, 250, 3)
        for frame, left in enumerate(self.x.astype(int)):
            pictures[frame, 40:72, left : left + 32] = colour
        return pictures

    def sound(self) -> NDArray[np.int16]:
        """i16 `[samples]`: a tone of the clip's own pitch, silent in the second quarter."""
        length = audio_length(self.frames, AUDIO_RATE, Fraction(self.rate))
        time = np.arange(length) / AUDIO_RATE
        tone = 0.4 * np.sin(2 * np.pi * (220 + 40 * self.number) * time)
        start, stop = self.silence
        tone[start:stop] = 0
        return np.round(tone * 32767).astype(np.int16)

    @property
    def silence(self) -> tuple[int, int]:
        length = audio_length(self.frames, AUDIO_RATE, Fraction(self.rate))
        return length // 4, length // 2


def encode_video(pictures: NDArray[np.uint8], rate: int) -> bytes:
    """H.264 in MP4 after the contract: closed GOPs of 16, no B-frames, BT.709 limited range and tagged so."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        options = {
            "preset": "ultrafast",
            "threads": "1",
            "bf": "0",
            "flags": "+bitexact+cgop",
            "sc_threshold": "0",
        }
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
        context = stream.codec_context
        context.gop_size = GOP
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
        container.mux(stream.encode(None))
    return sink.getvalue()


def encode_sound(sound: NDArray[np.int16]) -> bytes:
    """16-bit mono FLAC at 48 kHz."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=AUDIO_RATE, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(sound[None], "s16", "mono")
        frame.sample_rate = AUDIO_RATE
        for part in (frame, None):
            container.mux(stream.encode(part))
    return sink.getvalue()


def describe_video(data: bytes, rate: int) -> Video:
    """The sidecar's entry of an MP4, with its packet table."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        table = Packets(
            offset=pack_column("offset", np.array([packet.pos for packet in packets])),
            size=pack_column("size", np.array([packet.size for packet in packets])),
            key=pack_column("key", np.array([packet.is_keyframe for packet in packets])),
        )
        return Video(
            codec="h264",
            width=stream.width,
            height=stream.height,
            frames=len(packets),
            rate=(rate, 1),
            matrix="bt709",
            gop=GOP,
            extradata=bytes(stream.codec_context.extradata),
            packets=table,
        )


def facts_of(clip: TinyClip, pictures: NDArray[np.uint8], sound: NDArray[np.int16] | None) -> Facts:
    luma = pictures @ np.array([0.2126, 0.7152, 0.0722])
    motion = np.concatenate([[0.0], np.abs(np.diff(luma, axis=0)).mean((1, 2))])
    columns = {"motion": motion, "luma": luma.mean((1, 2))}
    if sound is not None:
        edges = [frame_to_audio(frame, AUDIO_RATE, Fraction(clip.rate)) for frame in range(clip.frames + 1)]
        power = np.add.reduceat((sound / 32768.0) ** 2, edges[:-1]) / np.diff(edges)
        columns["loudness"] = 10 * np.log10(np.maximum(power, 1e-12))
    silence = () if sound is None else (clip.silence,)
    return Facts(silence=silence, **{name: pack_column(name, column) for name, column in columns.items()})


def tiny_sample(number: int) -> tuple[Sidecar, dict[str, bytes]]:
    """Clip `number` of the tiny data set: its sidecar and its members. Two neighbouring clips share a source."""
    clip = TinyClip(number)
    pictures, sound = clip.pictures(), clip.sound() if clip.has_sound else None
    members = {"mp4": encode_video(pictures, clip.rate)}
    if sound is not None:
        members["flac"] = encode_sound(sound)
    source = number // 2
    return (
        Sidecar(
            key=f"tiny-{number:03}",
            source=Source(id=f"{source:016x}", name=f"tiny/{source}.mp4", start_frame=number % 2 * 90),
            video=describe_video(members["mp4"], clip.rate),
            audio=None
            if sound is None
            else Audio(codec="flac", rate=AUDIO_RATE, channels=1, samples=len(sound)),
            facts=facts_of(clip, pictures, sound),
            original=Original(container="mp4", video_codec="h264", rate=(clip.rate, 1)),
            labels={"number": number, "size": "x".join(map(str, clip.size))},
            tracks={"x": pack_column("track", clip.x)},
        ),
        members,
    )


@pytest.fixture(scope="session")
def tiny_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """36 clips of 2-3 s from 18 sources in 3 shards: two sizes, three rates, every fourth without sound.

    Do not write into its folder; copy it to damage it.
    """
    folder = tmp_path_factory.mktemp("tiny")
    for shard in range(3):
        with ShardWriter(folder / f"tiny-{shard}.tar", identity=identity_text(IDENTITY)) as writer:
            for number in range(12 * shard, 12 * shard + 12):
                writer.add(*tiny_sample(number))
            writer.commit()
    return compile_catalogue(folder, identity=IDENTITY, profile={"name": "tiny"})


@dataclass
class Trouble:
    """What a `FaultyServer` does with its next `times` requests for paths that end in `suffix`."""

    kind: str
    suffix: str = ""
    times: int = 10**9
    value: str = ""


class FaultyServer(ThreadingHTTPServer):
    """Serves a folder on loopback, in ranges, and misbehaves when told to.

    Kinds of trouble: `status` (value: the code), `stall` (after half of the bytes), `drip` (a byte now and then), `reset`,
    `late` (value: after so many seconds), `short` (fewer bytes than stated), `wrong` (a flipped bit), `whole` (ignores the range), `redirect` (value: where to).
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _FaultyHandler)
        self.folder = folder
        self.trouble: list[Trouble] = []
        self.requests: list[tuple[str, str]] = []
        """(path, range) of every request."""
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trouble_for(self, path: str) -> Trouble | None:
        for trouble in self.trouble:
            if path.endswith(trouble.suffix) and trouble.times > 0:
                trouble.times -= 1
                return trouble
        return None


class _FaultyHandler(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        asked = self.headers.get("Range", "")
        self.server.requests.append((self.path, asked))
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        trouble = self.server.trouble_for(self.path) if body else None
        kind, value = (trouble.kind, trouble.value) if trouble else ("", "")
        if kind == "late":
            self.server.ending.wait(float(value))
        if kind == "redirect":
            return self._head(302, 0, Location=value)
        if kind == "status" or not path.is_file():
            return self._head(int(value or 404), 0)
        data, status = path.read_bytes(), 200
        headers = {"Accept-Ranges": "bytes"}
        if asked and kind != "whole":
            first, _, last = asked.removeprefix("bytes=").partition("-")
            headers["Content-Range"] = f"bytes {asked.removeprefix('bytes=')}/{len(data)}"
            data, status = data[int(first) : int(last) + 1], 206
        self._head(status, len(data), **headers)
        if body:
            self._send(data, kind)
        return None

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, data: bytes, kind: str) -> None:
        half = len(data) // 2
        if kind == "wrong":
            data = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        if kind in ("stall", "reset", "short"):
            self.wfile.write(data[:half])
            self.wfile.flush()
            self.close_connection = True
            if kind == "stall":
                self.server.ending.wait(20)
            if kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            return
        if kind == "drip":
            # Whoever asked goes away.
            with suppress(BrokenPipeError, ConnectionResetError):
                for byte in data:
                    if self.server.ending.wait(0.1):
                        return
                    self.wfile.write(bytes([byte]))
            return
        self.wfile.write(data)


@pytest.fixture
def faulty_server(tmp_path: Path) -> Iterator[FaultyServer]:
    """A server on loopback over the folder `tmp_path / "served"`."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = FaultyServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.ending.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def trouble() -> type[Trouble]:
    return Trouble
