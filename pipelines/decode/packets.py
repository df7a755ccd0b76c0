"""The default backend on CPU: packets straight from the mapped shard into a decoder that is kept, no demuxer.

The sidecar's packet table says where each packet lies, so nothing is opened, probed or searched. Only the runs of
packets that a plan needs are decoded, each from its nearest key frame on, and only what a plan shows is converted.
"""

import logging
import threading
from collections.abc import Sequence
from typing import ClassVar, Final

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode.backend import BatchShape, Decoded, batch_shape, check_row, colours_of, failed
from unreel.pipelines.decode.buffers import Buffers
from unreel.pipelines.decode.headers import CODECS
from unreel.pipelines.decode.native import Job, NativeDecoder
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.decode.rows import RowBackend, sound_member
from unreel.pipelines.decode.selftest import why_not
from unreel.pipelines.ops.yuv import COLOURS, PlanarYuv
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Image, Video

__all__ = ["Packets"]

logger = logging.getLogger(__name__)

_CONVERSION: Final = 2
"""Our own conversion to RGB; raised when its pixels change, so that a run is not continued with other pictures."""


class Packets(RowBackend):
    """Packets of mapped shards into kept decoders; needs nothing beyond the locked wheels.

    Attributes:
        fallback: None where the loop without the GIL works; else why the loop in PyAV does its work, at about half
            the speed and with the same pictures.
    """

    name: ClassVar[str] = "packets"
    errors: ClassVar[tuple[type[Exception], ...]] = (DecodeFailed, av.FFmpegError)

    def __init__(self, *, threads: int) -> None:
        super().__init__(threads=threads)
        self._local = threading.local()
        self._buffers = Buffers()
        self.fallback = why_not()
        self._native = None if self.fallback else NativeDecoder(threads)
        if self.fallback:
            logger.warning("packets decodes with the slower loop in PyAV: %s", self.fallback)

    @property
    def version(self) -> str:
        codec = ".".join(map(str, av.library_versions["libavcodec"]))
        return f"PyAV {av.__version__}, libavcodec {codec}, conversion {_CONVERSION}"

    @property
    def produced(self) -> int:
        """Pictures that came out of the decoders so far, wanted or not; counted where the loop runs without the GIL."""
        return 0 if self._native is None else self._native.produced

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode all rows; see `DecodeBackend.decode`."""
        shape = batch_shape(samples, plans, pixels)
        if self._native is None:
            return super().decode(samples, plans, pixels=pixels)
        failures: dict[int, DecodeFailed] = {}
        jobs = self._jobs(samples, plans, shape, failures)
        outs = _outputs(self._buffers, len(plans), shape)
        if outs:
            self._decode_pictures(self._native, jobs, outs, samples, failures)
        audio = self._sounds(samples, plans, shape, failures)
        for row in failures:
            for values in (*outs, *(() if audio is None else (audio,))):
                values[row].zero_()
        return _decoded(outs, audio, samples, failures, shape)

    def close(self) -> None:
        """Stop the threads and free the decoders."""
        super().close()
        if self._native is not None:
            self._native.close()

    def _jobs(
        self,
        samples: Sequence[EncodedSample],
        plans: Sequence[Plan],
        shape: BatchShape,
        failures: dict[int, DecodeFailed],
    ) -> dict[int, Job]:
        jobs = {}
        for row, (sample, plan) in enumerate(zip(samples, plans, strict=True)):
            try:
                check_row(sample, plan, shape, self.declines(sample.sidecar))
                if shape.picture is not None:
                    jobs[row] = Job.of(sample, plan)
            except DecodeFailed as error:
                failures[row] = failed(sample, self.name, error)
        return jobs

    def _decode_pictures(
        self,
        native: NativeDecoder,
        jobs: dict[int, Job],
        outs: tuple[Tensor, ...],
        samples: Sequence[EncodedSample],
        failures: dict[int, DecodeFailed],
    ) -> None:
        """Decode the jobs into their rows; where rows are missing, through a batch without holes."""
        if not jobs:
            return
        rows = list(jobs)
        whole = len(rows) == len(outs[0])
        targets = outs if whole else tuple(out.new_empty((len(rows), *out.shape[1:])) for out in outs)
        errors = native.decode(list(jobs.values()), targets)
        for place, error in enumerate(errors):
            if error is not None:
                failures[rows[place]] = failed(samples[rows[place]], self.name, error)
        if not whole:
            for out, target in zip(outs, targets, strict=True):
                out[rows] = target

    def _sounds(
        self,
        samples: Sequence[EncodedSample],
        plans: Sequence[Plan],
        shape: BatchShape,
        failures: dict[int, DecodeFailed],
    ) -> Tensor | None:
        """The sound of the rows that have not failed; a row that fails here is in `failures` then."""
        if shape.sound is None:
            return None
        audio = self._buffers.take((len(plans), *shape.sound), torch.float32)
        rows = [row for row in range(len(plans)) if row not in failures]
        flac = [row for row in rows if samples[row].sidecar.audio.codec == "flac"]  # type: ignore[union-attr]
        others = sorted(set(rows) - set(flac))

        def one(row: int) -> DecodeFailed | None:
            return self._sound_row(samples[row], plans[row], audio[row])

        errors = zip(
            [*others, *flac],
            [*self._pool.map(one, others), *self._flac(samples, plans, flac, audio)],
            strict=True,
        )
        failures.update({row: error for row, error in errors if error is not None})
        return audio

    def _flac(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], rows: list[int], audio: Tensor
    ) -> list[DecodeFailed | None]:
        """Decode the rows whose sound is FLAC without the GIL."""
        assert self._native is not None
        if not rows:
            return []
        whole = len(rows) == len(plans)
        target = audio if whole else torch.empty((len(rows), *audio.shape[1:]))
        members = [sound_member(samples[row]) for row in rows]
        spans = [plan.sound for plan in (plans[row] for row in rows) if plan.sound is not None]
        errors = self._native.decode_sounds(members, spans, target.numpy())
        if not whole:
            audio[rows] = target
        return [
            None if error is None else failed(samples[row], self.name, error)
            for row, error in zip(rows, errors, strict=True)
        ]

    def _declines_video(self, video: Video) -> str | None:
        if video.b_frames:
            return (
                "packets takes no B-frames: packet order must be presentation order; use decord or torchcodec"
            )
        if video.codec not in CODECS:
            return f"packets takes {', '.join(CODECS)}, not {video.codec}"
        if video.matrix not in COLOURS:
            return f"packets converts the matrices bt709 and smpte170m, not {video.matrix}"
        return None

    def _declines_image(self, image: Image) -> str | None:
        return None if image.codec == "mjpeg" else f"packets takes still pictures as mjpeg, not {image.codec}"

    def _pictures(self, sample: EncodedSample, plan: Plan, out: NDArray[np.uint8]) -> None:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = PacketDecoder()
        self._local.decoder.decode_rgb(sample, plan, out)


def _outputs(buffers: Buffers, rows: int, shape: BatchShape) -> tuple[Tensor, ...]:
    if shape.picture is None:
        return ()
    frames, height, width = shape.picture
    if shape.pixels == "rgb":
        return (buffers.take((rows, frames, height, width, 3)),)
    half = (rows, frames, 2, height // 2, width // 2)
    return buffers.take((rows, frames, height, width)), buffers.take(half)


def _decoded(
    outs: tuple[Tensor, ...],
    audio: Tensor | None,
    samples: Sequence[EncodedSample],
    failures: dict[int, DecodeFailed],
    shape: BatchShape,
) -> Decoded:
    if shape.pixels == "rgb" or not outs:
        return Decoded(frames=outs[0] if outs else None, audio=audio, failures=failures)
    yuv = PlanarYuv(luma=outs[0], chroma=outs[1], colours=colours_of(samples))
    return Decoded(frames=None, yuv=yuv, audio=audio, failures=failures)
