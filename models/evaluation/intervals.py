"""Intervals by bootstrap over sources: clips and frames of one source are not independent of each other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "Statistic", "bootstrap"]

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A statistic of N samples under weights: f64 `[R, N]`, one weighting a row → f64 `[R]`; NaN where it is undefined."""

_CHUNK: Final = 4_000_000
"""Weights that are held at once: 32 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the uncertainty that comes from which sources happened to be held out.

    Attributes:
        value: the statistic over all samples.
        standard_error: standard deviation over resampled sources; None below two sources.
        interval: percentile interval of 95 % over resampled sources; None below two sources.
        samples: how many samples the value is of.
        sources: how many different sources they come from.
    """

    value: float
    standard_error: float | None
    interval: tuple[float, float] | None
    samples: int
    sources: int

    def exceeds(self, other: float, *, standard_errors: float = 3.0) -> bool:
        """True when the value lies more than `standard_errors` above `other`; False when the error is not known."""
        return self.standard_error is not None and self.value - other > standard_errors * self.standard_error


def bootstrap(
    statistic: Statistic, sources: Sequence[str] | NDArray, *, replicates: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate `statistic` over N samples, resampling whole sources with replacement (the cluster bootstrap).

    Equal `sources` and `seed` resample alike, so that a difference of two statistics may be estimated as one statistic:
    its interval is then a paired one.

    Args:
        statistic: see `Statistic`; a source drawn twice weighs its samples twice.
        sources: the source of each sample, length N.
        replicates: resamplings.

    Raises:
        ValueError: there is no sample.
    """
    names, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    if not len(codes):
        raise ValueError("an estimate needs at least one sample; there are 0")
    value = float(statistic(np.ones((1, len(codes))))[0])
    error, interval = None, None
    if len(names) > 1:
        counts = _resample(len(names), replicates, seed)
        error, interval = _spread(np.concatenate([statistic(part) for part in _weights(counts, codes)]))
    return Estimate(
        value=value, standard_error=error, interval=interval, samples=len(codes), sources=len(names)
    )


def _resample(sources: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each source is drawn, i64 `[R, sources]`; each row sums to `sources`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(sources, np.full(sources, 1 / sources), size=replicates)


def _weights(counts: NDArray[np.int64], codes: NDArray[np.intp]) -> Iterator[NDArray[np.float64]]:
    """Chunks f64 `[r, N]` of the samples' weights."""
    rows = max(1, _CHUNK // len(codes))
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows, codes].astype(np.float64)


def _spread(drawn: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
    """Standard error and 95 % interval; a resample without one of the classes has no value and does not count."""
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(defined.std(ddof=1)), (float(low), float(high))
