"""Threads that decode whole batches without the GIL: rows become a table of numbers, and compiled code does the rest."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode import loop
from unreel.pipelines.decode.avcodec import Decoders, calls
from unreel.pipelines.decode.headers import Header, flac_stream, in_band_header
from unreel.pipelines.decode.stream import Stream, stream_of
from unreel.pipelines.ops.yuv import COLOURS, coefficients
from unreel.pipelines.plan import Plan, Span
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample

__all__ = ["Job", "NativeDecoder", "SoundJob"]

_SOUND_ERRORS: Final = {
    loop.DECODER: "the FLAC decoder refuses the data (error {})",
    loop.MISSING: "no block of FLAC holds sample {}",
    loop.CORRUPT: "the block of sample {} is damaged",
    loop.BAD_FORMAT: "FFmpeg's sample format {} was not expected",
}

_FORMATS: Final = "8-bit YUV 4:2:0, 4:2:2, 4:4:0, 4:1:1 or 4:4:4, or grey JPEG"


@dataclass(frozen=True, slots=True)
class Job:
    """The pictures of one sample and who is shown which of them.

    Attributes:
        row: where in the outputs they go.
        stream, header: the sample's pictures.
        plans: one for each view; None where a view shows nothing of this sample.
    """

    row: int
    stream: Stream
    header: Header
    plans: Sequence[Plan | None]

    @classmethod
    def of(cls, row: int, sample: EncodedSample, plans: Sequence[Plan | None]) -> "Job":
        """Raises DecodeFailed when the sample's header is damaged or its member was not read."""
        stream = stream_of(sample)
        return cls(row, stream, in_band_header(stream.codec, stream.extradata), plans)


@dataclass(frozen=True, slots=True)
class SoundJob:
    """The FLAC file of one sample and who hears which stretch of it; attributes as in `Job`."""

    row: int
    member: memoryview
    spans: Sequence[Span | None]


