"""`auto`: which backend is quickest on the user's own samples, measured for a moment."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unreel.pipelines.decode.backend import DecodeBackend
from unreel.pipelines.decode.together import decode_together
from unreel.pipelines.plan import Plan
from unreel.shards.reader import EncodedSample

__all__ = ["Choice", "fastest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What `auto` chose and why.

    Attributes:
        name: the backend.
        rates: clips a second of each backend that was measured, the median of the repeats.
        left_out: backend → why it was not measured, in one sentence.
    """

    name: str
    rates: Mapping[str, float]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rates = sorted(self.rates.items(), key=lambda item: -item[1])
        measured = ", ".join(f"{name} {rate:.0f} clips/s" for name, rate in rates)
        return "; ".join([measured, *(f"no {name}: {why}" for name, why in self.left_out.items())])


def fastest(
    backends: Mapping[str, DecodeBackend],
    samples: Sequence[EncodedSample],
    plans: Sequence[Sequence[Plan]],
    *,
    repeats: int = 3,
    left_out: Mapping[str, str],
) -> Choice:
    """Measure each backend on the same samples and the same plans of each task, `repeats` times in turn, after one run to warm up.

    The order rotates with every repeat, so that a machine that slows down slows all of them.

    Raises:
        ValueError: no backend decodes all of the samples.
    """
    reasons = dict(left_out)
    contestants: dict[str, DecodeBackend] = {}
    for name, backend in backends.items():
        why = _why_not(backend, samples, plans)
        if why is None:
            contestants[name] = backend
        else:
            reasons[name] = why
    if not contestants:
        raise ValueError(f"no decode backend takes these samples: {reasons}; see `unreel doctor`")
    seconds = _race(contestants, samples, plans, repeats)
    rates = {name: len(samples) / statistics.median(times) for name, times in seconds.items()}
    return Choice(name=max(rates, key=lambda name: rates[name]), rates=rates, left_out=reasons)


def _why_not(
    backend: DecodeBackend, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan]]
) -> str | None:
    """Why a backend cannot be measured on these samples; None when it decodes them, which also warms it up."""
    for sample in samples:
        declined = backend.declines(sample.sidecar)
        if declined is not None:
            return declined
    failures = [error for one in decode_together(backend, samples, plans) for error in one.failures.values()]
    return str(failures[0]) if failures else None


def _race(
    contestants: Mapping[str, DecodeBackend],
    samples: Sequence[EncodedSample],
    plans: Sequence[Sequence[Plan]],
    repeats: int,
) -> dict[str, list[float]]:
    """Seconds of each repeat of each backend."""
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            decode_together(contestants[name], samples, plans)
            seconds[name].append(time.perf_counter() - start)
    return seconds
