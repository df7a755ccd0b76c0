"""Jigsaw puzzles (Noroozi and Favaro, ECCV 2016, arXiv 1603.09246): in which order were the tiles of a picture laid?

A square cut is divided into cells, a smaller tile is taken from a random place in each, and the tiles are laid in one
of P orders that differ as much as orders can. The label is the number of the order. Every order shows the same tiles,
scaled alike and each normalised by itself, so that only what is on the tiles tells it.
"""

from dataclasses import dataclass
from math import factorial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.channel_shift import draw_channel_shift
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.tile_contrast import standardise_tiles
from unreel.pipelines.guards.tile_gap import place_tiles
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.permutations import far_orders
from unreel.pipelines.pretext.pictures import draw_frame
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.sample import Sidecar

__all__ = ["Jigsaw"]


@dataclass(frozen=True, kw_only=True)
class Jigsaw:
    """Tiles of one picture in one of P orders.

    Attributes:
        grid: cells along each side; published 3.
        permutations: orders that are asked for; published 1,000 (sets of 100 to 10,000 are in use).
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is divided into cells, in pixels; published 255 of a larger picture.
        tile: side of a tile as a share of its cell; published 64/85.
        size: side of a tile as the tower takes it, in pixels; published 64.
        flip: probability of mirroring the picture before it is divided; 0 is ours, a mirrored puzzle is another one.
        grey: probability that the picture loses its colours; published about 0.3.
        brightness, contrast, saturation: of the whole picture; published none.
        tile_gap: guard; False cuts every tile from the middle of its cell, so that gaps between neighbours are equal
            and edges can be continued.
        tile_contrast: guard; False leaves each tile its own brightness and contrast.
        channel_shift: guard; the cuts of red, green and blue differ by up to so many pixels: chromatic aberration tells
            the place on the lens. 0 is off; published 0 to 2.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "jigsaw"

    grid: int = 3
    permutations: int = 1000
    window: int = 128
    crop: int = 120
    tile: float = 64 / 85
    size: int = 64
    flip: float = 0.0
    grey: float = 0.3
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    tile_gap: bool = True
    tile_contrast: bool = True
    channel_shift: int = 1
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 2, 3, "grid")
        check_range(self, 2, factorial(self.grid**2), "permutations")
        check_range(self, 16, 4096, "window", "size")
        check_range(self, 0, 8, "channel_shift")
        check_range(self, 8 * self.grid, self.window - 2 * self.channel_shift, "crop")
        check_range(self, 0.25, 1, "tile")
        check_range(self, 0, 1, "flip", "grey", "brightness", "contrast", "saturation")

    @property
    def needs(self) -> Needs:
        """A still picture, or a video of which one frame is taken."""
        return Needs(video=True, image=True, min_size=(self.window, self.window))

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        cell, tile = self._sides
        shift = f"red, green and blue cut up to {self.channel_shift} pixels apart"
        return {
            "tile_gap": f"tiles of {tile} anywhere in cells of {cell} pixels" if self.tile_gap else "off",
            "tile_contrast": "each tile has mean 0 and variance 1" if self.tile_contrast else "off",
            "channel_shift": shift if self.channel_shift else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    @property
    def _sides(self) -> tuple[int, int]:
        """Sides of a cell and of a tile, in pixels of the stored picture."""
        cell = self.crop // self.grid
        return cell, max(1, round(self.tile * cell))

    def look(self, kind: str) -> Look:
        """A tower sees tiles; a probe shows it the whole square at the size of a tile."""
        if kind != "frame":
            raise no_look(self.name, kind, ("frame",))
        return Look(crop=self.crop, size=self.size)

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """One frame, drawn uniformly, and one window of it."""
        at = draws.uniform("plan", 3)[0].tolist()
        frame = draw_frame(sidecar, at[0])
        window = place_window(sidecar, size=self.window, at=(at[1], at[2]), inside=self.content_box)
        return Plan(
            frames=np.array([frame], np.int32),
            window=window,
            facts={"frame": frame, "window_top": window.top, "window_left": window.left},
        )

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, tiles, 3, size, size]`, the tile that lies at each place.

        Targets i64 `[B]`: the number of the order. Fact `order`, i64 `[B, tiles]`: the cell that each place shows.
        """
        label = draws.integers("order", 0, self.permutations)
        order = far_orders(self.grid**2, self.permutations)[label]
        assert media.pictures is not None
        views = self._views(draws, order)
        return PretextBatch(
            inputs={"frame": self._tiles(render(media.pictures, views))},
            targets=torch.from_numpy(label.astype(np.int64)).to(media.valid.device),
            valid=media.valid,
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts={"order": order, "frame": media.fact("frame")} | views.facts(),
        )

    def _tiles(self, tiles: Tensor) -> Tensor:
        return standardise_tiles(tiles) if self.tile_contrast else tiles

    def _views(self, draws: Draws, order: NDArray[np.int64]) -> Views:
        cell, tile = self._sides
        margin = self.channel_shift
        slack = self.window - 2 * margin - cell * self.grid
        top, left = place_tiles(
            draws, order, grid=self.grid, cell=cell, tile=tile, slack=slack, anywhere=self.tile_gap
        )
        rows, tiles = order.shape
        jitter = Jitter(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, grey=self.grey
        )
        shift = draw_channel_shift(draws, views=tiles, reach=margin) if margin else None
        return Views(
            top=top + margin,
            left=left + margin,
            crop=(tile, tile),
            size=(self.size, self.size),
            flip=draws.chance("flip", self.flip),
            colour=draw_colours(draws, jitter, frames=tiles, independent=False),
            frame=np.zeros((rows, tiles), np.int64),
            channel_shift=shift,
        )