class NativeDecoder:
    """Decoders for `threads` threads, kept between batches. One batch at a time; others wait.

    Attributes:
        produced: pictures that came out of the decoders so far, wanted or not.
    """

    def __init__(self, threads: int) -> None:
        """Raises DecoderUnavailable where the libavcodec of this machine is not one that was tested."""
        self._calls = calls()
        self.produced = 0
        self._decoders = [Decoders() for _ in range(threads)]
        self._slots: dict[tuple[str, str], int] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode-packets")
        self._lock = Lock()

    def decode(self, jobs: Sequence[Job], outs: Sequence[tuple[Tensor, ...]]) -> list[DecodeFailed | None]:
        """Decode every picture that the jobs ask for once, and write it to each view that shows it.

        Args:
            outs: one entry a view: RGB `[rows, T, H, W, 3]`, or Y `[rows, T, H, W]` and UV `[rows, T, 2, H/2, W/2]`.

        Returns:
            For each job the error it met, or None. What lies in a failed row is undefined.
        """
        with self._lock:
            status = self._run(jobs, outs)
        self.produced += int(status[:, 2].sum())
        return [_error(job, *row) for job, row in zip(jobs, status[:, :2].tolist(), strict=True)]

    def decode_sounds(self, jobs: Sequence[SoundJob], outs: Sequence[Tensor]) -> list[DecodeFailed | None]:
        """Decode the blocks that the jobs need once; `outs` are f32 `[rows, C, N]`, one a view.

        Returns:
            For each job the error it met, or None.
        """
        errors: list[DecodeFailed | None] = []
        with self._lock:
            rows = [self._sound_row(job, _channels(job, outs), errors) for job in jobs]
            status = self._run_sounds(np.array(rows, np.int64), _spans(jobs), outs)
        return [
            error or _sound_error(job, code, detail)
            for error, job, (code, detail) in zip(errors, jobs, status.tolist(), strict=True)
        ]

    def _run_sounds(
        self, rows: NDArray[np.int64], spans: NDArray[np.int64], outs: Sequence[Tensor]
    ) -> NDArray[np.int64]:
        counter, status = np.zeros(1, np.int64), np.zeros((len(rows), 2), np.int64)
        views = np.array([(out.data_ptr(), out.shape[2]) for out in outs], np.int64)

        def work(decoders: Decoders) -> None:
            where = decoders.worker, decoders.table, counter.ctypes.data
            loop.decode_sounds(self._calls, *where, rows, spans, views, status)

        list(self._pool.map(work, self._decoders))
        return status

    def _sound_row(self, job: SoundJob, channels: int, errors: list[DecodeFailed | None]) -> tuple[int, ...]:
        """One row of the table of sounds; what is wrong with it goes into `errors`, and the row is empty then."""
        try:
            stream = flac_stream(job.member)
            if stream.channels != channels:
                raise DecodeFailed(f"the FLAC file has {stream.channels} channels, expected {channels}")
        except DecodeFailed as error:
            errors.append(error)
            return (0,) * len(loop.SOUND_FIELDS)
        errors.append(None)
        slot = self._slot("flac", stream.header)
        where = (_address(job.member), len(job.member), slot, stream.first, stream.block, stream.smallest)
        return (*where, channels, job.row)

    def close(self) -> None:
        """Stop the threads and free the decoders."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for decoders in self._decoders:
            decoders.close()
        self._decoders.clear()

    def _run(self, jobs: Sequence[Job], outs: Sequence[tuple[Tensor, ...]]) -> NDArray[np.int64]:
        tables, headers, views = _tables(jobs), _headers(jobs), _views(outs)
        rows = self._rows(jobs)
        plans, corners = _plans(jobs, views), _corners(jobs)
        order = np.argsort(-loop.row_costs(rows, tables[2], plans), kind="stable")
        counter, status = np.zeros(1, np.int64), np.zeros((len(jobs), 3), np.int64)

        def work(decoders: Decoders) -> None:
            loop.decode_batch(
                self._calls,
                decoders.worker,
                decoders.table,
                order,
                counter.ctypes.data,
                rows,
                tables,
                headers,
                plans,
                corners,
                views,
                coefficients(),
                len(outs[0]) == 2,
                status,
            )

        list(self._pool.map(work, self._decoders))
        return status

    def _rows(self, jobs: Sequence[Job]) -> NDArray[np.int64]:
        """The job table: one row a sample, columns as `loop.FIELDS`."""
        rows, table, header = [], 0, 0
        for job in jobs:
            stream, size = job.stream, len(job.header.in_band)
            where = (_address(stream.data), len(stream.data), table, stream.frames, header, size)
            picture = (stream.width, stream.height, COLOURS.index(stream.matrix))
            rows.append((*where, self._picture_slot(job), *picture, job.row))
            table, header = table + stream.frames, header + size
        return np.array(rows, np.int64)

    def _picture_slot(self, job: Job) -> int:
        """The context of (codec, NAL length size); what else the extradata says travels in band."""
        length = job.header.length_size
        return self._slot(job.stream.codec, job.stream.extradata if length else b"", str(length))

    def _slot(self, codec: str, extradata: bytes, kind: str | None = None) -> int:
        """Which context takes a row: one for each codec and kind, by default its extradata, in every thread."""
        key = (codec, kind or extradata.hex())
        if key not in self._slots:
            for decoders in self._decoders:
                decoders.open(len(self._slots), codec, extradata)
            self._slots[key] = len(self._slots)
        return self._slots[key]


def _tables(jobs: Sequence[Job]) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint8]]:
    """Offsets, sizes and keys of all rows' packets, joined."""
    packets = [job.stream.packets for job in jobs]
    return (
        np.frombuffer(b"".join(table.offset for table in packets), "<u4"),
        np.frombuffer(b"".join(table.size for table in packets), "<u4"),
        np.frombuffer(b"".join(table.key for table in packets), "u1"),
    )


