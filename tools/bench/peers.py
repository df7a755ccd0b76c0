"""Other people's loaders, each as its authors would write it: the same clips, the same RGB pictures, as many processes or threads."""

import io
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

__all__ = [
    "READERS",
    "Clip",
    "dali_reader",
    "data_loader",
    "missing_peers",
    "spdl_pipeline",
    "webdataset_loader",
]

Run = Callable[[int], float]
Read = Callable[["Clip", int, int], NDArray[np.uint8]]
"""(clip, frames, side) → uint8 `[frames, side, side, 3]`."""

_MODULES: Final[Mapping[str, str]] = {
    "torchcodec": "torchcodec.decoders",
    "decord": "decord",
    "spdl": "spdl.io",
    "webdataset": "webdataset",
    "dali": "nvidia.dali",
}


@dataclass(frozen=True, slots=True)
class Clip:
    """Where one clip lies: a stretch of a file, which may be a tar, and the frame at which it starts.

    Attributes:
        size: bytes of the stretch; -1: to the end of the file.
        resize: whether the pictures are first brought to the wanted shorter side, as untouched sources need.
    """

    path: str
    offset: int
    size: int
    start: int
    rate: tuple[int, int]
    resize: bool = False

    def read(self) -> bytes:
        """The encoded bytes."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def missing_peers() -> dict[str, str]:
    """Peer → why it cannot take part here, in one sentence."""
    missing = {}
    for name, module in _MODULES.items():
        try:
            if find_spec(module.split(".")[0]) is None:
                missing[name] = "not installed: pip install 'unreel[bench]'"
            else:
                import_module(module)
        # torchcodec raises RuntimeError where it finds no FFmpeg, the dynamic linker OSError.
        except (ImportError, OSError, RuntimeError) as error:
            missing[name] = str(error).strip().split("\n")[0]
    return missing


def _torchcodec(clip: Clip, frames: int, side: int) -> NDArray[np.uint8]:
    from torchcodec.decoders import VideoDecoder

    source = clip.path if clip.resize else clip.read()
    decoder = VideoDecoder(source, dimension_order="NHWC", num_ffmpeg_threads=1)
    pictures = decoder.get_frames_in_range(clip.start, clip.start + frames).data
    if clip.resize:
        pictures = _resized(pictures, side)
    return np.ascontiguousarray(pictures[:, :side, :side].numpy())


def _decord(clip: Clip, frames: int, side: int) -> NDArray[np.uint8]:
    import decord

    source = clip.path if clip.resize else io.BytesIO(clip.read())
    width = height = -1
    if clip.resize:
        first = decord.VideoReader(source, decord.cpu(0), num_threads=1)[0]
        height, width = _scaled(first.shape[0], first.shape[1], side)
    reader = decord.VideoReader(source, decord.cpu(0), width=width, height=height, num_threads=1)
    pictures = reader.get_batch(list(range(clip.start, clip.start + frames))).asnumpy()
    return np.ascontiguousarray(pictures[:, :side, :side])


def _pyav(clip: Clip, frames: int, side: int) -> NDArray[np.uint8]:
    with av.open(clip.path if clip.resize else io.BytesIO(clip.read())) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return _pyav_frames(container, stream, clip, frames, side)


def _pyav_frames(container: Any, stream: Any, clip: Clip, frames: int, side: int) -> NDArray[np.uint8]:
    wanted = Fraction(clip.start) / Fraction(*clip.rate)
    first = (stream.start_time or 0) + int(wanted / stream.time_base)
    container.seek(first, stream=stream)
    half = 1 / Fraction(*clip.rate) / 2 / stream.time_base
    pictures: list[NDArray[np.uint8]] = []
    for frame in container.decode(stream):
        if frame.pts is None or frame.pts < first - half:
            continue
        size = {}
        if clip.resize:
            size["height"], size["width"] = _scaled(frame.height, frame.width, side)
        pictures.append(frame.reformat(format="rgb24", threads=1, **size).to_ndarray()[:side, :side])
        if len(pictures) == frames:
            break
    return np.stack(pictures)


READERS: Final[Mapping[str, Read]] = {"torchcodec": _torchcodec, "decord": _decord, "PyAV": _pyav}
"""Libraries that read one clip in one process."""


class _Clips(Dataset):
    """A map-style dataset, as the libraries' own examples have it."""

    def __init__(self, clips: Sequence[Clip], read: str, frames: int, side: int) -> None:
        self._clips, self._read, self._frames, self._side = clips, read, frames, side

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(READERS[self._read](self._clips[index], self._frames, self._side))


@dataclass(frozen=True, slots=True)
class _StreamedClip:
    """A random clip of a streamed sample."""

    frames: int
    side: int

    def __call__(self, sample: Mapping[str, Any]) -> torch.Tensor:
        dice = random.Random(sample["__key__"])
        with av.open(io.BytesIO(sample["mp4"])) as container:
            stream: Any = container.streams.video[0]
            stream.codec_context.thread_count = 1
            rate = stream.average_rate
            start = dice.randrange(max(1, stream.frames - self.frames))
            clip = Clip("", 0, 0, start, (rate.numerator, rate.denominator))
            return torch.from_numpy(_pyav_frames(container, stream, clip, self.frames, self.side))


