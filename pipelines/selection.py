"""Which samples of a data set a task may see: those that meet its needs, on its side of the split by source."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.compiled import (
    COMPILED_VERSION,
    Compiled,
    Label,
    compile_codes,
    load_codes,
    store_codes,
)
from unreel.pipelines.criteria import SPLITS, Criteria, Filters, is_held_out
from unreel.pipelines.pretext.task import Needs
from unreel.shards.catalogue import Catalogue, SampleRow
from unreel.shards.errors import ShardError
from unreel.shards.reader import Reader

__all__ = ["SPLITS", "Selection", "is_held_out", "select"]

logger = logging.getLogger(__name__)

STORED_FROM: Final = 20_000
"""Samples from which on a selection is kept on disk; fewer are compiled in less than a second."""

MOST_CLASSES: Final = 4096
"""Classes of a balanced order: a label with more values is a number or a name, and not a class."""

Progress = Callable[[int, int], None]
"""Told (shards done, shards) while a selection is compiled."""


@dataclass(frozen=True)
class Selection:
    """The accepted samples of each shard.

    Attributes:
        counts: `[shards]`, accepted samples of each shard of the catalogue.
        accepted: shard → its accepted ordinals, ascending i64; None where every sample is accepted.
        rejected: reason → samples that failed it; a sample can fail several.
        classes: the label's value of each class → the accepted samples of the class; empty without `balance`.
    """

    counts: NDArray[np.integer]
    accepted: Callable[[int], NDArray[np.int64]] | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    classes: "Mapping[Label, Selection]" = field(default_factory=dict)

    def __len__(self) -> int:
        """Accepted samples."""
        return int(self.counts.sum())

    def ordinal(self, shard: int, rank: int) -> int:
        """Ordinal in the shard of its accepted sample number `rank`."""
        return rank if self.accepted is None else int(self.accepted(shard)[rank])

    def ordinals(self, shard: int) -> NDArray[np.int64]:
        """Every accepted ordinal of a shard, ascending i64."""
        return np.arange(self.counts[shard]) if self.accepted is None else self.accepted(shard)


def select(
    catalogue: Catalogue,
    needs: Needs,
    *,
    split: str | None,
    holdout: float,
    filters: Filters | None = None,
    balance: str | None = None,
    progress: Progress | None = None,
) -> Selection:
    """The samples of `split` that meet `needs` and `filters`.

    The manifest's split of a source counts where it has one. The other sources are divided by a hash of their id, so
    that a share `holdout` of the sources is "val": never other clips of a source that is trained on.

    Every index is read once, and with `balance` every sidecar; from `STORED_FROM` samples on the result is kept in the
    folder `selections` beside the catalogue, or in the user's cache folder where nothing can be written there.

    Args:
        split: "train", "val" or, for both and any other, None.
        holdout: share of the sources in [0, 1] that is held out.
        filters: name in `criteria.MEASURES` → (smallest, largest) value.
        balance: name of a label: the selection is divided into its values; samples without it are not used.

    Raises:
        ValueError: an argument is out of range, or no sample is left; says how many samples failed which need.
    """
    criteria = Criteria(
        needs=needs, split=split, holdout=holdout, filters=dict(filters or {}), balance=balance
    )
    # Every sample of a data set of any size, without opening a single index.
    if criteria.accepts_all:
        return Selection(catalogue.counts)
    compiled = _compiled(catalogue, criteria, progress)
    if not compiled.counts.any():
        raise ValueError(_explain(catalogue, compiled.rejected))
    return _selection(compiled)


def _selection(compiled: Compiled) -> Selection:
    if not compiled.classes:
        return Selection(compiled.counts[0], compiled.accepted, compiled.rejected)
    classes: dict[Label, Selection] = {}
    for number, (label, counts) in enumerate(zip(compiled.classes, compiled.counts, strict=True)):
        classes[label] = Selection(counts, partial(compiled.accepted, number=number))
    return Selection(compiled.counts.sum(0), compiled.accepted, compiled.rejected, classes)


def _compiled(catalogue: Catalogue, criteria: Criteria, progress: Progress | None) -> Compiled:
    identity = {"version": COMPILED_VERSION, "catalogue": catalogue.digest, **criteria.identity}
    if len(catalogue) < STORED_FROM:
        return compile_codes(catalogue.counts, _Coder(catalogue, criteria, progress), identity)
    places = [folder / _name(identity) for folder in _folders(catalogue)]
    for place in places:
        if (found := load_codes(place, catalogue.counts, identity)) is not None:
            return found
    for place in places:
        if _writable(place.parent):
            logger.info("compiling which of %d samples are used into %s", len(catalogue), place)
            coder = _Coder(catalogue, criteria, progress)
            return store_codes(place, catalogue.counts, coder, identity)
    logger.warning("no folder to keep the compiled selection in: tried %s", ", ".join(map(str, places)))
    return compile_codes(catalogue.counts, _Coder(catalogue, criteria, progress), identity)


def _name(identity: Mapping[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(identity, order="deterministic"), digest_size=16).hexdigest()


def _folders(catalogue: Catalogue) -> tuple[Path, Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(catalogue.folder) / "selections", cache / "unreel" / "selections"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


class _Coder:
    """Reads every index, and the sidecars where a label divides the samples, and codes their samples."""

    def __init__(self, catalogue: Catalogue, criteria: Criteria, progress: Progress | None) -> None:
        self.classes: list[Label] = []
        self.rejected: Counter[str] = Counter()
        self._catalogue, self._label, self._progress = catalogue, criteria.balance, progress
        self._tests = criteria.tests
        self._reader = Reader(catalogue)
        self._numbers: dict[Label, int] = {}

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        shards = len(self._catalogue.counts)
        for shard in range(shards):
            rows = self._catalogue.index(shard).samples
            codes = (self._code(shard, ordinal, row) for ordinal, row in enumerate(rows))
            yield np.fromiter(codes, np.uint16, len(rows))
            if self._progress is not None:
                self._progress(shard + 1, shards)

    def _code(self, shard: int, ordinal: int, row: SampleRow) -> int:
        failed = [reason for reason, passes in self._tests.items() if not passes(row)]
        self.rejected.update(failed)
        if failed:
            return 0
        return 1 if self._label is None else self._class(shard, ordinal, self._label)

    def _class(self, shard: int, ordinal: int, name: str) -> int:
        """1 + the number of the sample's class; 0 without one."""
        try:
            label = self._reader.read(shard, ordinal, members=()).sidecar.labels.get(name)
        except ShardError:
            self.rejected["a readable sidecar"] += 1
            return 0
        if label is None:
            self.rejected[f"label {name!r}"] += 1
            return 0
        if label not in self._numbers:
            self._add_class(name, label)
        return self._numbers[label]

    def _add_class(self, name: str, label: Label) -> None:
        if len(self.classes) == MOST_CLASSES:
            raise ValueError(
                f"balance {name!r}: more than {MOST_CLASSES} values; choose a label that names classes"
            )
        self.classes.append(label)
        self._numbers[label] = len(self.classes)


def _explain(catalogue: Catalogue, rejected: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count} failed {reason}" for reason, count in rejected.items())
    return (
        f"no sample of {len(catalogue)} in {catalogue.folder} can be used: {reasons or 'there is none'}; "
        "lower the task's needs, widen the filters, change the holdout, or build more samples"
    )
