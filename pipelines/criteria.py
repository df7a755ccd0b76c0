"""Which rows of an index a task and a user accept: a task's needs, ranges of measures, and the side of the split."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from unreel.pipelines.pretext.task import Needs
from unreel.shards.catalogue import SampleRow
from unreel.shards.making.measures import MEASURES, TOLERANCE, scene_seconds

__all__ = ["MEASURES", "SPLITS", "Criteria", "Filters", "is_held_out"]

SPLITS: Final = ("train", "val")

Filters = Mapping[str, tuple[float, float]]
"""Name in `MEASURES` → smallest and largest value that is accepted."""

_ARRANGING: Final = ("group", "distinct_sources", "source_pairs")
"""Needs that say how samples are put together, and not which ones are taken."""

_NEEDS: Final[Mapping[str, Callable[[Needs, SampleRow], bool]]] = {
    "video": lambda needs, row: row.frames > 0 or (needs.image and row.width > 0),
    "image": lambda needs, row: row.width > 0 and (needs.video or not row.frames),
    "audio": lambda needs, row: row.audio_samples > 0,
    "min_seconds": lambda needs, row: row.seconds >= needs.min_seconds - TOLERANCE,
    "min_scene_seconds": lambda needs, row: scene_seconds(row) >= needs.min_scene_seconds - TOLERANCE,
    "min_size": lambda needs, row: row.height >= needs.min_size[0] and row.width >= needs.min_size[1],
    "min_motion": lambda needs, row: row.motion >= needs.min_motion,
    "min_sound": lambda needs, row: row.sound >= needs.min_sound,
}
"""Need → whether a sample meets it; only needs that are not at their default are asked."""


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What decides whether a sample is used, and what it is counted as.

    Attributes:
        needs: of the task.
        split: "train", "val", or None for all.
        holdout: share of the sources in [0, 1] that is "val".
        filters: ranges that the user asks for.
        balance: name of the label by whose values samples are divided into classes; None makes no classes.

    Raises:
        ValueError: a value is out of range, or a name unknown.
    """

    needs: Needs
    split: str | None = None
    holdout: float = 0.0
    filters: Filters = field(default_factory=dict)
    balance: str | None = None

    def __post_init__(self) -> None:
        if self.split is not None and self.split not in SPLITS:
            raise ValueError(
                f"split {self.split!r}: choose one of {', '.join(SPLITS)}, or None for all samples"
            )
        if not 0 <= self.holdout <= 1:
            raise ValueError(f"holdout {self.holdout}: a share of the sources in [0, 1]")
        for name, (low, high) in self.filters.items():
            if name not in MEASURES:
                raise ValueError(f"filter {name!r}: choose one of {', '.join(MEASURES)}")
            if not low <= high:
                raise ValueError(f"filter {name} = [{low}, {high}]: the first is the smallest value accepted")

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides, as JSON gives it back."""
        needs = {name: value for name, value in asdict(self.needs).items() if name not in _ARRANGING}
        return {
            "needs": needs | {"min_size": list(self.needs.min_size)},
            "split": self.split,
            "holdout": self.holdout if self.split else 0.0,
            "filters": {name: list(self.filters[name]) for name in sorted(self.filters)},
            "balance": self.balance,
        }

    @property
    def accepts_all(self) -> bool:
        """Whether every sample of any data set is accepted."""
        return self.identity == Criteria(needs=Needs()).identity

    @property
    def tests(self) -> dict[str, Callable[[SampleRow], bool]]:
        """Reason → whether a row passes; a row is used when it passes all."""
        blank, needs = Needs(), self.needs
        tests: dict[str, Callable[[SampleRow], bool]] = {
            self._worded(name): partial(meets, needs)
            for name, meets in _NEEDS.items()
            if getattr(needs, name) != getattr(blank, name)
        }
        for name, bounds in self.filters.items():
            tests[f"filter {name} in {list(bounds)}"] = _between(MEASURES[name], *bounds)
        if self.split is not None:
            tests[f"split {self.split!r} with holdout {self.holdout}"] = self._on_our_side
        return tests

    def _worded(self, need: str) -> str:
        return f"{need} {getattr(self.needs, need)}"

    def _on_our_side(self, row: SampleRow) -> bool:
        """The manifest's split of a source counts where it has one."""
        split = row.split or ("val" if is_held_out(row.source, self.holdout) else "train")
        return split == self.split


def is_held_out(source: str, holdout: float) -> bool:
    """Whether the source with this id is in the share `holdout`; a larger share holds out the same ones and more."""
    digest = hashlib.blake2b(source.encode(), digest_size=8, person=b"unreel-holdout").digest()
    return int.from_bytes(digest, "little") < holdout * 2**64


def _between(measure: Callable[[SampleRow], float], low: float, high: float) -> Callable[[SampleRow], bool]:
    return lambda row: low - TOLERANCE <= measure(row) <= high + TOLERANCE
