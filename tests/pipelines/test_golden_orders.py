"""Golden orders: what a release drew, every later one draws, or it raises `STATE_VERSION` and refuses the old states.

`tests/golden/order/` holds a catalogue of a hundred made-up samples, without their tars, and one file a release with the
first 200 ids of several settings. After raising `STATE_VERSION`, or at a release, write a new file beside the old ones:

    python tests/pipelines/test_golden_orders.py NAME
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from unreel.pipelines.arranged import Sources, arranged
from unreel.pipelines.draws import Draws
from unreel.pipelines.mixture import order_of
from unreel.pipelines.order import Positions
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import Selection, select
from unreel.pipelines.state import STATE_VERSION
from unreel.shards.catalogue import Catalogue

FOLDER: Final = Path(__file__).parents[1] / "golden" / "order"
LENGTH: Final = 200
BATCH: Final = 8

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "all": {"needs": Needs()},
    "another seed": {"needs": Needs(), "seed": 2**62},
    "training sources with sound": {"needs": Needs(audio=True), "split": "train"},
    "held-out sources": {"needs": Needs(), "split": "val"},
    "filtered": {"needs": Needs(video=True), "filters": {"motion": (1, 6), "luma": (30, 250)}},
    "mixture in groups": {"needs": Needs(group=4), "weights": (3, 2)},
    "balanced": {"needs": Needs(), "classes": 3},
    "distinct sources": {"needs": Needs(distinct_sources=True)},
    "pairs of distinct sources": {"needs": Needs(distinct_sources=True, source_pairs=True)},
    "far away": {"needs": Needs(), "start": 10**12},
}


def order_with(catalogue: Catalogue, setting: dict[str, Any]) -> Positions:
    needs, weights = setting["needs"], setting.get("weights", (1,))
    selection = select(
        catalogue, needs, split=setting.get("split"), holdout=0.3, filters=setting.get("filters")
    )
    if classes := setting.get("classes", 0):
        selection = by_ordinal(selection, classes)
    selections = [selection] * len(weights)
    order = order_of(selections, setting.get("seed", 2016), weights=weights, unit=needs.group)
    sources = Sources([catalogue] * len(weights), selections)
    return arranged(order, needs, sources, batch_size=BATCH)


def by_ordinal(selection: Selection, classes: int) -> Selection:
    """A selection whose samples are divided by their ordinal: labels would need the tars."""
    parts = {}
    for number in range(classes):
        counts = np.array([len(range(number, int(count), classes)) for count in selection.counts])
        parts[f"c{number}"] = Selection(
            counts, lambda shard, n=number: np.arange(n, selection.counts[shard], classes)
        )
    return Selection(selection.counts, classes=parts)


def drawn(catalogue: Catalogue, setting: dict[str, Any]) -> list[str]:
    """`part/key` at each position, from the start of the setting on."""
    start = setting.get("start", 0)
    places = order_with(catalogue, setting).locate(range(start, start + LENGTH))
    return [f"{p.part}/{catalogue.index(p.shard).samples[p.ordinal].key}" for p in places]


def numbers() -> list[int]:
    """Random numbers of the draws."""
    return Draws.of(2016, "golden", [0, 1, 10**12]).words("purpose", 8).ravel().tolist()


def content() -> dict[str, Any]:
    catalogue = Catalogue.open(FOLDER / "data")
    orders = {name: " ".join(drawn(catalogue, setting)) for name, setting in SETTINGS.items()}
    return {
        "state_version": STATE_VERSION,
        "catalogue": catalogue.digest,
        "draws": numbers(),
        "orders": orders,
    }


GOLDEN: Final = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CURRENT: Final = {name: golden for name, golden in GOLDEN.items() if golden["state_version"] == STATE_VERSION}


@pytest.mark.parametrize("release", CURRENT)
@pytest.mark.parametrize("name", SETTINGS)
def test_later_releases_draw_the_same_samples(release: str, name: str) -> None:
    golden, catalogue = GOLDEN[release], Catalogue.open(FOLDER / "data")
    assert catalogue.digest == golden["catalogue"]
    assert " ".join(drawn(catalogue, SETTINGS[name])) == golden["orders"][name]


@pytest.mark.parametrize("release", CURRENT)
def test_later_releases_draw_the_same_numbers(release: str) -> None:
    assert numbers() == GOLDEN[release]["draws"]


def test_this_state_version_has_its_orders() -> None:
    assert CURRENT, f"STATE_VERSION {STATE_VERSION} has no golden orders: {__doc__}"
    assert all(golden["orders"].keys() == SETTINGS.keys() for golden in CURRENT.values())


if __name__ == "__main__":
    (FOLDER / f"{sys.argv[1]}.json").write_text(json.dumps(content(), indent=1) + "\n")
