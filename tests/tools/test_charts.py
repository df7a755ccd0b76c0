"""Charts: SVG elements in the page's colours, which carry nothing but themselves."""

import re
from collections.abc import Callable

import pytest

from unreel.tools.charts import Bar, Curve, Panel, Point, draw_bars, draw_curves, draw_points


def curves(name: str = "a") -> str:
    lines = [Curve("training", [1, 2, 3], [0.5, None, 0.7]), Curve("held-out sources", [2], [0.6])]
    return draw_curves(Panel("balanced accuracy", lines, chance=0.5), name=name)


def points(name: str = "a") -> str:
    dots = [Point("held-out sources", 0.7, (0.66, 0.74)), Point("without objects", 0.5, None, 1)]
    return draw_points(dots, xlabel="balanced accuracy", name=name, chance=0.5)


def bars(name: str = "a") -> str:
    groups = [Bar("y", [0.9, None], [(0.8, 0.95), None]), Bar("law", [-0.7, 0.4], [None, None])]
    return draw_bars(groups, ["trained", "untrained"], xlabel="R²", name=name, chance={1: 1 / 6})


@pytest.mark.parametrize("draw", [curves, points, bars])
def test_chart_is_one_element_in_the_pages_colours(draw: Callable[..., str]) -> None:
    svg = draw()
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert "var(--series-1)" in svg and "var(--ink)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r'"#\w+"|url\(#\w+\)', "", svg)), "a colour of its own"
    assert "xmlns" not in svg and "http" not in svg and "<metadata" not in svg
    assert not re.search(r'<svg[^>]* (width|height)="', svg), "it has the width of the page"


@pytest.mark.parametrize("draw", [curves, points, bars])
def test_same_chart_same_text_and_other_names_share_no_parts(draw: Callable[..., str]) -> None:
    assert draw("a") == draw("a")
    parts = [set(re.findall(r'id="([mp]\w{10})"', draw(name))) for name in ("a", "b")]
    assert not parts[0] & parts[1]


def test_words_are_text() -> None:
    svg = points()
    assert "held-out sources</text>" in svg and "balanced accuracy</text>" in svg
