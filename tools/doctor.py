"""`unreel doctor`: what this machine has, what is missing, and what to do about it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unreel.tools.console import Exit, console, output, progress, write_result

if TYPE_CHECKING:
    from rich.table import Table

    from unreel.tools.findings import Finding

__all__ = ["doctor"]

_MARKS: Final = {"ok": "[green]ok[/]", "absent": "[yellow]absent[/]", "broken": "[bold red]broken[/]"}


def doctor(
    json: Annotated[
        str | None, typer.Option(help="Write the findings to this file; - for standard output.")
    ] = None,
) -> None:
    """Look at this machine: cores, ffmpeg, GPU, and every decode backend on a tiny clip.

    Says what works, what is missing and what to do about it. What is only `absent` is not needed: the main job
    (synth, build, train, eval) runs on a CPU with the wheels alone. The exit code is 0 if it can run here, else 1.

    Example: `unreel doctor`, or `unreel doctor --json -` for a script.
    """
    from unreel.tools.findings import find_all

    findings: list[Finding] = []
    with progress(None, "looking at this machine") as ticker:
        for finding in find_all():
            findings.append(finding)
            ticker.advance()
    in_the_way = [finding for finding in findings if finding.required and finding.status != "ok"]
    if json != "-":
        output.print(_table(findings))
    write_result({"ready": not in_the_way, "findings": findings}, json)
    console.print(_verdict(in_the_way))
    raise typer.Exit(Exit.FAILED if in_the_way else Exit.DONE)


def _table(findings: Sequence["Finding"]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "", title="unreel doctor", title_justify="left")
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    subject = findings[0].subject
    for finding in findings:
        if finding.subject != subject:
            table.add_section()
            subject = finding.subject
        time = f", {finding.milliseconds:.1f} ms" if finding.milliseconds else ""
        table.add_row(
            escape(finding.name),
            _MARKS[finding.status],
            escape(finding.detail + time),
            escape(finding.remedy),
        )
    return table


def _verdict(in_the_way: Sequence["Finding"]) -> str:
    if not in_the_way:
        return "[green]ready[/]: unreel synth, build, train and eval can run here"
    names = ", ".join(finding.name for finding in in_the_way)
    return f"[bold red]not ready[/]: {names}; see `what to do`"
