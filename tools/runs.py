"""`unreel runs`: runs beside each other: what differs between their recipes, and what came of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from unreel.tools.console import output, write_result

if TYPE_CHECKING:
    from unreel.tools.run_record import RunRecord

__all__ = ["runs"]

_MOST_COLUMNS: Final = 8
"""Settings that stand beside the scores; of more than these each takes a line of a table of its own."""


def runs(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders that hold some at any depth.")
    ],
    sort: Annotated[str, typer.Option(help="A column: run, task, step, score, seconds.")] = "run",
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table, for a page.")] = False,
    json: Annotated[str | None, typer.Option(help="Write the records here; - for standard output.")] = None,
) -> None:
    """Compare runs: which settings differ, how each scored beside its controls, and how quickly it trained.

    Scores are those of `unreel eval`, with one standard error over sources; where a run was not evaluated, the last
    validation is shown and marked as such. Settings that are equal in all runs are left out.

    Example:

        unreel runs runs

        unreel runs runs/order runs/order-nojitter --sort score
    """
    from unreel.tools.run_record import differing, read_runs, sorted_by

    records = sorted_by(read_runs(folders), sort)
    settings = differing(records)
    # Runs of several tasks differ in dozens: then each has a line of its own, below.
    shown = settings if len(settings) <= _MOST_COLUMNS else []
    rows = [_cells(record, shown) for record in records]
    head = ["run", "task", "step", *shown, "score", "twin", "best control", "clips/s", "waiting"]
    tables = [(head, rows)]
    if shown != settings:
        tables.append((["setting", *(record.name for record in records)], _by_setting(records, settings)))
    for titles, lines in tables:
        if markdown:
            typer.echo("\n".join(_line(cells) for cells in (titles, ["---"] * len(titles), *lines)) + "\n")
        elif json != "-":
            output.print(_table(titles, lines))
    write_result({"runs": [record.as_json() for record in records]}, json)


def _cells(record: "RunRecord", settings: Sequence[str]) -> list[str]:
    return [
        record.name,
        record.task,
        f"{record.step:,}",
        *(str(record.settings.get(name, "-")) for name in settings),
        record.score_words,
        record.twin_words,
        record.control_words,
        "-" if record.clips_per_second is None else f"{record.clips_per_second:.0f}",
        "-" if record.waiting is None else f"{record.waiting:.0%}",
    ]


def _by_setting(records: Sequence["RunRecord"], settings: Sequence[str]) -> list[list[str]]:
    return [[name, *(str(record.settings.get(name, "-")) for record in records)] for name in settings]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for column in head:
        table.add_column(
            column, justify="left" if column in ("run", "task", "setting") else "right", overflow="fold"
        )
    for cells in rows:
        table.add_row(*cells)
    return table
