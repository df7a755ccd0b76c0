"""Charts of the reports: matplotlib draws them, as inline SVG whose colours are the page's own, light or dark, or as a PNG."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Bar",
    "Curve",
    "Panel",
    "Point",
    "draw_bars",
    "draw_curves",
    "draw_histogram",
    "draw_panels",
    "draw_points",
]

_COLOURS: Final = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--series-1)",
    "#050505": "var(--series-2)",
    "#060606": "var(--series-3)",
}
"""Colours that matplotlib draws with → the page's variables that take their place."""

_INK, _MUTED, _LINE, *_SERIES = _COLOURS

_ON_WHITE: Final = dict(
    zip(_COLOURS, ("#1c1f24", "#5d6570", "#dcdfe3", "#2463a8", "#d0832b", "#9aa3ad"), strict=True)
)
"""The same colours where there is no page: those of a light one."""

_STYLE: Final = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "legend.frameon": False,
    "figure.facecolor": "none",
}

_NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, slots=True)
class Curve:
    """A line over training steps; `values` may hold None."""

    label: str
    steps: Sequence[float]
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of lines over training steps.

    Attributes:
        ylabel: what is drawn.
        curves: at most three.
        chance: drawn as a dashed line.
        log: whether the axis of values is logarithmic.
        floor: where the axis of values begins at least; None leaves it to the values.
    """

    ylabel: str
    curves: Sequence[Curve]
    chance: float | None = None
    log: bool = False
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """An estimate on one line of a dot chart, with its interval."""

    label: str
    value: float
    interval: tuple[float, float] | None
    series: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A group of bars, one for each of the chart's series; None leaves a gap."""

    label: str
    values: Sequence[float | None]
    intervals: Sequence[tuple[float, float] | None]


def draw_curves(panel: Panel, *, name: str) -> str:
    """Lines over training steps, as SVG."""
    with _figure(5.2, 2.6, name) as (figure, axes):
        _fill(axes, panel)
        return _svg(figure)


def draw_panels(panels: Sequence[Panel], *, title: str, across: int = 2) -> bytes:
    """Charts beside each other on white, as PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    down = -(-len(panels) // across)
    style: dict[Any, Any] = {key: _ON_WHITE.get(str(value), value) for key, value in _STYLE.items()}
    with rc_context(style):
        figure = Figure(figsize=(5.2 * across, 2.6 * down + 0.4), layout="constrained", facecolor="white")
        figure.suptitle(title, fontsize=11)
        for number, panel in enumerate(panels):
            _fill(figure.add_subplot(down, across, number + 1), panel, _ON_WHITE)
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=110)
    return sink.getvalue()


def _fill(axes: "Axes", panel: Panel, colours: Mapping[str, str] | None = None) -> None:
    """Draw a panel, by default in the colours that a page replaces."""
    shown = colours or {colour: colour for colour in _COLOURS}
    for series, curve in zip(_SERIES, panel.curves, strict=False):
        values = [float("nan") if value is None else value for value in curve.values]
        marker = "o" if len(values) < 12 else None
        axes.plot(
            curve.steps,
            values,
            color=shown[series],
            label=curve.label,
            marker=marker,
            markersize=3,
            linewidth=1.4,
        )
    _mark_chance(axes, panel.chance, horizontal=True, colour=shown[_INK])
    if panel.log:
        axes.set_yscale("log")
    if panel.floor is not None:
        axes.set_ylim(bottom=panel.floor)
    axes.set(xlabel="step", ylabel=panel.ylabel)
    axes.grid(axis="y")
    if len(panel.curves) > 1 or panel.chance is not None:
        axes.legend(loc="best", fontsize=8)


def draw_points(points: Sequence[Point], *, xlabel: str, name: str, chance: float) -> str:
    """One line a point, with its interval, beside chance."""
    with _figure(7.2, 0.75 + 0.34 * len(points), name) as (figure, axes):
        for row, point in enumerate(points):
            colour = _SERIES[point.series]
            if point.interval is not None:
                axes.plot(point.interval, [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([point.value], [row], "o", color=colour, markersize=6.5)
        _mark_chance(axes, chance, horizontal=False)
        low = min([chance, *(p.interval[0] if p.interval else p.value for p in points)])
        high = max([chance, *(p.interval[1] if p.interval else p.value for p in points)])
        axes.set(
            xlabel=xlabel,
            ylim=(len(points) - 0.4, -0.6),
            xlim=(min(low - 0.02, chance - 0.1), max(high, 0.9) + 0.02),
        )
        axes.set_yticks(range(len(points)), [point.label for point in points])
        _plain_rows(axes)
        return _svg(figure)


def draw_bars(
    bars: Sequence[Bar], series: Sequence[str], *, xlabel: str, name: str, chance: Mapping[int, float]
) -> str:
    """Groups of horizontal bars with intervals; `chance` marks each group's own level, by its row."""
    with _figure(7.2, 0.9 + 0.5 * len(bars), name) as (figure, axes):
        width = 0.8 / len(series)
        for number, label in enumerate(series):
            offset = (number - (len(series) - 1) / 2) * width
            _bar_series(axes, bars, number, label, offset=offset, width=width)
        for row, level in chance.items():
            axes.plot([level, level], [row - 0.46, row + 0.46], color=_INK, linestyle=":", linewidth=1.2)
        axes.axvline(0, color=_LINE, linewidth=0.8)
        low = min([0.0, *(value for bar in bars for value in bar.values if value is not None)])
        axes.set(xlabel=xlabel, xlim=(max(low, -0.5) - 0.02, 1.02), ylim=(len(bars) - 0.4, -0.6))
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        _plain_rows(axes)
        figure.legend(loc="outside upper left", ncols=len(series), fontsize=8)
        return _svg(figure)


