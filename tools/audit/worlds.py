"""The media of an audit: small generated worlds, each with the nuisance that carries an artefact."""

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import av
from av.video.frame import PictureType

from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.foreign.indexing import index_folder
from unreel.shards.sample import Sidecar
from unreel.tools.synth.nuisances import Nuisances, View, bars, camera, clock_box, scroll
from unreel.tools.synth.world import World, clip_of
from unreel.tools.synth.write import claim, write_labels, write_videos

__all__ = ["CLIPS", "WORLDS", "clock_of", "content_box", "index_of", "path_of", "prepare"]

CLIPS: Final = 96
_RATE: Final = 25


def _world(nuisances: Nuisances, *, objects: bool = True, width: int = 160) -> World:
    return World(
        seed=0,
        clips=CLIPS,
        frames=4 * _RATE,
        rate=_RATE,
        width=width,
        height=128,
        nuisances=nuisances,
        objects=objects,
    )


WORLDS: Final[Mapping[str, World]] = {
    "objects": _world(Nuisances()),
    "still": _world(Nuisances(), objects=False),
    "texture": _world(Nuisances(moving_background=True), objects=False),
    "drift": _world(Nuisances(brightness_drift=True), objects=False),
    "letterbox": _world(Nuisances(letterbox=True, specks=True, moving_background=True)),
    "pauses": _world(Nuisances(pauses=True)),
    "clock": _world(Nuisances(clock=True), objects=False, width=128),
    "camera": _world(Nuisances(camera=True), objects=False),
}
"""Name → what is generated. `texture` is a background that scrolls by 0.2 to 0.4 pixels a frame, and nothing else."""

_FOREIGN: Final = ("letterbox",)
"""Worlds that come as a tar of somebody else's: a build of ours would have cut the bars away."""

_UPLOAD: Final = {"b": "150000", "preset": "veryfast", "bf": "0", "threads": "1"}
"""How others encode: so few bits that the codec is still busy with the specks in a bar seconds after a key frame."""
_UPLOAD_GOP: Final = 250


def prepare(name: str, folder: Path, *, workers: int) -> Catalogue:
    """The shards of a world below `folder`; what is there already is not made again."""
    media, shards = folder / f"{name}-media", folder / f"{name}-shards"
    world = WORLDS[name]
    claim(media, world)
    for _ in write_videos(media, world, workers=workers):
        pass
    if name in _FOREIGN:
        return _index(media, shards, workers=workers)
    build([write_labels(media, world)], shards, workers=workers)
    return Catalogue.open(shards)


def _index(media: Path, shards: Path, *, workers: int) -> Catalogue:
    """The clips of a world, encoded as others do, in a tar with measured sidecars."""
    shards.mkdir(exist_ok=True)
    tar = shards / "upload.tar"
    if not tar.exists():
        with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as file:
            for path in sorted(media.glob("videos/*.mp4")):
                data = _encoded_again(path)
                member = tarfile.TarInfo(path.name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    index_folder(shards, facts=("motion", "content_box"), workers=workers)
    return Catalogue.open(shards)


def _encoded_again(path: Path) -> bytes:
    """The pictures of a video as H.264 of another encoder's settings, in an MP4."""
    sink = io.BytesIO()
    with av.open(str(path)) as source, av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=_RATE, options=dict(_UPLOAD))
        old = source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = old.width, old.height, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.colorspace, context.color_range = _UPLOAD_GOP, 1, 1
        for frame in source.decode(old):
            frame.pict_type = PictureType.NONE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def index_of(sidecar: Sidecar) -> int:
    """Which clip of its world a sample shows."""
    found = re.search(r"clip-(\d{5})", f"{sidecar.source.name} {sidecar.key}")
    assert found is not None, "a sample of a generated world is named after its clip"
    return int(found[1])


def path_of(world: World, sidecar: Sidecar) -> View:
    """Where the camera of a world without a letterbox looked, and how its background scrolled, over the frames."""
    dice, nuisances = clip_of(world, index_of(sidecar)).dice, world.nuisances
    if nuisances.camera:
        return camera(dice, world.frames)
    return scroll(dice, world.frames, world.rate) if nuisances.moving_background else View.still(world.frames)


def clock_of(world: World, sidecar: Sidecar) -> tuple[int, int, int]:
    """(top, left, side) of the clock that was painted into a sample, in pixels of the world."""
    return clock_box(clip_of(world, index_of(sidecar)).dice, world.height, world.width)


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
