"""The page of `unreel stats`: plots in the page's colours, and pictures of samples, in one file that loads nothing."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.decode import BACKENDS, DecodeBackend, available, make_backend
from unreel.pipelines.plan import Plan, Window
from unreel.shards.care.statistics import Distribution, Statistics, spread
from unreel.shards.catalogue import Catalogue
from unreel.shards.making.measures import MEASURES
from unreel.shards.reader import EncodedSample, Reader
from unreel.tools.charts import draw_histogram
from unreel.tools.page import render
from unreel.tools.stats import hours, looked_at, size

__all__ = ["Tile", "draw_tiles", "write_page"]

_SIDE: Final = 176
"""Longer side of a picture on the page, in pixels."""
_QUALITY: Final = 80
_SHOWN: Final = 12
"""Values of one name on the page."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Tile:
    """One sample of the page; `picture` is a data URL, or empty with a reason."""

    key: str
    words: str
    picture: str
    reason: str = ""


def write_page(
    found: Statistics,
    catalogues: Sequence[Catalogue],
    path: Path,
    *,
    pictures: int,
    progress: Progress = lambda stage, done, total: None,
) -> None:
    """Write the page about `found` with the middle frames of `pictures` samples, spread evenly over the data sets."""
    tiles = draw_tiles(catalogues, pictures, progress) if pictures else []
    path.write_text(_render(found, tiles), encoding="utf-8")


def draw_tiles(
    catalogues: Sequence[Catalogue], count: int, progress: Progress = lambda stage, done, total: None
) -> list[Tile]:
    """A tile for each of `count` samples, spread evenly; one that no backend here decodes says why."""
    readers = [Reader(catalogue) for catalogue in catalogues]
    backends = [
        make_backend(name, threads=1) for name in BACKENDS if name != "dali" and available()[name] is None
    ]
    places = spread(catalogues, count)
    tiles = []
    try:
        for done, (number, shard, ordinal) in enumerate(places):
            tiles.append(_tile(readers[number].read(shard, ordinal), backends))
            progress("pictures", done + 1, len(places))
    finally:
        for backend in backends:
            backend.close()
    return tiles


def _tile(sample: EncodedSample, backends: Sequence[DecodeBackend]) -> Tile:
    sidecar = sample.sidecar
    words = f"{sidecar.seconds:.1f} s" if sidecar.seconds else "still"
    shape = sidecar.video or sidecar.image
    if shape is None:
        return Tile(sidecar.key, words, "", "sound alone")
    frame = sidecar.video.frames // 2 if sidecar.video else 0
    plan = Plan(frames=np.array([frame], np.int32), window=Window(0, 0, shape.height, shape.width))
    reason = "no backend"
    for backend in backends:
        declined = backend.declines(sidecar)
        if declined is not None:
            reason = declined
            continue
        decoded = backend.decode([sample], [plan])
        if decoded.failures or decoded.frames is None:
            reason = str(next(iter(decoded.failures.values()), "no picture"))
            continue
        words = f"{words}, {shape.width}x{shape.height}, motion {sample.row.motion:.1f}"
        return Tile(sidecar.key, words, _data_url(decoded.frames[0, 0].cpu().numpy()))
    return Tile(sidecar.key, words, "", reason)


def _data_url(pixels: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def _render(found: Statistics, tiles: Sequence[Tile]) -> str:
    return render(
        "stats.html.j2",
        filters={"size": size, "hours": hours},
        found=found,
        charts=[_chart(name, distribution) for name, distribution in found.distributions.items()],
        tables=_tables(found),
        tiles=tiles,
        looked_at=looked_at(found),
    )


def _chart(name: str, distribution: Distribution) -> dict[str, Any]:
    from markupsafe import Markup

    drawn = draw_histogram(
        distribution.edges, distribution.counts, xlabel=distribution.unit, name=f"stats-{name}"
    )
    star = "" if name in MEASURES or name == "kilobytes" else " *"
    # Drawn here from numbers; the units are ours.
    return {"name": name.replace("_", " ") + star, "about": distribution, "drawing": Markup(drawn)}


def _tables(found: Statistics) -> list[dict[str, Any]]:
    members = {name: total for name, (_, total) in found.members.items()}
    splits = {name or "(none)": count for name, count in found.splits.items()}
    plain = {"split": splits, "width x height": found.sizes, "frames a second": found.rates}
    tables = [_table("bytes of members", members, written=size)]
    tables += [_table(name, values) for name, values in plain.items() if values]
    return tables + [_table(f"{name} *", values) for name, values in found.named.items()]


def _table(
    name: str, values: Mapping[str, int], *, written: Callable[[int], str] = "{:,}".format
) -> dict[str, Any]:
    most = max(values.values(), default=1) or 1
    shown = list(values.items())[:_SHOWN]
    rows = [(value, written(count), 100 * count / most) for value, count in shown]
    return {"name": name, "rows": rows, "more": len(values) - len(shown)}