def draw_histogram(edges: Sequence[float], counts: Sequence[int], *, xlabel: str, name: str) -> str:
    """Counts in bins; where bins grow with the value, so does the axis."""
    from matplotlib.ticker import MaxNLocator

    widths = [stop - start for start, stop in pairwise(edges)]
    with _figure(3.6, 1.9, name) as (figure, axes):
        axes.bar(edges[:-1], counts, widths, align="edge", color=_SERIES[0], edgecolor="none")
        if max(widths) > 1.5 * min(widths):
            axes.set_xscale("log")
        axes.set(xlabel=xlabel, ylabel="samples")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y")
        return _svg(figure)


def _bar_series(
    axes: "Axes", bars: Sequence[Bar], number: int, label: str, *, offset: float, width: float
) -> None:
    values = [float("nan") if value is None else value for value in (bar.values[number] for bar in bars)]
    places = [row + offset for row in range(len(bars))]
    axes.barh(places, values, height=width * 0.86, color=_SERIES[number], label=label)
    for bar, place in zip(bars, places, strict=True):
        interval = bar.intervals[number]
        if interval is not None:
            axes.plot(interval, [place, place], color=_INK, linewidth=1.0)


def _mark_chance(axes: "Axes", chance: float | None, *, horizontal: bool, colour: str = _INK) -> None:
    if chance is None:
        return
    line = axes.axhline if horizontal else axes.axvline
    line(chance, color=colour, linestyle=":", linewidth=1.2, label="chance")


def _plain_rows(axes: "Axes") -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, labelcolor=_INK)
    axes.spines["left"].set_visible(False)


@contextmanager
def _figure(width: float, height: float, name: str) -> Iterator[tuple["Figure", "Axes"]]:
    """A figure of its own, inches wide and high; `name` keeps the ids of two charts on one page apart."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {**_STYLE, "svg.hashsalt": name, "svg.id": name}
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: "Figure") -> str:
    """The figure as an element of an HTML page: no prologue, no namespaces, no fixed size, the page's colours."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata=_NO_METADATA)
    text = sink.getvalue()
    tag, rest = text[text.index("<svg") :].split(">", 1)
    tag = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", tag)
    rest = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", rest, flags=re.DOTALL)
    for drawn, shown in _COLOURS.items():
        rest = rest.replace(drawn, shown)
    return f'{tag} class="chart" role="img">{rest}'
