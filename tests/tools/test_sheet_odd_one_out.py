"""The sheet of odd one out: words say which sequence is odd, as the batch has it."""

import pytest

from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext import make_task
from unreel.shards.catalogue import Catalogue
from unreel.tools.sheets.contact import contact_sheet
from unreel.tools.sheets.odd_one_out import _words

SETTINGS = {"sequences": 3, "frames": 4, "window": 96, "crop": 80, "size": 50}


@pytest.mark.parametrize("threshold", [0.0, 1e4])
def test_words_name_the_odd_sequence(tiny_catalogue: Catalogue, threshold: float) -> None:
    task = make_task("odd_one_out", **SETTINGS, min_difference=threshold)
    with Loader(tiny_catalogue, task, batch_size=4, seed=0, split=None, backend="packets") as loader:
        step = next(loader)
    for row in range(4):
        facts = {name: fact[row] for name, fact in step.batch.facts.items()}
        answer = _words(step.batch, row, facts)[0][0]
        assert answer.startswith("left out (-1)" if threshold else f"odd: {facts['odd']}")
    assert contact_sheet(step, task, rows=4).height > 6 * 90