def _headers(jobs: Sequence[Job]) -> NDArray[np.uint8]:
    # One byte more, so that rows without a header leave something to view.
    return np.frombuffer(b"".join([*(job.header.in_band for job in jobs), b"\0"]), np.uint8)


def _views(outs: Sequence[tuple[Tensor, ...]]) -> NDArray[np.int64]:
    """The table of views, columns as `loop.VIEW_FIELDS`."""
    rows, entry = [], 0
    for out in outs:
        frames, height, width = out[0].shape[1:4]
        second = out[1].data_ptr() if len(out) == 2 else 0
        rows.append((entry, frames, height, width, out[0].data_ptr(), second))
        entry += frames
    return np.array(rows, np.int64)


def _plans(jobs: Sequence[Job], views: NDArray[np.int64]) -> NDArray[np.int32]:
    """The frames of all views side by side, i32 `[R, entries]`; -1 where a view shows nothing."""
    plans = np.full((len(jobs), int(views[-1, :2].sum())), -1, np.int32)
    for row, job in enumerate(jobs):
        for plan, (entry, frames) in zip(job.plans, views[:, :2].tolist(), strict=True):
            if plan is not None:
                plans[row, entry : entry + frames] = plan.frames
    return plans


def _corners(jobs: Sequence[Job]) -> NDArray[np.int64]:
    """(top, left) of each view's window, i64 `[R, V, 2]`."""
    windows = ((None if plan is None else plan.window for plan in job.plans) for job in jobs)
    corners = [[(0, 0) if window is None else (window.top, window.left) for window in row] for row in windows]
    return np.array(corners, np.int64)


def _channels(job: SoundJob, outs: Sequence[Tensor]) -> int:
    """Channels of the outputs that a job writes to: alike, since it has no span where they are not its own."""
    return next(out.shape[1] for out, span in zip(outs, job.spans, strict=True) if span is not None)


def _spans(jobs: Sequence[SoundJob]) -> NDArray[np.int64]:
    """(start, stop) of what each view hears, i64 `[R, V, 2]`; zeros for nothing."""
    ends = [
        [(0, 0) if span is None else (span.start, span.start + span.length) for span in job.spans]
        for job in jobs
    ]
    return np.array(ends, np.int64)


def _sound_error(job: SoundJob, code: int, detail: int) -> DecodeFailed | None:
    if code == loop.OK:
        return None
    start = min(span.start for span in job.spans if span is not None)
    return DecodeFailed(f"sound from {start}: {_SOUND_ERRORS[code].format(detail)}")


def _address(data: memoryview) -> int:
    return np.frombuffer(data, np.uint8).__array_interface__["data"][0] if len(data) else 0


def _error(job: Job, code: int, detail: int) -> DecodeFailed | None:
    """What a row's status says, None for success."""
    if code == loop.OK:
        return None
    stream = job.stream
    texts = {
        loop.BAD_PACKET: f"packet {detail} ends beyond the member's {len(stream.data)} bytes",
        loop.DECODER: f"the {stream.codec} decoder refuses the data ({_meaning(detail)})",
        loop.MISSING: f"frame {detail} did not come out of the {stream.codec} decoder",
        loop.CORRUPT: f"frame {detail} is damaged",
        loop.WRONG_SIZE: f"pictures are {detail >> 32}x{detail & 0xFFFFFFFF}, "
        f"the sidecar says {stream.width}x{stream.height}",
        loop.BAD_FORMAT: f"pictures have FFmpeg's pixel format {detail}, expected {_FORMATS}",
    }
    return DecodeFailed(texts[code])


def _meaning(code: int) -> str:
    """libavcodec's error as text: a tag of four letters, or an errno."""
    letters = (-code & 0xFFFFFFFF).to_bytes(4, "little")
    return letters.decode() if letters.isalpha() else f"error {code}"
