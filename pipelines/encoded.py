"""The encoded half of a batch: samples read and plans made on the host, each row with its failure if it has one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode.backend import DecodeBackend, Decoded
from unreel.pipelines.failures import QUARANTINE, describe
from unreel.pipelines.media import MediaBatch, SampleFailure
from unreel.pipelines.ops.yuv import COLOURS, PlanarYuv
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecoderKilled, TooManyFailures
from unreel.shards.reader import EncodedSample

__all__ = ["EncodedBatch", "EncodedRow"]


@dataclass(slots=True)
class EncodedRow:
    """One row on its way to the decoder.

    Attributes:
        shard, key, source: which sample; key and source are "" where the index could not be read.
        sample: None where the sample could not be read.
        plan: None where it could not be planned.
        failure: (stage, reason) of what went wrong.
    """

    shard: str
    key: str = ""
    source: str = ""
    sample: EncodedSample | None = None
    plan: Plan | None = None
    failure: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return f"{self.shard}/{self.key}"


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The rows of one step on one rank.

    Attributes:
        positions: i64 `[B]`.
        rows: B rows.
        audio_rate: samples per second of every row's sound; 0 without sound.
    """

    positions: NDArray[np.int64]
    rows: Sequence[EncodedRow]
    audio_rate: int

    def decode(self, backend: DecodeBackend, *, pixels: str = "rgb") -> MediaBatch:
        """Decode the rows that have a plan; the others keep their place and hold zeros.

        Raises:
            TooManyFailures: no row has a plan, so that not even the shape of the batch is known.
        """
        ready = [(i, row.sample, row.plan) for i, row in enumerate(self.rows) if row.failure is None]
        if not ready:
            raise TooManyFailures(
                f"all {len(self.rows)} samples of a batch failed: {describe(self.failures)}"
            )
        numbers = [i for i, _, _ in ready]
        decoded = backend.decode(
            [sample for _, sample, _ in ready if sample is not None],
            [plan for _, _, plan in ready if plan is not None],
            pixels=pixels,
        )
        for index, error in decoded.failures.items():
            stage = QUARANTINE if isinstance(error.__cause__, DecoderKilled) else "decode"
            self.rows[numbers[index]].failure = (stage, str(error))
        return self._media(decoded, numbers)

    @property
    def failures(self) -> tuple[SampleFailure, ...]:
        """One entry for each row that failed."""
        return tuple(
            SampleFailure(i, int(self.positions[i]), row.shard, row.key, *row.failure)
            for i, row in enumerate(self.rows)
            if row.failure is not None
        )

    def _media(self, decoded: Decoded, numbers: Sequence[int]) -> MediaBatch:
        return MediaBatch(
            frames=_spread(decoded.frames, numbers, len(self.rows)),
            yuv=_spread_yuv(decoded.yuv, numbers, len(self.rows)),
            audio=_spread(decoded.audio, numbers, len(self.rows)),
            audio_rate=self.audio_rate,
            valid=torch.tensor([row.failure is None for row in self.rows]),
            positions=self.positions,
            keys=tuple(row.key for row in self.rows),
            sources=tuple(row.source for row in self.rows),
            plans=tuple(row.plan for row in self.rows),
            sidecars=tuple(None if row.sample is None else row.sample.sidecar for row in self.rows),
            failures=self.failures,
        )


def _spread_yuv(yuv: PlanarYuv | None, numbers: Sequence[int], rows: int) -> PlanarYuv | None:
    if yuv is None or len(numbers) == rows:
        return yuv
    luma, chroma = (_spread(plane, numbers, rows) for plane in (yuv.luma, yuv.chroma))
    assert luma is not None and chroma is not None
    # A row without pictures needs the name of some matrix.
    colours = dict(zip(numbers, yuv.colours, strict=True))
    return PlanarYuv(luma=luma, chroma=chroma, colours=tuple(colours.get(i, COLOURS[0]) for i in range(rows)))


def _spread(values: Tensor | None, numbers: Sequence[int], rows: int) -> Tensor | None:
    """Put decoded rows in their places among `rows` rows, zeros elsewhere."""
    if values is None or len(numbers) == rows:
        return values
    spread = values.new_zeros((rows, *values.shape[1:]))
    spread[list(numbers)] = values
    return spread
