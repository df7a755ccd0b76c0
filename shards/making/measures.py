"""What a sample is measured by, each quantity with its name and unit: the vocabulary of filters and statistics."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from unreel.shards.index import SampleRow

__all__ = ["MEASURES", "TOLERANCE", "Measure", "scene_seconds"]

TOLERANCE: Final = 1e-6
"""Rates are rational, so a length that was asked for exactly must not fail by a rounding of floats."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a sample, from its index row alone. What a sample lacks (sound, a picture, motion) counts as 0."""

    of: Callable[[SampleRow], float]
    unit: str
    meaning: str

    def __call__(self, row: SampleRow) -> float:
        return self.of(row)


def scene_seconds(row: SampleRow) -> float:
    """Length of the longest stretch without a cut; infinite where cuts were not measured."""
    return row.scene * row.rate[1] / row.rate[0] if row.scene else math.inf


MEASURES: Final[Mapping[str, Measure]] = {
    "seconds": Measure(lambda row: row.seconds, "s", "length of the picture, without one of the sound"),
    "height": Measure(lambda row: row.height, "px", "of the stored picture"),
    "width": Measure(lambda row: row.width, "px", "of the stored picture"),
    "frame_rate": Measure(lambda row: row.rate[0] / row.rate[1], "1/s", "frames a second"),
    "motion": Measure(lambda row: row.motion, "levels", "change from frame to frame in the liveliest second"),
    "sound": Measure(lambda row: row.sound, "share", "of the sound that is not silent"),
    "luma": Measure(lambda row: row.luma, "levels", "mean brightness in [0, 255]"),
    "scene_seconds": Measure(
        lambda row: min(scene_seconds(row), row.seconds), "s", "longest stretch without a cut"
    ),
}
"""What a range can be asked of. A scene that was not measured is as long as its sample."""
