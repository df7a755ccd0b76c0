"""`unreel index`: a catalogue of anybody's WebDataset, the tars left as they are."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from unreel.tools.console import Exit, console, progress, write_result

if TYPE_CHECKING:
    from unreel.shards.foreign.indexing import Indexed

__all__ = ["index"]


def index(
    folder: Annotated[Path, typer.Argument(help="A folder of tars.")],
    out: Annotated[
        Path | None, typer.Option(help="Write here instead of beside the tars; it then holds links to them.")
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(
            help="Measure these facts of each sample, comma-separated, or all: motion, luma, cuts, content_box, "
            "overlay_box, hashes, loudness, silence."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also measure those of --facts that were measured before.")
    ] = False,
    ceiling: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of samples or tars that may be refused before the exit code is 3."
        ),
    ] = 0.1,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one core each.  [default: all cores]")
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Index WebDataset tars that others wrote: plain ones, video2dataset's and img2dataset's. No tar is changed.

    Beside each tar come our index, the measured sidecars of its samples and an index for DALI; then a catalogue of all, which
    every command and the loader open. Members that could run code are never opened. Tars that are cut, compressed or
    joined are refused.

    With `--facts` every sample is decoded once more and measured, so that tasks can choose by motion, scenes or sound. On
    a folder of our own shards the same option adds facts that came after the build: sidecars are written anew, media stay
    byte for byte.

    Example: `unreel index video2dataset-output/ --facts motion,cuts`
    """
    import msgspec

    from unreel.shards.care.enrich import is_ours
    from unreel.shards.foreign.indexing import index_folder

    names, cores = _names(facts, again), workers or len(os.sched_getaffinity(0))
    if names and is_ours(folder):
        _enrich(folder, out, names, again=again, workers=cores, json=json)
        return
    with progress(None, "indexing tars") as ticker:
        found = index_folder(folder, out=out, facts=names, again=again, workers=cores, progress=ticker.follow)
    _print(found, out or folder)
    write_result(msgspec.to_builtins(found), json)
    raise typer.Exit(_exit_code(found, ceiling))


def _names(facts: str | None, again: bool) -> tuple[str, ...]:
    from unreel.shards.making.facts import FACTS
    from unreel.shards.making.measure import check_facts

    if facts is None and again:
        raise ValueError("--again needs --facts: it says which of them are measured again")
    if facts in (None, "all"):
        return FACTS if facts else ()
    return check_facts([name.strip() for name in (facts or "").split(",")])


def _enrich(
    folder: Path, out: Path | None, names: tuple[str, ...], *, again: bool, workers: int, json: str | None
) -> None:
    import msgspec

    from unreel.shards.care.enrich import enrich

    if out is not None:
        raise ValueError(f"--out {out}: facts of our own shards are written into {folder}; leave it out")
    with progress(None, "measuring facts") as ticker:
        done = enrich(folder, names, again=again, workers=workers, progress=ticker.follow)
    console.print(
        f"{done.samples} samples in {done.shards} shards; wrote {done.rewritten} shards anew, "
        f"{done.unchanged} have these facts"
    )
    write_result(msgspec.to_builtins(done), json)


def _print(found: "Indexed", where: Path) -> None:
    for report in found.reports:
        if report.status == "refused":
            console.print(
                f"[bold red]{escape(Path(report.tar).name)}[/] {report.reason}: {escape(report.detail)}"
            )
    for title, name in (
        ("samples of", "layouts"),
        ("samples refused:", "refused_samples"),
        ("members refused:", "refused_members"),
        ("members ignored:", "ignored"),
        ("samples with", "notes"),
    ):
        counts: Counter[str] = Counter()
        for report in found.reports:
            counts.update(getattr(report, name))
        for what, count in counts.most_common(10):
            console.print(f"{count:7}  {title} {escape(what) or 'no extension'}")
    split = sum(report.split for report in found.reports)
    if split:
        console.print(f"{split:7}  samples whose members do not lie together")
    console.print(
        f"{found.tars} tars: {found.indexed} indexed, {found.kept} kept, {found.refused} refused; "
        f"{found.samples} samples in {escape(str(where))}, {found.refused_samples} refused"
    )


def _exit_code(found: "Indexed", ceiling: float) -> Exit:
    if not found.samples:
        return Exit.FAILED
    samples = found.samples + found.refused_samples
    over = found.refused > ceiling * found.tars or found.refused_samples > ceiling * samples
    return Exit.REFUSALS if over else Exit.DONE
