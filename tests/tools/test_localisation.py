"""Maps over frames: what counts as right, and where the object is in the cut that a tower saw."""

from dataclasses import replace

import numpy as np
import pytest

from unreel.tools.abilities import localisation
from unreel.tools.abilities.localisation import _Maps

SIDE = 8


def maps_with(peaks: list[tuple[int, int]], objects: list[tuple[float, float, float]]) -> _Maps:
    """Maps of 8 by 8 cells whose maximum lies at (line, column); objects are right, down, radius."""
    scores = np.zeros((len(peaks), SIDE, SIDE), np.float32)
    for row, peak in enumerate(peaks):
        scores[(row, *peak)] = 1
    frames = np.zeros((len(peaks), 16, 16, 3), np.uint8)
    sources = [f"source {row}" for row in range(len(peaks))]
    return _Maps(frames, {"trained": scores, "untrained": scores[::-1]}, np.array(objects), sources)


def test_a_maximum_is_right_on_the_disc_and_nowhere_else() -> None:
    maps = maps_with([(1, 6), (6, 1), (0, 0)], [(0.8, 0.2, 0.1)] * 3)
    (found,) = localisation._figures(maps).values()
    assert found["trained"].value == pytest.approx(1 / 3)
    assert found["untrained"].value == pytest.approx(1 / 3)
    assert found["middle of the picture"].value == 0
    cells = localisation._cells_on(maps)[0]
    assert found["any cell"].value == pytest.approx(cells.mean())
    assert cells.sum() == 1, "a disc of 0.1 holds the middle of one cell of 0.125"


def test_a_cell_is_where_it_looks_and_not_where_an_even_split_has_it() -> None:
    maps = maps_with([(1, 6)], [(0.75, 0.125, 0.05)])
    (even,) = localisation._figures(replace(maps, objects=np.array([[0.8125, 0.1875, 0.05]]))).values()
    assert even["trained"].value == 1, "cell (1, 6) of 8 by 8 has its middle there"
    (found,) = localisation._figures(replace(maps, shift=(-0.0625, -0.0625))).values()
    assert found["trained"].value == 1, "half a cell up and left"


def test_frames_whose_object_is_not_known_or_out_of_sight_are_left_out() -> None:
    nan = float("nan")
    maps = maps_with([(3, 3)] * 3, [(0.45, 0.45, 0.2), (nan, nan, nan), (1.5, 0.5, 0.2)])
    (found,) = localisation._figures(maps).values()
    assert found["trained"].value == 1 and found["trained"].samples == 1
    assert localisation._figures(maps_with([(0, 0)], [(nan, nan, nan)])) == {}


def test_the_picture_marks_the_maximum_and_the_object() -> None:
    picture = np.asarray(localisation._picture(maps_with([(1, 6)], [(0.8, 0.2, 0.1)])))
    assert (picture == (20, 120, 50)).all(axis=2).sum() > 50, "two green circles"