def _workers(count: int) -> dict[str, Any]:
    # Not forked: threads of this process hold locks that a fork would copy.
    return {"num_workers": count, "persistent_workers": True, "multiprocessing_context": "forkserver"}


def data_loader(name: str, clips: Sequence[Clip], *, frames: int, side: int, batch: int, workers: int) -> Run:
    """PyTorch's DataLoader over a library of `READERS`; workers live through all repeats."""
    loader = DataLoader(
        _Clips(clips, name, frames, side),
        batch_size=batch,
        **_workers(workers),
    )
    return _timed(loader, len(clips))


def spdl_pipeline(clips: Sequence[Clip], *, frames: int, side: int, batch: int, threads: int) -> Run:
    """SPDL's pipeline: demuxing and decoding on threads, frames gathered into batches."""
    build: Any = import_module("spdl.pipeline").PipelineBuilder

    def read(clip: Clip) -> NDArray[np.uint8]:
        return _spdl(clip, frames, side)

    def run(_repeat: int) -> float:
        source = build().add_source(iter(clips)).pipe(read, concurrency=threads, output_order="input")
        pipeline = source.aggregate(batch).pipe(np.stack).add_sink(2).build(num_threads=threads)
        with pipeline.auto_stop():
            return _count(pipeline.get_iterator(), len(clips))

    return run


def _spdl(clip: Clip, frames: int, side: int) -> NDArray[np.uint8]:
    import spdl.io

    rate = clip.rate[0] / clip.rate[1]
    window = ((clip.start - 0.25) / rate, (clip.start + frames - 0.25) / rate)
    packets = spdl.io.demux_video(clip.path if clip.resize else clip.read(), timestamp=window)
    scale = f"scale=w='if(gt(iw,ih),-2,{side})':h='if(gt(iw,ih),{side},-2)'," if clip.resize else ""
    shown = f"trim=start={window[0]}:end={window[1]},{scale}crop={side}:{side}:0:0,format=pix_fmts=rgb24"
    buffer = spdl.io.convert_frames(spdl.io.decode_packets(packets, filter_desc=shown))
    return spdl.io.to_numpy(buffer)


def webdataset_loader(
    shards: Sequence[Path], clips: int, *, frames: int, side: int, batch: int, workers: int
) -> Run:
    """WebDataset with its DataLoader: shards are streamed, PyAV decodes, one random clip a sample."""
    import webdataset

    dataset = webdataset.WebDataset(
        [str(path) for path in shards],
        shardshuffle=False,
        resampled=True,
        empty_check=False,
        nodesplitter=None,
    )
    dataset = dataset.map(_StreamedClip(frames, side)).batched(batch, partial=False)
    loader = webdataset.WebLoader(dataset, batch_size=None, **_workers(workers))
    return _timed(loader, clips)


def dali_reader(
    shards: Sequence[Path], clips: int, *, frames: int, side: int, batch: int, threads: int, shortest: int
) -> Run:
    """DALI's own WebDataset reader and CPU decoder: what `.idx` files beside VP9 shards are for."""
    dali: Any = import_module("nvidia.dali")
    fn, plugin = dali.fn, import_module("nvidia.dali.plugin.pytorch")

    @dali.pipeline_def(batch_size=batch, num_threads=threads, device_id=None, seed=1)
    def graph() -> Any:
        encoded = fn.readers.webdataset(
            paths=[str(path) for path in shards],
            index_paths=[str(path.with_suffix(".idx")) for path in shards],
            ext=["mp4"],
            random_shuffle=True,
            name="reader",
        )
        start = fn.random.uniform(range=(0, shortest - frames), dtype=dali.types.INT32)
        video = fn.decoders.video(encoded, device="cpu", start_frame=start, sequence_length=frames)
        return video[:, :side, :side]

    pipeline = graph()
    pipeline.build()
    iterator = plugin.DALIGenericIterator([pipeline], ["frames"], auto_reset=True)

    def run(_repeat: int) -> float:
        return _count(_endless(iterator), clips, size=lambda out: len(out[0]["frames"]))

    return run


def _timed(loader: Any, clips: int) -> Run:
    def run(_repeat: int) -> float:
        return _count(iter(loader), clips)

    return run


def _count(batches: Iterator[Any], clips: int, size: Callable[[Any], int] = len) -> float:
    """Seconds in which `clips` clips come."""
    started, seen = time.perf_counter(), 0
    while seen < clips:
        seen += size(next(batches))
    return time.perf_counter() - started


def _endless(iterator: Any) -> Iterator[Any]:
    while True:
        yield from iterator


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the shorter side brought to `side`."""
    scale = side / min(height, width)
    return max(side, round(height * scale)), max(side, round(width * scale))


def _resized(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 `[T, H, W, 3]` with the shorter side brought to `side`, antialiased."""
    height, width = _scaled(pictures.shape[1], pictures.shape[2], side)
    planes = pictures.permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1)
