"""The contestants of the loader, on a tiny data set."""

import numpy as np

from unreel.shards.catalogue import Catalogue
from unreel.tools.bench.contestants import WINDOW, Setting, contestants


def test_contestants_run_on_real_shards(tiny_catalogue: Catalogue) -> None:
    setting = Setting(folder=tiny_catalogue.folder, threads=1, frames=4, batch=4, steps=2)
    with contestants(setting, "packets") as contest:
        assert {"ffmpeg", "bare packets", "loader"} <= set(contest)
        seconds = [run(-1) for run in contest.values()]
    assert np.all(np.array(seconds) > 0)
    assert WINDOW <= 128
