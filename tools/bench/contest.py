"""A contest: contestants timed in rotated order, and their speeds as ratios inside each repeat."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from unreel.tools.console import output, progress

__all__ = ["Contest", "Figure", "machine", "print_figures", "rotate", "run_contest"]

Contest = Mapping[str, Callable[[int], float]]
"""Contestant → function from the number of a repeat (-1: the warm-up) to the seconds that its work took."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One contestant over all repeats.

    Attributes:
        name: contestant.
        speed: units of work a second, median over the repeats; absolute, so only good for this machine in this hour.
        ratio, ratio_low, ratio_high: median, least and largest ratio of speeds to the reference of the same repeat.
    """

    name: str
    speed: float
    ratio: float
    ratio_low: float
    ratio_high: float


def run_contest(contest: Contest, *, units: float, repeats: int, reference: str) -> list[Figure]:
    """Run every contestant once uncounted, then `repeats` times in rotated order; ratios are to `reference`.

    Args:
        units: work of one run, such as clips.
    """
    speeds: dict[str, list[float]] = {name: [] for name in contest}
    with progress((repeats + 1) * len(contest), "bench") as ticker:
        for repeat in range(-1, repeats):
            for name in rotate(list(contest), repeat):
                ticker.say(name)
                seconds = contest[name](repeat)
                ticker.advance()
                if repeat >= 0:
                    speeds[name].append(units / seconds)
    return [_figure(name, values, speeds[reference]) for name, values in speeds.items()]


def rotate(names: Sequence[str], by: int) -> list[str]:
    """`names` begun at another one in each repeat, so that none always runs first."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def print_figures(figures: Sequence[Figure], *, unit: str, reference: str, title: str) -> None:
    """A table on standard output, the fastest first; `unit` is what `speed` counts, such as `clips/s`."""
    table = Table("contestant", unit, f"of {reference}", "least … largest", title=title)
    for figure in sorted(figures, key=lambda figure: -figure.ratio):
        spread = f"{figure.ratio_low:.2f} … {figure.ratio_high:.2f}"
        table.add_row(
            figure.name, f"{figure.speed:.{0 if figure.speed >= 100 else 1}f}", f"{figure.ratio:.2f}", spread
        )
    output.print(table)


def machine() -> dict[str, object]:
    """What the figures were measured on, as JSON takes it."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def _figure(name: str, speeds: Sequence[float], reference: Sequence[float]) -> Figure:
    ratios = [speed / base for speed, base in zip(speeds, reference, strict=True)]
    return Figure(name, statistics.median(speeds), statistics.median(ratios), min(ratios), max(ratios))
