"""Charts of the report: matplotlib draws them, as inline SVG whose colours are the page's own, light or dark."""

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

__all__ = ["Bar", "Curve", "Point", "draw_bars", "draw_curves", "draw_histogram", "draw_points"]

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


def draw_curves(curves: Sequence[Curve], *, ylabel: str, name: str, chance: float | None = None) -> str:
    """Lines over training steps; `chance` is drawn as a dashed line."""
    with _figure(5.2, 2.6, name) as (figure, axes):
        for series, curve in enumerate(curves):
            values = [float("nan") if value is None else value for value in curve.values]
            marker = "o" if len(values) < 12 else None
            axes.plot(
                curve.steps,
                values,
                color=_SERIES[series],
                label=curve.label,
                marker=marker,
                markersize=3,
                linewidth=1.4,
            )
        _mark_chance(axes, chance, horizontal=True)
        axes.set(xlabel="step", ylabel=ylabel)
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=8)
        return _svg(figure)


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


def _mark_chance(axes: "Axes", chance: float | None, *, horizontal: bool) -> None:
    if chance is None:
        return
    line = axes.axhline if horizontal else axes.axvline
    line(chance, color=_INK, linestyle=":", linewidth=1.2, label="chance")


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
