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

from unreel.pipelines.decode.backend import BatchShape, Decoded, batch_shapes, check_pixels, check_row, failed
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


_Failures = list[dict[int, DecodeFailed]]
"""For each task, row → why it could not be decoded."""


class _Kind(NamedTuple):
    """Rows that one graph takes: of the same tasks, and all still pictures or all videos."""

    tasks: tuple[int, ...]
    shapes: tuple[BatchShape, ...]
    """Of these tasks' rows."""
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
        """Decode all rows; see `DecodeBackend.decode`."""
        return self.decode_together(samples, [plans], pixels=pixels)[0]

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode all rows for all tasks; see `TogetherBackend.decode_together`.

        DALI fails a whole batch for one bad sample. Those whose damage shows are left out before (`screen`); else the
        batch is halved until the culprit stands alone, which costs about two more batches. A run that does not
        return fails all its rows.
        """
        check_pixels(self.name, pixels)
        batch = _Batch(samples, plans, batch_shapes(samples, plans), self._device)
        failures: _Failures = [{} for _ in plans]
        pieces = [
            piece
            for kind, rows in self._kinds(batch, failures).items()
            for piece in self._pieces(batch, rows, kind, failures)
        ]
        return [
            Decoded(
                frames=batch.frames(task, pieces), audio=batch.audio(task, pieces), failures=failures[task]
            )
            for task in range(len(plans))
        ]

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

    def _kinds(self, batch: "_Batch", failures: _Failures) -> dict[_Kind, list[int]]:
        """The rows of each graph; tasks that cannot have a row go into `failures`."""
        kinds: dict[_Kind, list[int]] = {}
        for row, sample in enumerate(batch.samples):
            planned = (task for task, wanted in enumerate(batch.plans) if wanted[row] is not None)
            tasks = tuple(task for task in planned if self._takes(row, task, batch, failures[task]))
            if tasks:
                shapes = tuple(batch.shapes[task] for task in tasks)
                kind = _Kind(tasks, shapes, sample.sidecar.image is not None)
                kinds.setdefault(kind, []).append(row)
        return kinds

    def _takes(self, row: int, task: int, batch: "_Batch", failures: dict[int, DecodeFailed]) -> bool:
        sample, plan, shape = batch.samples[row], batch.plans[task][row], batch.shapes[task]
        assert plan is not None
        try:
            check_row(sample, plan, shape, self.declines(sample.sidecar))
            _screen(sample, shape)
        except DecodeFailed as error:
            failures[row] = failed(sample, self.name, error)
        return row not in failures

    def _pieces(
        self, batch: "_Batch", rows: list[int], kind: _Kind, failures: _Failures
    ) -> Iterator["_Piece"]:
        """The rows that decode, in as few pieces as it takes; those that do not go into `failures`."""
        try:
            piece = self._run(batch, rows, kind)
        except Hung as error:
            reason = f"DALI gave no answer in {self._patience:g} s for these {len(rows)} rows; its pipeline was given up"
            self._fail(batch, rows, kind, _because(reason, error), failures)
        except RuntimeError as error:
            if len(rows) == 1:
                self._fail(batch, rows, kind, DecodeFailed(_reason(error)), failures)
                return
            half = len(rows) // 2
            yield from self._pieces(batch, rows[:half], kind, failures)
            yield from self._pieces(batch, rows[half:], kind, failures)
        else:
            yield piece

    def _fail(
        self, batch: "_Batch", rows: list[int], kind: _Kind, reason: DecodeFailed, failures: _Failures
    ) -> None:
        for task in kind.tasks:
            failures[task].update({row: failed(batch.samples[row], self.name, reason) for row in rows})

    def _run(self, batch: "_Batch", rows: list[int], kind: _Kind) -> "_Piece":
        """Decode `rows`. Raises RuntimeError if one is bad, Hung if the run does not return."""
        graph = self._graph(kind, len(rows))
        try:
            return batch.run(graph.pipeline, rows, kind.tasks, patience=self._patience)
        except BaseException:
            # DALI calls a pipeline invalid after an error; building another takes 2 ms.
            del self._graphs[kind]
            raise

    def _graph(self, kind: _Kind, rows: int) -> _Graph:
        kept = self._graphs.get(kind)
        if kept is None or kept.rows < rows:
            pipeline = build_graph(kind.shapes, self._settings, rows=rows, still=kind.still)
            kept = self._graphs[kind] = _Graph(pipeline, rows)
        return kept


def build_graph(
    shapes: Sequence[BatchShape], settings: GraphSettings, *, rows: int, still: bool = False
) -> Pipeline:
    """The graph of one batch shape, or of several tasks' shapes: bytes → pictures cropped to the window, and spans of sound.

    What is decoded is decoded once; each task gets its part. Pictures come as `[R, T, H, W, 3]` of videos and as
    `[R, H, W, 3]` of still pictures.
    """
    device = settings.device
    # With a queue of two, one feed a run is not enough: DALI looks for a batch that is not there yet.
    pipeline = Pipeline(
        batch_size=rows,
        num_threads=settings.threads,
        device_id=None if device.type == "cpu" else device.index or 0,
        prefetch_queue_depth=1,
    )
    with pipeline:
        pictures, sound = _decoders(shapes, settings, still=still)
        outputs = []
        for task, shape in enumerate(shapes):
            if shape.picture is not None:
                frames, *size = shape.picture
                corner = _source(f"corner{task}", DALIDataType.INT32)
                axes, part = ((0, 1), size) if still else ((0, 1, 2), (frames, *size))
                outputs.append(fn.slice(pictures, start=corner, shape=part, axes=axes))
            if shape.sound is not None:
                start = _source(f"start{task}", DALIDataType.INT32)
                outputs.append(fn.slice(sound, start=start, shape=(shape.sound[1],), axes=(0,)))
        pipeline.set_outputs(*outputs)
    pipeline.build()
    return pipeline


def _where(settings: GraphSettings) -> str:
    """DALI's name for a decoder that takes bytes on the host and leaves pictures on the device."""
    return "cpu" if settings.device.type == "cpu" else "mixed"


