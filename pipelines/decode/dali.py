"""DALI: one graph for a whole batch, whose device is a parameter: NVDEC and nvJPEG, or VP9, MJPEG, JPEG and FLAC on CPU."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

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
from unreel.pipelines.decode.screen import screen_image, screen_sound, screen_video
from unreel.pipelines.decode.watchdog import Hung, within
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Sidecar, Video

__all__ = ["Dali", "GraphSettings", "build_graph"]

# DALI says that it is typed, and its methods are not.
Pipeline: Any = UntypedPipeline

_CODECS: Final = {"cpu": ("vp9", "mjpeg"), "cuda": ("h264", "hevc", "vp9")}
"""What DALI 2.4 decodes. AV1 is left out: neither A100 nor Hopper has it."""


_HW_LOAD: Final = 0.65
_PATIENCE: Final = 60.0
"""Seconds that one run may take. The first on a GPU loads libraries for some of them."""


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """What a graph is built for.

    Attributes:
        threads: CPU threads that decode.
        device: where pictures are decoded.
        hw_decoder_load: share of JPEG pictures in [0, 1] that a GPU's own JPEG engine takes, its other cores the rest;
            DALI's default. Which is best depends on the GPU and on `threads`.
        pad_mode: DALI's. Its own default answers a frame index beyond the end with a black picture.
    """

    threads: int
    device: torch.device
    hw_decoder_load: float = _HW_LOAD
    pad_mode: str = "none"


class _Kind(NamedTuple):
    """Rows that one graph takes: of one batch shape, and all still pictures or all videos."""

    shape: BatchShape
    still: bool


@dataclass(slots=True)
class _Graph:
    """A built pipeline and the largest batch that it takes."""

    pipeline: Pipeline
    rows: int


class Dali:
    """Whole batches through `decoders.video`, `decoders.image` and `decoders.audio`, fed with our bytes in our order."""

    name: ClassVar[str] = "dali"

    def __init__(
        self,
        *,
        threads: int,
        device: str | torch.device = "cpu",
        hw_decoder_load: float = _HW_LOAD,
        patience: float = _PATIENCE,
    ) -> None:
        """Prepare; graphs are built when their first batch comes.

        Args:
            threads, device, hw_decoder_load: see `GraphSettings`.
            patience: seconds that one run may take before its rows fail and its pipeline is given up.

        Raises:
            ValueError: a setting is out of its range.
        """
        self._device, self._patience = torch.device(device), patience
        if self._device.type not in _CODECS:
            raise ValueError(f"device {device}: dali decodes on {' or '.join(_CODECS)}")
        if not 0 <= hw_decoder_load <= 1:
            raise ValueError(f"hw_decoder_load {hw_decoder_load}: a share in [0, 1]")
        self._settings = GraphSettings(threads, self._device, hw_decoder_load)
        self._graphs: dict[_Kind, _Graph] = {}

    @property
    def version(self) -> str:
        return f"DALI {nvidia.dali.__version__} on {self._device.type}"

    def declines(self, sidecar: Sidecar) -> str | None:
        """Why this backend does not take such a sample, in one sentence; None where it does."""
        if sidecar.audio is not None and sidecar.audio.codec != "flac":
            return f"dali takes sound as FLAC, not {sidecar.audio.codec}"
        if sidecar.image is not None and sidecar.image.codec != "mjpeg":
            return f"dali takes still pictures as mjpeg, not {sidecar.image.codec}"
        return None if sidecar.video is None else self._declines_video(sidecar.video)

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode all rows; see `DecodeBackend.decode`.

        DALI fails a whole batch for one bad sample. Those whose damage shows are left out before (`screen`); else the
        batch is halved until the culprit stands alone, which costs about two more batches. A run that does not
        return fails all its rows.
        """
        only_rgb(self.name, pixels)
        shape = batch_shape(samples, plans)
        failures: dict[int, DecodeFailed] = {}
        rows = [row for row in range(len(plans)) if self._takes(row, samples, plans, shape, failures)]
        batch = _Batch(samples, plans, shape, self._device)
        stills = [row for row in rows if samples[row].sidecar.image is not None]
        videos = [row for row in rows if samples[row].sidecar.image is None]
        pieces = [
            piece
            for group in (videos, stills)
            if group
            for piece in self._pieces(batch, group, _Kind(shape, group is stills), failures)
        ]
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
            _screen(samples[row], shape)
        except DecodeFailed as error:
            failures[row] = failed(samples[row], self.name, error)
        return row not in failures

    def _pieces(
        self, batch: "_Batch", rows: list[int], kind: _Kind, failures: dict[int, DecodeFailed]
    ) -> Iterator["_Piece"]:
        """The rows that decode, in as few pieces as it takes; those that do not go into `failures`."""
        try:
            piece = self._run(batch, rows, kind)
        except Hung as error:
            reason = f"DALI gave no answer in {self._patience:g} s for these {len(rows)} rows; its pipeline was given up"
            for row in rows:
                failures[row] = failed(batch.samples[row], self.name, _because(reason, error))
        except RuntimeError as error:
            if len(rows) == 1:
                failures[rows[0]] = failed(batch.samples[rows[0]], self.name, DecodeFailed(_reason(error)))
                return
            half = len(rows) // 2
            yield from self._pieces(batch, rows[:half], kind, failures)
            yield from self._pieces(batch, rows[half:], kind, failures)
        else:
            yield piece

    def _run(self, batch: "_Batch", rows: list[int], kind: _Kind) -> "_Piece":
        """Decode `rows`. Raises RuntimeError if one is bad, Hung if the run does not return."""
        graph = self._graph(kind, len(rows))
        try:
            return batch.run(graph.pipeline, rows, patience=self._patience)
        except BaseException:
            # DALI calls a pipeline invalid after an error; building another takes 2 ms.
            del self._graphs[kind]
            raise

    def _graph(self, kind: _Kind, rows: int) -> _Graph:
        kept = self._graphs.get(kind)
        if kept is None or kept.rows < rows:
            pipeline = build_graph(kind.shape, self._settings, rows=rows, still=kind.still)
            kept = self._graphs[kind] = _Graph(pipeline, rows)
        return kept


