"""Several tasks from one decode, through any backend: what each task gets is what it would get alone, bit for bit."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from unreel.pipelines.decode.backend import DecodeBackend, Decoded, TogetherBackend
from unreel.pipelines.ops.yuv import COLOURS, PlanarYuv
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed, DecoderKilled
from unreel.shards.reader import EncodedSample

__all__ = ["decode_together", "spread"]


def decode_together(
    backend: DecodeBackend,
    samples: Sequence[EncodedSample],
    plans: Sequence[Sequence[Plan | None]],
    *,
    pixels: str = "rgb",
) -> list[Decoded]:
    """For each task k what the backend makes of `samples[i]` by `plans[k][i]`; None plans nothing of this sample.

    A frame that several tasks show is decoded once, by a `TogetherBackend`; any other decodes for each task in turn.
    A row that fails is tried again for each of its tasks alone, so that damage which one task would not have met does not
    cost it anything; failures are rare, and so is that work.

    Raises:
        ValueError: the rows of a task do not make one batch, or a task has a plan for none of the samples.
    """
    if len(plans) == 1 or not isinstance(backend, TogetherBackend):
        return [_alone(backend, samples, wanted, pixels) for wanted in plans]
    found = backend.decode_together(samples, plans, pixels=pixels)
    for row in sorted({row for decoded in found for row in decoded.failures}):
        if sum(wanted[row] is not None for wanted in plans) > 1:
            found = [
                _again(backend, samples[row], wanted[row], row, decoded, pixels)
                for wanted, decoded in zip(plans, found, strict=True)
            ]
    return found


def spread(decoded: Decoded, rows: Sequence[int], count: int) -> Decoded:
    """What was decoded as row i in row `rows[i]` of `count`, and zeros in the others."""
    if len(rows) == count:
        return decoded
    failures = {rows[row]: error for row, error in decoded.failures.items()}
    return Decoded(
        frames=_spread(decoded.frames, rows, count),
        audio=_spread(decoded.audio, rows, count),
        yuv=_spread_yuv(decoded.yuv, rows, count),
        failures=failures,
    )


def _alone(
    backend: DecodeBackend, samples: Sequence[EncodedSample], plans: Sequence[Plan | None], pixels: str
) -> Decoded:
    """One task's rows on their own."""
    rows = [row for row, plan in enumerate(plans) if plan is not None]
    wanted = [plan for plan in plans if plan is not None]
    decoded = backend.decode([samples[row] for row in rows], wanted, pixels=pixels)
    return spread(decoded, rows, len(samples))


def _again(
    backend: DecodeBackend, sample: EncodedSample, plan: Plan | None, row: int, decoded: Decoded, pixels: str
) -> Decoded:
    """The same with a failed row decoded for this task alone, unless its sample kills decoders."""
    if row not in decoded.failures or plan is None:
        return decoded
    if isinstance(decoded.failures[row].__cause__, DecoderKilled):
        return decoded
    alone = backend.decode([sample], [plan], pixels=pixels)
    for values, one in zip(decoded.tensors, alone.tensors, strict=True):
        values[row] = one[0]
    failures: dict[int, DecodeFailed] = {
        **decoded.failures,
        row: alone.failures.get(0, decoded.failures[row]),
    }
    if not alone.failures:
        del failures[row]
    return replace(decoded, failures=failures)


def _spread_yuv(yuv: PlanarYuv | None, rows: Sequence[int], count: int) -> PlanarYuv | None:
    if yuv is None:
        return None
    luma, chroma = (_spread(plane, rows, count) for plane in (yuv.luma, yuv.chroma))
    assert luma is not None and chroma is not None
    # A row without pictures needs the name of some matrix.
    colours = dict(zip(rows, yuv.colours, strict=True))
    return PlanarYuv(
        luma=luma, chroma=chroma, colours=tuple(colours.get(i, COLOURS[0]) for i in range(count))
    )


def _spread(values: Tensor | None, rows: Sequence[int], count: int) -> Tensor | None:
    if values is None:
        return None
    spread_ = values.new_zeros((count, *values.shape[1:]))
    spread_[list(rows)] = values
    return spread_
