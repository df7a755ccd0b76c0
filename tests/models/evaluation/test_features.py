"""Features of stills: each clip once, at the moments that were planned, without the rows that failed."""

from collections.abc import Iterator

import numpy as np
import pytest
from torch import Tensor

from unreel.models.evaluation.features import encode
from unreel.pipelines.loader import Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader

STILLS = Stills(frames=4, crop=(96, 96), size=(48, 48))


@pytest.fixture
def loader(tiny_catalogue: Catalogue) -> Iterator[Loader]:
    with Loader(tiny_catalogue, STILLS, batch_size=8, seed=0, split=None, backend="packets") as opened:
        yield opened


def brightness(x: Tensor) -> Tensor:
    return x.mean(dim=(1, 2, 3))[:, None]


def test_each_clip_once_with_its_tracks_and_labels(loader: Loader, tiny_catalogue: Catalogue) -> None:
    found = encode(loader, {"mean": brightness, "flat": lambda x: x[:, 0, :2, :2].flatten(1)}, clips=36)
    assert len(found) == 36 and found.failures == 0
    assert found.values["mean"].shape == (36, 4, 1) and found.values["flat"].shape == (36, 4, 4)
    assert sorted(found.labels["number"].tolist(), key=int) == [str(number) for number in range(36)]
    assert len(set(found.sources.tolist())) == 18
    sidecars = {
        sample.sidecar.labels["number"]: sample.sidecar
        for sample in (
            Reader(tiny_catalogue).read(shard, row, members=()) for shard, row, _ in tiny_catalogue.rows()
        )
    }
    number = int(found.labels["number"][5])
    sidecar = sidecars[number]
    moments = ((np.arange(4) + 0.5) * sidecar.video.frames / 4).astype(int)
    np.testing.assert_array_equal(found.tracks["x"][5], sidecar.track("x")[moments])


def test_features_follow_the_clip_and_not_the_batch(loader: Loader, tiny_catalogue: Catalogue) -> None:
    whole = encode(loader, {"mean": brightness}, clips=36)
    with Loader(tiny_catalogue, STILLS, batch_size=5, seed=9, split=None, backend="packets") as other:
        again = encode(other, {"mean": brightness}, clips=36)
    order, reorder = (np.argsort(found.labels["number"]) for found in (whole, again))
    np.testing.assert_allclose(whole.values["mean"][order], again.values["mean"][reorder], atol=1e-6)


def test_positions_beyond_the_clips_are_left_out(loader: Loader) -> None:
    assert len(encode(loader, {"mean": brightness}, clips=11)) == 11


class Failing:
    """A loader whose rows 1 and 2 fail."""

    task = STILLS

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def media(self, step: int) -> MediaBatch:
        media = self._loader.media(step)
        media.valid[1:3] = False
        return media


def test_failed_rows_are_counted_and_left_out(loader: Loader) -> None:
    found = encode(Failing(loader), {"mean": brightness}, clips=16)
    assert (len(found), found.failures) == (12, 4)
    whole = encode(loader, {"mean": brightness}, clips=16)
    assert set(found.labels["number"]) < set(whole.labels["number"])


def test_sound_gives_one_row_a_clip(tiny_catalogue: Catalogue) -> None:
    stills = Stills(frames=0, seconds=0.5)
    with Loader(tiny_catalogue, stills, batch_size=8, seed=0, split=None, backend="packets") as loader:
        found = encode(loader, {"flat": lambda x: x.flatten(1)}, clips=27, modality="audio")
    assert found.values["flat"].shape == (27, 1, 64 * 50)
    assert not found.tracks and set(found.labels) == {"number", "size"}


def test_all_failed_is_an_error(loader: Loader) -> None:
    class Dead(Failing):
        def media(self, step: int) -> MediaBatch:
            media = super().media(step)
            media.valid[:] = False
            return media

    with pytest.raises(ValueError, match="none could be decoded"):
        encode(Dead(loader), {"mean": brightness}, clips=8)
