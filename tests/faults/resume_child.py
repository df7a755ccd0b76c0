"""Run in a process of its own: takes up loaders from states and says what they give. JSON in, JSON out."""

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.mixture import Mixture
from unreel.pipelines.pretext.shuffle_and_learn import ShuffleAndLearn
from unreel.pipelines.pretext.task import Needs
from unreel.shards.catalogue import Catalogue

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"split": None},
    "filtered": {"split": "train", "holdout": 0.3, "filters": {"seconds": (0, 2.7)}},
    "mixed and balanced": {"split": None, "weights": [2, 1], "balance": "size"},
    "pairs of distinct sources": {
        "split": None,
        "weights": [1, 1],
        "rules": ["distinct_sources", "source_pairs"],
    },
}
"""Name → how a loader draws; between them everything that decides an order."""

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Task(ShuffleAndLearn):
    """Shuffle and learn on small windows, with rules for rows beside each other."""

    window: int = 96
    crop: int = 80
    camera_shift: int = 16
    size: int = 32
    rules: tuple[str, ...] = ()

    @property
    def needs(self) -> Needs:
        return replace(super().needs, **dict.fromkeys(self.rules, True))


def open_loader(folders: list[str], setting: str, *, rank: int = 0, world: int = 1) -> Loader:
    """The loader of one of `SETTINGS`; `folders` holds two data sets, and one alone is drawn from the first."""
    chosen = dict(SETTINGS[setting])
    weights, rules = chosen.pop("weights", [1]), tuple(chosen.pop("rules", ()))
    data = Mixture(
        [(Catalogue.open(folder), weight) for folder, weight in zip(folders, weights, strict=False)]
    )
    task = Task(rules=rules)
    return Loader(
        data,
        task,
        batch_size=BATCH,
        seed=11,
        rank=rank,
        world_size=world,
        backend="packets",
        prefetch=1,
        **chosen,
    )


def describe(step: Step) -> list[Any]:
    """Number, ids in their order, a digest of each row's random numbers, and one of the whole batch."""
    batch = step.batch
    # `difference` is measured on pixels, which belong to the digest of the batch.
    drawn = [np.asarray(fact) for name, fact in sorted(batch.facts.items()) if name != "difference"]
    drawn += [batch.targets.numpy(), batch.inputs["tuples"].numpy()]
    rows = [digest(*(values[row] for values in drawn)) for row in range(len(batch))]
    return [step.step, batch.keys, rows, digest(batch.inputs["frame"].numpy(), batch.targets.numpy())]


def digest(*values: np.ndarray) -> str:
    sums = hashlib.blake2b(digest_size=8)
    for value in values:
        sums.update(np.ascontiguousarray(value).tobytes())
    return sums.hexdigest()


def continued(request: dict[str, Any]) -> list[list[Any]]:
    """What a loader gives that goes on from a state."""
    rank, world = request.get("rank", 0), request.get("world", 1)
    with open_loader(request["folders"], request["setting"], rank=rank, world=world) as loader:
        loader.load_state_dict(request["state"])
        return [describe(step) for step in islice(loader, request["steps"])]


if __name__ == "__main__":
    json.dump([continued(request) for request in json.load(sys.stdin)], sys.stdout)
