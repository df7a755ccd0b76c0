"""DALI: one graph for a whole batch, whose device is a parameter. On CUDA it is NVDEC, on CPU VP9, MJPEG and FLAC."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import nvidia.dali
import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline as UntypedPipeline
from nvidia.dali.types import DALIDataType
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from unreel.pipelines.decode.backend import BatchShape, Decoded, batch_shape, check_row, failed, only_rgb
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Sidecar, Video

__all__ = ["Dali", "build_graph"]

# DALI says that it is typed, and its methods are not.
Pipeline: Any = UntypedPipeline

_CODECS: Final = {"cpu": ("vp9", "mjpeg"), "cuda": ("h264", "hevc", "vp9")}
"""What DALI 2.4 decodes. AV1 is left out: neither A100 nor Hopper has it."""


@dataclass(slots=True)
class _Graph:
    """A built pipeline and the largest batch that it takes."""

    pipeline: Pipeline
    rows: int


class Dali:
    """Whole batches through `decoders.video` and `decoders.audio`, fed with our bytes in our order."""

    name: ClassVar[str] = "dali"

    def __init__(self, *, threads: int, device: str | torch.device = "cpu") -> None:
        self._threads = threads
        self._device = torch.device(device)
        self._graphs: dict[BatchShape, _Graph] = {}
        if self._device.type not in _CODECS:
            raise ValueError(f"device {device}: dali decodes on {' or '.join(_CODECS)}")

    @property
    def version(self) -> str:
        return f"DALI {nvidia.dali.__version__} on {self._device.type}"

    def declines(self, sidecar: Sidecar) -> str | None:
        """Why this backend does not take such a sample, in one sentence; None where it does."""
        if sidecar.audio is not None and sidecar.audio.codec != "flac":
            return f"dali takes sound as FLAC, not {sidecar.audio.codec}"
        if sidecar.image is not None:
            return "dali takes no still pictures; packets does"
        return None if sidecar.video is None else self._declines_video(sidecar.video)

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode all rows; see `DecodeBackend.decode`.

        DALI fails a whole batch for one bad sample, so a failed batch is halved until the culprit stands alone:
        a bad sample costs about two more batches.
        """
        only_rgb(self.name, pixels)
        shape = batch_shape(samples, plans)
        failures: dict[int, DecodeFailed] = {}
        rows = [row for row in range(len(plans)) if self._takes(row, samples, plans, shape, failures)]
        batch = _Batch(samples, plans, shape, self._device)
        pieces = list(self._pieces(batch, rows, failures)) if rows else []
        frames, audio = batch.join(pieces)
        return Decoded(frames=frames, audio=audio, failures=failures)

    def close(self) -> None:
        """Free the graphs."""
        self._graphs.clear()

    def _declines_video(self, video: Video) -> str | None:
        device = self._device.type
        if video.codec not in _CODECS[device]:
            return f"dali on {device} takes {', '.join(_CODECS[device])}, not {video.codec}"
        if device == "cpu" and video.matrix != "smpte170m":
            return f"dali on cpu converts every picture as BT.601 (smpte170m), this one is {video.matrix}"
        return None

    def _takes(
        self,
        row: int,
        samples: Sequence[EncodedSample],
        plans: Sequence[Plan],
        shape: BatchShape,
        failures: dict[int, DecodeFailed],
    ) -> bool:
        try:
            check_row(samples[row], plans[row], shape, self.declines(samples[row].sidecar))
        except DecodeFailed as error:
            failures[row] = failed(samples[row], self.name, error)
        return row not in failures

    def _pieces(
        self, batch: "_Batch", rows: list[int], failures: dict[int, DecodeFailed]
    ) -> Iterator["_Piece"]:
        """The rows that decode, in as few pieces as it takes; those that do not go into `failures`."""
        graph = self._graph(batch.shape, len(rows))
        try:
            piece = batch.run(graph.pipeline, rows)
        except RuntimeError as error:
            # DALI calls a pipeline invalid after an error; building another takes 2 ms.
            del self._graphs[batch.shape]
            if len(rows) == 1:
                failures[rows[0]] = failed(batch.samples[rows[0]], self.name, DecodeFailed(_reason(error)))
                return
            half = len(rows) // 2
            yield from self._pieces(batch, rows[:half], failures)
            yield from self._pieces(batch, rows[half:], failures)
        else:
            yield piece

    def _graph(self, shape: BatchShape, rows: int) -> _Graph:
        kept = self._graphs.get(shape)
        if kept is None or kept.rows < rows:
            pipeline = build_graph(shape, rows=rows, threads=self._threads, device=self._device)
            kept = self._graphs[shape] = _Graph(pipeline, rows)
        return kept


