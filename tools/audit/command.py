"""`unreel audit`: does each guard close its shortcut, and was there one to close?"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unreel.tools.console import Exit, console, output, progress, write_result

if TYPE_CHECKING:
    from unreel.tools.audit.cases import Case
    from unreel.tools.audit.findings import Finding

__all__ = ["audit"]


def audit(
    guards: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GUARD]...", help="Names such as audio_phase, or threats such as D9; all."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Shards to look at, in the place of the generated media.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps the generated media for the next audit; else they are thrown away."
        ),
    ] = None,
    passes: Annotated[int, typer.Option(min=1, help="How often each clip is drawn.")] = 8,
    workers: Annotated[int, typer.Option(help="Processes that make media; 0 for one a core.")] = 0,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table to FILE, for a page in Markdown.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: stdout).")
    ] = None,
) -> None:
    """Does a guard close the shortcut that it is there for?

    A small probe sees one artefact and nothing else - where a sound starts, the pixels of a letterbox, how old a key
    frame is - and is asked for the label of a task, on sources that it did not learn from. With the guard off it must be
    clearly above chance, or the case shows nothing; with the guard on it must be at chance. `closed`: both hold. `open`: it
    is above chance with the guard on. `not shown`: there was nothing to close.

    Media with the artefact are generated: a quarter of an hour on two cores for all guards. Exit code 1 when a guard is open;
    forms that are known not to close their shortcut are shown beside those that do, and do not count.

    Example:

        unreel audit audio_phase D12

        unreel audit --work audit-media --json audit.json
    """
    from unreel.shards.catalogue import Catalogue
    from unreel.tools.audit.run import audit_cases
    from unreel.tools.audit.words import line, table

    chosen = _chosen(guards or [])
    findings: list[Finding] = []
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(TemporaryDirectory(prefix="unreel-audit-")))
        ticker = stack.enter_context(progress(len(chosen), "audit"))
        for finding in audit_cases(
            chosen,
            folder=folder,
            data=None if data is None else Catalogue.open(data),
            passes=passes,
            workers=workers or len(os.sched_getaffinity(0)),
            say=ticker.say,
        ):
            findings.append(finding)
            ticker.advance()
            console.print(f"{len(findings)}/{len(chosen)} {line(finding)}", soft_wrap=True)
    if markdown is not None:
        markdown.write_text(table(findings), encoding="utf-8")
    if json != "-":
        output.print(_table(findings))
    write_result({"passes": passes, "findings": [_record(finding) for finding in findings]}, json)
    raise typer.Exit(Exit.FAILED if any(finding.failed for finding in findings) else Exit.DONE)


def _chosen(names: Sequence[str]) -> "list[Case]":
    """The cases of the guards or threats that are named; all where none is."""
    from unreel.tools.audit.cases import CASES

    known = {name for case in CASES for name in (case.guard, case.threat)}
    if unknown := set(names) - known:
        raise ValueError(f"audit {' '.join(sorted(unknown))}: allowed are {', '.join(sorted(known))}")
    return [case for case in CASES if not names or case.guard in names or case.threat in names]


def _table(findings: "Sequence[Finding]") -> Table:
    from unreel.tools.audit.words import number

    table = Table(title="What a probe tells from an artefact alone", title_justify="left")
    for column in (
        "",
        "guard",
        "artefact",
        "task",
        "chance",
        "guard off",
        "guard on",
        "n",
        "sources",
        "verdict",
    ):
        right = column in ("chance", "guard off", "guard on", "n", "sources")
        table.add_column(column, justify="right" if right else "left")
    colours = {"closed": "green", "open": "red", "not shown": "yellow"}
    for finding in findings:
        off, on = finding.off.accuracy, finding.on.accuracy
        table.add_row(
            finding.threat,
            finding.guard,
            finding.artefact,
            finding.task,
            f"{finding.chance:.2f}",
            number(off),
            number(on),
            f"{on.samples:,}",
            f"{on.sources:,}",
            f"[{colours[finding.verdict]}]{finding.verdict}[/]{' (known)' if finding.known else ''}",
        )
    table.caption = "balanced accuracy ± one standard error, over sources"
    return table


def _record(finding: "Finding") -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(finding), "verdict": finding.verdict}
