"""The media of an audit: small generated worlds, each with the nuisance that carries an artefact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.sample import Sidecar
from unreel.tools.synth.nuisances import Nuisances, bars
from unreel.tools.synth.world import World, clip_of
from unreel.tools.synth.write import claim, write_labels, write_videos

__all__ = ["CLIPS", "WORLDS", "content_box", "index_of", "prepare"]

CLIPS: Final = 96
_RATE: Final = 25


def _world(nuisances: Nuisances, **settings: bool) -> World:
    return World(
        seed=0,
        clips=CLIPS,
        frames=4 * _RATE,
        rate=_RATE,
        width=160,
        height=128,
        nuisances=nuisances,
        objects=settings.get("objects", True),
    )


WORLDS: Final[Mapping[str, World]] = {
    "objects": _world(Nuisances()),
    "texture": _world(Nuisances(moving_background=True), objects=False),
    "drift": _world(Nuisances(brightness_drift=True), objects=False),
    "letterbox": _world(Nuisances(letterbox=True, moving_background=True)),
    "logo": _world(Nuisances(logo=True, moving_background=True)),
}
"""Name → what is generated. `texture` is a background that scrolls by 0.2 to 0.4 pixels a frame, and nothing else."""


def prepare(name: str, folder: Path, *, workers: int) -> Catalogue:
    """The shards of a world below `folder`; what is there already is not made again."""
    media, shards = folder / f"{name}-media", folder / f"{name}-shards"
    world = WORLDS[name]
    claim(media, world)
    for _ in write_videos(media, world, workers=workers):
        pass
    build([write_labels(media, world)], shards, workers=workers)
    return Catalogue.open(shards)


def index_of(sidecar: Sidecar) -> int:
    """Which clip of its world a sample shows."""
    return int(Path(sidecar.source.name).stem.removeprefix("clip-"))


def content_box(world: World, sidecar: Sidecar) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the picture without the bars that were painted, in stored pixels.

    As it was painted, and not as the builder measured it: a box that was measured wrongly is a guard that fails.
    """
    assert sidecar.video is not None
    stored = (sidecar.video.height, sidecar.video.width)
    axis, bar = bars(clip_of(world, index_of(sidecar)).dice, world.height, world.width)
    # Bars of a stored picture of another size are rounded outwards: a pixel of both counts as content.
    cut = bar * stored[axis] // (world.height, world.width)[axis]
    low, high = [0, 0], list(stored)
    low[axis], high[axis] = cut, stored[axis] - cut
    return low[1], low[0], high[1], high[0]