def build_graph(
    shape: BatchShape, *, rows: int, threads: int, device: torch.device, pad_mode: str = "none"
) -> Pipeline:
    """The graph of one batch shape: bytes → pictures cropped to the window, and spans of sound.

    `pad_mode` is DALI's. Its own default answers a frame index beyond the end with a black picture.
    """
    # With a queue of two, one feed a run is not enough: DALI looks for a batch that is not there yet.
    pipeline = Pipeline(
        batch_size=rows,
        num_threads=threads,
        device_id=None if device.type == "cpu" else device.index or 0,
        prefetch_queue_depth=1,
    )
    outputs = []
    with pipeline:
        if shape.picture is not None:
            outputs.append(_picture_graph(shape.picture, device, pad_mode))
        if shape.sound is not None:
            outputs.append(_sound_graph(shape.sound))
        pipeline.set_outputs(*outputs)
    pipeline.build()
    return pipeline


def _picture_graph(picture: tuple[int, int, int], device: torch.device, pad_mode: str) -> Any:
    encoded, frames = _source("video", DALIDataType.UINT8), _source("frames", DALIDataType.INT32)
    where = "cpu" if device.type == "cpu" else "mixed"
    pictures = fn.decoders.video(encoded, device=where, frames=frames, pad_mode=pad_mode, affine=False)
    return fn.slice(pictures, start=_source("corner", DALIDataType.INT32), shape=picture[1:], axes=(1, 2))


def _sound_graph(sound: tuple[int, int]) -> Any:
    wave, _ = fn.decoders.audio(_source("sound", DALIDataType.UINT8), dtype=DALIDataType.FLOAT)
    return fn.slice(wave, start=_source("start", DALIDataType.INT32), shape=(sound[1],), axes=(0,))


def _source(name: str, dtype: DALIDataType) -> Any:
    return fn.external_source(name=name, dtype=dtype, ndim=1)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a batch, decoded: pictures `[R, T, H, W, 3]` and sound `[R, C, N]`, where asked for."""

    rows: list[int]
    frames: Tensor | None
    audio: Tensor | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rows of one call, ready to be fed in any selection."""

    samples: Sequence[EncodedSample]
    plans: Sequence[Plan]
    shape: BatchShape
    device: torch.device

    def run(self, pipeline: Pipeline, rows: list[int]) -> _Piece:
        """Decode `rows`. Raises RuntimeError if one of them is bad."""
        columns: dict[str, list[NDArray]] = {}
        for row in rows:
            for name, value in self._inputs(row).items():
                columns.setdefault(name, []).append(value)
        for name, values in columns.items():
            pipeline.feed_input(name, values)
        outputs = [from_dlpack(output.as_tensor()).to(self.device) for output in pipeline.run()]
        frames = outputs.pop(0) if self.shape.picture is not None else None
        return _Piece(rows, frames, outputs[0].transpose(1, 2).contiguous() if outputs else None)

    def join(self, pieces: list[_Piece]) -> tuple[Tensor | None, Tensor | None]:
        """Pictures and sound of all rows, zeros where no piece has them."""
        if [piece.rows for piece in pieces] == [list(range(len(self.plans)))]:
            return pieces[0].frames, pieces[0].audio
        frames, audio = self.shape.blank(len(self.plans), self.device)
        for piece in pieces:
            rows = torch.tensor(piece.rows, device=self.device)
            for blank, values in ((frames, piece.frames), (audio, piece.audio)):
                if blank is not None and values is not None:
                    blank[rows] = values
        return frames, audio

    def _inputs(self, row: int) -> Mapping[str, NDArray]:
        sample, plan = self.samples[row], self.plans[row]
        video, audio, window = sample.sidecar.video, sample.sidecar.audio, plan.window
        inputs: dict[str, NDArray] = {}
        if self.shape.picture is not None and video is not None and window is not None:
            inputs["video"] = np.frombuffer(sample.members[video.member], np.uint8)
            inputs["frames"] = plan.frames.astype(np.int32)
            inputs["corner"] = np.array([window.top, window.left], np.int32)
        if self.shape.sound is not None and audio is not None and plan.sound is not None:
            inputs["sound"] = np.frombuffer(sample.members[audio.member], np.uint8)
            inputs["start"] = np.array([plan.sound.start], np.int32)
        return inputs


def _reason(error: RuntimeError) -> str:
    """The line of DALI's long message that says what it met."""
    lines = [line.strip() for line in str(error).split("encountered:")[-1].splitlines()]
    return next((line for line in lines if line), "DALI gives no reason")