def build_graph(shape: BatchShape, settings: GraphSettings, *, rows: int, still: bool = False) -> Pipeline:
    """The graph of one batch shape: bytes → pictures cropped to the window, and spans of sound.

    Pictures come as `[R, T, H, W, 3]` of videos and as `[R, H, W, 3]` of still pictures.
    """
    device = settings.device
    # With a queue of two, one feed a run is not enough: DALI looks for a batch that is not there yet.
    pipeline = Pipeline(
        batch_size=rows,
        num_threads=settings.threads,
        device_id=None if device.type == "cpu" else device.index or 0,
        prefetch_queue_depth=1,
    )
    outputs = []
    with pipeline:
        if shape.picture is not None:
            outputs.append((_still_graph if still else _video_graph)(shape.picture, settings))
        if shape.sound is not None:
            outputs.append(_sound_graph(shape.sound))
        pipeline.set_outputs(*outputs)
    pipeline.build()
    return pipeline


def _where(settings: GraphSettings) -> str:
    """DALI's name for a decoder that takes bytes on the host and leaves pictures on the device."""
    return "cpu" if settings.device.type == "cpu" else "mixed"


def _still_graph(picture: tuple[int, int, int], settings: GraphSettings) -> Any:
    pictures = fn.decoders.image(
        _source("picture", DALIDataType.UINT8),
        device=_where(settings),
        hw_decoder_load=settings.hw_decoder_load,
        # The sidecar's size is that of the stored picture, and other backends do not look for EXIF.
        adjust_orientation=False,
    )
    return fn.slice(pictures, start=_source("corner", DALIDataType.INT32), shape=picture[1:], axes=(0, 1))


def _video_graph(picture: tuple[int, int, int], settings: GraphSettings) -> Any:
    encoded, frames = _source("picture", DALIDataType.UINT8), _source("frames", DALIDataType.INT32)
    pictures = fn.decoders.video(
        encoded, device=_where(settings), frames=frames, pad_mode=settings.pad_mode, affine=False
    )
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

    def run(self, pipeline: Pipeline, rows: list[int], *, patience: float = _PATIENCE) -> _Piece:
        """Decode `rows`, all of them videos or all still pictures.

        Raises:
            RuntimeError: one of them is bad.
            Hung: it takes longer than `patience` seconds.
        """
        columns: dict[str, list[NDArray]] = {}
        for row in rows:
            for name, value in self._inputs(row).items():
                columns.setdefault(name, []).append(value)
        outputs = self._outputs(pipeline, columns, patience)
        frames = outputs.pop(0) if self.shape.picture is not None else None
        if frames is not None and frames.ndim == 4:
            frames = frames[:, None].expand(-1, len(self.plans[0].frames), -1, -1, -1).contiguous()
        return _Piece(rows, frames, outputs[0].transpose(1, 2).contiguous() if outputs else None)

    def _outputs(
        self, pipeline: Pipeline, columns: Mapping[str, list[NDArray]], patience: float
    ) -> list[Tensor]:
        """What the graph gives. Pictures of a GPU stay where they are; only sound, decoded on the host, is copied there.

        The stream is the one on which the caller works: what it does next waits for the pictures, the host does not,
        and DALI gives their memory away again only behind it.
        """
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None

        def run() -> Any:
            for name, values in columns.items():
                pipeline.feed_input(name, values)
            return pipeline.run(stream)

        return [from_dlpack(output.as_tensor()).to(self.device) for output in within(patience, run)]

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
        audio, window = sample.sidecar.audio, plan.window
        described = sample.sidecar.video or sample.sidecar.image
        inputs: dict[str, NDArray] = {}
        if self.shape.picture is not None and described is not None and window is not None:
            inputs["picture"] = np.frombuffer(sample.members[described.member], np.uint8)
            if sample.sidecar.video is not None:
                inputs["frames"] = plan.frames.astype(np.int32)
            inputs["corner"] = np.array([window.top, window.left], np.int32)
        if self.shape.sound is not None and audio is not None and plan.sound is not None:
            inputs["sound"] = np.frombuffer(sample.members[audio.member], np.uint8)
            inputs["start"] = np.array([plan.sound.start], np.int32)
        return inputs


def _screen(sample: EncodedSample, shape: BatchShape) -> None:
    """Raise DecodeFailed where it shows that a member is damaged."""
    video, image, audio = sample.sidecar.video, sample.sidecar.image, sample.sidecar.audio
    if shape.picture is not None and video is not None:
        screen_video(video, _member(sample, video.member))
    elif shape.picture is not None and image is not None:
        screen_image(image, _member(sample, image.member))
    if shape.sound is not None and audio is not None:
        screen_sound(audio, _member(sample, audio.member))


def _member(sample: EncodedSample, name: str) -> memoryview:
    if name not in sample.members:
        raise DecodeFailed(f"the member {name} was not read")
    return sample.members[name]


def _because(reason: str, error: Exception) -> DecodeFailed:
    because = DecodeFailed(reason)
    because.__cause__ = error
    return because


def _reason(error: RuntimeError) -> str:
    """The line of DALI's long message that says what it met."""
    lines = [line.strip() for line in str(error).split("encountered:")[-1].splitlines()]
    return next((line for line in lines if line), "DALI gives no reason")