def _decoders(shapes: Sequence[BatchShape], settings: GraphSettings, *, still: bool) -> tuple[Any, Any]:
    """Decoded pictures, all tasks' frames one behind the other, and decoded sound; None where nobody takes it."""
    pictures = sound = None
    if any(shape.picture is not None for shape in shapes):
        pictures = (_still_graph if still else _video_graph)(settings)
    if any(shape.sound is not None for shape in shapes):
        sound, _ = fn.decoders.audio(_source("sound", DALIDataType.UINT8), dtype=DALIDataType.FLOAT)
    return pictures, sound


def _still_graph(settings: GraphSettings) -> Any:
    return fn.decoders.image(
        _source("picture", DALIDataType.UINT8),
        device=_where(settings),
        hw_decoder_load=settings.hw_decoder_load,
        # The sidecar's size is that of the stored picture, and other backends do not look for EXIF.
        adjust_orientation=False,
    )


def _video_graph(settings: GraphSettings) -> Any:
    encoded, frames = _source("picture", DALIDataType.UINT8), _source("frames", DALIDataType.INT32)
    return fn.decoders.video(
        encoded, device=_where(settings), frames=frames, pad_mode=settings.pad_mode, affine=False
    )


def _source(name: str, dtype: DALIDataType) -> Any:
    return fn.external_source(name=name, dtype=dtype, ndim=1)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a batch, decoded: by task pictures `[R, T, H, W, 3]` and sound `[R, C, N]`, where asked for."""

    rows: list[int]
    frames: dict[int, Tensor]
    audio: dict[int, Tensor]


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rows of one call, ready to be fed in any selection; plans and shapes of each task."""

    samples: Sequence[EncodedSample]
    plans: Sequence[Sequence[Plan | None]]
    shapes: Sequence[BatchShape]
    device: torch.device

    def run(
        self, pipeline: Pipeline, rows: list[int], tasks: Sequence[int] = (0,), *, patience: float = _PATIENCE
    ) -> _Piece:
        """Decode `rows` for `tasks`, all of them videos or all still pictures.

        Raises:
            RuntimeError: one of them is bad.
            Hung: it takes longer than `patience` seconds.
        """
        columns: dict[str, list[NDArray]] = {}
        for row in rows:
            for name, value in self._inputs(row, tasks).items():
                columns.setdefault(name, []).append(value)
        outputs = iter(self._outputs(pipeline, columns, patience))
        piece = _Piece(rows, {}, {})
        for task in tasks:
            shape = self.shapes[task]
            if shape.picture is not None:
                frames = next(outputs)
                if frames.ndim == 4:
                    frames = frames[:, None].expand(-1, shape.picture[0], -1, -1, -1).contiguous()
                piece.frames[task] = frames
            if shape.sound is not None:
                piece.audio[task] = next(outputs).transpose(1, 2).contiguous()
        return piece

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

    def frames(self, task: int, pieces: Sequence[_Piece]) -> Tensor | None:
        """The pictures of all rows of one task, zeros where no piece has them; None where it takes none."""
        blank = self.shapes[task].blank(0, self.device)[0]
        return blank if blank is None else self._join(blank, [(p.rows, p.frames.get(task)) for p in pieces])

    def audio(self, task: int, pieces: Sequence[_Piece]) -> Tensor | None:
        """As `frames`, of the sound."""
        blank = self.shapes[task].blank(0, self.device)[1]
        return blank if blank is None else self._join(blank, [(p.rows, p.audio.get(task)) for p in pieces])

    def _join(self, blank: Tensor, parts: Sequence[tuple[list[int], Tensor | None]]) -> Tensor:
        found = [(rows, values) for rows, values in parts if values is not None]
        if len(found) == 1 and found[0][0] == list(range(len(self.samples))):
            return found[0][1]
        whole = blank.new_zeros((len(self.samples), *blank.shape[1:]))
        for rows, values in found:
            whole[torch.tensor(rows, device=self.device)] = values
        return whole

    def _inputs(self, row: int, tasks: Sequence[int]) -> Mapping[str, NDArray]:
        sample = self.samples[row]
        audio, described = sample.sidecar.audio, sample.sidecar.video or sample.sidecar.image
        plans = [plan for task in tasks if (plan := self.plans[task][row]) is not None]
        inputs: dict[str, NDArray] = {}
        first = 0
        for number, (task, plan) in enumerate(zip(tasks, plans, strict=True)):
            if self.shapes[task].picture is not None and plan.window is not None:
                corner = [plan.window.top, plan.window.left]
                # Of a video, this task's frames begin behind those of the tasks before it.
                inputs[f"corner{number}"] = np.array(
                    corner if sample.sidecar.video is None else [first, *corner], np.int32
                )
                first += len(plan.frames)
            if self.shapes[task].sound is not None and plan.sound is not None:
                inputs[f"start{number}"] = np.array([plan.sound.start], np.int32)
        if first and described is not None:
            inputs["picture"] = np.frombuffer(sample.members[described.member], np.uint8)
            if sample.sidecar.video is not None:
                inputs["frames"] = np.concatenate([plan.frames for plan in plans]).astype(np.int32)
        if any(name.startswith("start") for name in inputs) and audio is not None:
            inputs["sound"] = np.frombuffer(sample.members[audio.member], np.uint8)
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
