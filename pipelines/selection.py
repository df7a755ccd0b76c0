"""Which samples of a data set a task may see: those that meet its needs, on its side of the split by source."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.pretext.task import Needs
from unreel.shards.catalogue import Catalogue, SampleRow

__all__ = ["SPLITS", "Selection", "is_held_out", "select"]

SPLITS: Final = ("train", "val")

_TESTS: Final[Mapping[str, Callable[[Needs, SampleRow], bool]]] = {
    "video": lambda needs, row: not needs.video or row.frames > 0,
    "audio": lambda needs, row: not needs.audio or row.audio_samples > 0,
    # Rates are rational, so a length that was asked for exactly must not fail by a rounding of floats.
    "min_seconds": lambda needs, row: row.seconds >= needs.min_seconds - 1e-6,
    "min_size": lambda needs, row: row.height >= needs.min_size[0] and row.width >= needs.min_size[1],
    "min_motion": lambda needs, row: row.motion >= needs.min_motion,
    "min_sound": lambda needs, row: row.sound >= needs.min_sound,
}
"""Need → whether a sample meets it."""


@dataclass(frozen=True)
class Selection:
    """The accepted samples of each shard, compiled once.

    Attributes:
        counts: i64 `[shards]`, accepted samples of each shard of the catalogue.
        ordinals: for each shard the accepted ordinals, ascending i64; None where every sample is accepted.
        rejected: need (or `split`) → samples that failed it; a sample can fail several.
    """

    counts: NDArray[np.int64]
    ordinals: tuple[NDArray[np.int64], ...] | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Accepted samples."""
        return int(self.counts.sum())

    def ordinal(self, shard: int, rank: int) -> int:
        """Ordinal in the shard of its accepted sample number `rank`."""
        return rank if self.ordinals is None else int(self.ordinals[shard][rank])


def select(catalogue: Catalogue, needs: Needs, *, split: str | None, holdout: float) -> Selection:
    """The samples of `split` that meet `needs`.

    The manifest's split of a source counts where it has one. The other sources are divided by a hash of their id, so
    that a share `holdout` of the sources is "val": never other clips of a source that is trained on.

    Args:
        split: "train", "val" or, for both and any other, None.
        holdout: share of the sources in [0, 1] that is held out.

    Raises:
        ValueError: an argument is out of range, or no sample is left; says how many samples failed which need.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split {split!r}: choose one of {', '.join(SPLITS)}, or None for all samples")
    if not 0 <= holdout <= 1:
        raise ValueError(f"holdout {holdout}: a share of the sources in [0, 1]")
    # Every sample of a data set of any size, without opening a single index.
    if split is None and needs == Needs(group=needs.group):
        return Selection(catalogue.counts)
    return _compile(catalogue, needs, split, holdout)


def is_held_out(source: str, holdout: float) -> bool:
    """Whether the source with this id is in the share `holdout`; a larger share holds out the same ones and more."""
    digest = hashlib.blake2b(source.encode(), digest_size=8, person=b"unreel-holdout").digest()
    return int.from_bytes(digest, "little") < holdout * 2**64


def _compile(catalogue: Catalogue, needs: Needs, split: str | None, holdout: float) -> Selection:
    accepted: list[list[int]] = [[] for _ in catalogue.counts]
    rejected: Counter[str] = Counter()
    for shard, ordinal, row in catalogue.rows():
        failed = [name for name, meets in _TESTS.items() if not meets(needs, row)]
        if split is not None and split != _split_of(row, holdout):
            failed.append("split")
        rejected.update(failed)
        if not failed:
            accepted[shard].append(ordinal)
    ordinals = tuple(np.array(kept, np.int64) for kept in accepted)
    selection = Selection(np.array([len(kept) for kept in ordinals], np.int64), ordinals, dict(rejected))
    if not len(selection):
        raise ValueError(_explain(catalogue, needs, split, holdout, rejected))
    return selection


def _split_of(row: SampleRow, holdout: float) -> str:
    if row.split is not None:
        return row.split
    return "val" if is_held_out(row.source, holdout) else "train"


def _explain(
    catalogue: Catalogue, needs: Needs, split: str | None, holdout: float, rejected: Mapping[str, int]
) -> str:
    wanted = {name: f"{name} {getattr(needs, name)}" for name in _TESTS}
    wanted["split"] = f"split {split!r} with holdout {holdout}"
    reasons = ", ".join(f"{count} failed {wanted[name]}" for name, count in rejected.items())
    return (
        f"no sample of {len(catalogue)} in {catalogue.folder} can be used: {reasons or 'there is none'}; "
        "lower the task's needs, change the holdout, or build more samples"
    )
