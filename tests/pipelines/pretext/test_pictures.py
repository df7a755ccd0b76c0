"""Tasks of pictures take JPEG shards as they take frames of videos."""

import numpy as np
import pytest
from PIL import Image

from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext import make_task
from unreel.pipelines.stills import Stills
from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Twelve smooth pictures of different sizes, through the profile `images`."""
    folder = tmp_path_factory.mktemp("stills")
    (folder / "in").mkdir()
    for number in range(12):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 7, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((150 + 4 * number, 140), Image.Resampling.BICUBIC)
        picture.save(folder / "in" / f"{number}.jpg", quality=90)
    build([folder / "in"], folder / "out", profile="images")
    return Catalogue.open(folder / "out")


@pytest.mark.parametrize(("name", "pictures"), [("rotation", 4), ("jigsaw", 9)])
def test_stills_and_frames_make_the_same_batches(
    name: str, pictures: int, stills: Catalogue, tiny_catalogue: Catalogue
) -> None:
    task = make_task(name, window=96, crop=90, size=32, **({"permutations": 20} if name == "jigsaw" else {}))
    for catalogue, frame in ((stills, 0), (tiny_catalogue, None)):
        with Loader(catalogue, task, batch_size=6, seed=3, backend="packets", prefetch=0) as loader:
            batch = loader.batch(0)
        assert batch.inputs["frame"].shape == (6, pictures, 3, 32, 32) and batch.valid.all()
        assert frame is None or (batch.facts["frame"] == frame).all()


def test_probes_look_at_stills_as_well(stills: Catalogue) -> None:
    look = make_task("rotation", window=96, crop=90, size=32).look("frame")
    with Loader(
        stills, Stills.of(look, moments=3), batch_size=4, seed=0, backend="packets", prefetch=0
    ) as loader:
        batch = loader.batch(0)
    frames = batch.inputs["frame"]
    assert frames.shape == (4, 3, 3, 32, 32) and batch.valid.all()
    assert (frames[:, 0] == frames[:, 2]).all()
