"""The default backend on CPU: packets straight from the mapped shard into a decoder that is kept, no demuxer.

The sidecar's packet table says where each packet lies, so nothing is opened, probed or searched. Only the runs of
packets that a plan needs are decoded, each from its nearest key frame on, and only what a plan shows is converted.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Final

import av
import torch
from torch import Tensor

from unreel.pipelines.decode.backend import Decoded, Show, failed
from unreel.pipelines.decode.buffers import Buffers
from unreel.pipelines.decode.headers import CODECS
from unreel.pipelines.decode.native import Job, NativeDecoder, SoundJob
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.decode.rows import RowBackend, sound_member
from unreel.pipelines.decode.selftest import why_not
from unreel.pipelines.decode.views import View, make_views
from unreel.pipelines.ops.yuv import COLOURS
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
        self._slow: list[PacketDecoder] = []
        self._buffers: defaultdict[tuple[int, str], Buffers] = defaultdict(Buffers)
        """Number of a task and what it takes → memory: blocks of one size take turns best."""
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
        """Pictures that came out of the decoders so far, wanted or not."""
        native = 0 if self._native is None else self._native.produced
        return native + sum(decoder.produced for decoder in self._slow)

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode all rows for all tasks; see `TogetherBackend.decode_together`."""
        if self._native is None:
            return super().decode_together(samples, plans, pixels=pixels)
        views = make_views(samples, plans, pixels, self._memory)
        for view in views:
            view.check(self, samples)
        self._decode_pictures(self._native, samples, [view for view in views if view.pictures])
        self._decode_sounds(self._native, samples, [view for view in views if view.sound is not None])
        return [view.finish(samples) for view in views]

    def close(self) -> None:
        """Stop the threads and free the decoders."""
        super().close()
        if self._native is not None:
            self._native.close()

    def _memory(self, number: int, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return self._buffers[number, name].take(shape, dtype)

    def _decode_pictures(
        self, native: NativeDecoder, samples: Sequence[EncodedSample], views: Sequence[View]
    ) -> None:
        """Decode the pictures of all rows into the views, all of which take pictures."""
        jobs = []
        for row, sample in enumerate(samples):
            plans = [view.plans[row] for view in views]
            try:
                if any(plan is not None for plan in plans):
                    jobs.append(Job.of(row, sample, plans))
            except DecodeFailed as error:
                self._fail(sample, row, views, error)
        errors = native.decode(jobs, [view.pictures for view in views]) if jobs else []
        for job, wrong in zip(jobs, errors, strict=True):
            if wrong is not None:
                self._fail(samples[job.row], job.row, views, wrong)

    def _decode_sounds(
        self, native: NativeDecoder, samples: Sequence[EncodedSample], views: Sequence[View]
    ) -> None:
        """Decode the sound of all rows into the views, all of which take sound: FLAC without the GIL."""
        jobs, others = [], []
        for row, sample in enumerate(samples):
            plans = [view.plans[row] for view in views]
            if all(plan is None for plan in plans):
                continue
            if sample.sidecar.audio is None or sample.sidecar.audio.codec != "flac":
                others.append(row)
                continue
            try:
                spans = [None if plan is None else plan.sound for plan in plans]
                jobs.append(SoundJob(row, sound_member(sample), spans))
            except DecodeFailed as error:
                self._fail(sample, row, views, error)
        list(self._pool.map(lambda row: self._row_sound(samples[row], row, views), others))
        errors = native.decode_sounds(jobs, [_sound(view) for view in views]) if jobs else []
        for job, wrong in zip(jobs, errors, strict=True):
            if wrong is not None:
                self._fail(samples[job.row], job.row, views, wrong)

    def _fail(self, sample: EncodedSample, row: int, views: Sequence[View], error: DecodeFailed) -> None:
        for view in views:
            if view.plans[row] is not None:
                view.fail(row, failed(sample, self.name, error))

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

    def _pictures(self, sample: EncodedSample, shows: Sequence[Show]) -> None:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = PacketDecoder()
            self._slow.append(self._local.decoder)
        self._local.decoder.decode(sample, shows)


def _sound(view: View) -> Tensor:
    assert view.sound is not None
    return view.sound
