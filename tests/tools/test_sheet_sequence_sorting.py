"""The sheet of sequence sorting: words under each frame say which of the four it is."""

import pytest

from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext import make_task
from unreel.shards.catalogue import Catalogue
from unreel.tools.sheets.contact import contact_sheet
from unreel.tools.sheets.sequence_sorting import _frame_words, _row_words


@pytest.mark.parametrize("split", [True, False])
def test_words_name_order_and_channel(tiny_catalogue: Catalogue, split: bool) -> None:
    task = make_task(
        "sequence_sorting",
        window=96,
        crop=80,
        size=50,
        channel_split=split,
        min_difference=0.0 if split else 1e4,
    )
    with Loader(tiny_catalogue, task, batch_size=4, seed=0, split=None, backend="packets") as loader:
        step = next(loader)
    for row in range(4):
        time = int(step.batch.facts["view_frame"][row, 2])
        said = _frame_words(step.batch, row, 2)
        assert said[0].startswith(f"frame {time + 1} of 4")
        assert said[2].startswith("only" if split else "all")
        answer = _row_words(step.batch, row)[0][0]
        assert answer == (
            f"order {int(step.batch.targets[row])} of 12" if split else "left out (-1): two frames look alike"
        )
    assert contact_sheet(step, task, rows=4).height > 4 * 150
