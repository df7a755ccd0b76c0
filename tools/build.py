"""`unreel build`: media files → shards."""

import os
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from unreel.tools.console import Exit, console, output, progress, write_result
from unreel.tools.dry_run import estimate_record, estimate_table
from unreel.tools.profile_table import profile_records, profile_table
from unreel.tools.sizes import read_size
from unreel.tools.stopping import stop_in_good_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unreel.shards.build import BuildSummary, SourceReport
    from unreel.shards.engines import Engine

__all__ = ["Bars", "build"]

# So many refused sources are shown on the screen; all of them are in build.json.
_SHOWN: Final = 20
_ENGINES: Final = ("local", "ray")
_STAGES: Final = {"probe": "looking at sources", "build": "building", "trial": "building a few for trial"}


def build(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE... OUT",
            help="Folders, files, globs, URLs or manifests (.txt .csv .jsonl .parquet), and last the folder to write.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="What sources become: a name, a TOML file of your own, or `list` to see all names."
        ),
    ] = "clips-128",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes, one core each.  [default: all cores; with --address, the cluster's]"),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Where the work runs: local (processes of this machine) or ray.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to join, such as 10.0.0.5:6379 or auto.  [default: one of this machine alone]"
        ),
    ] = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Longest clip in seconds.  [default: the profile's, 10]")
    ] = None,
    scenes: Annotated[
        bool | None,
        typer.Option("--scenes/--no-scenes", help="No clip goes over a cut.  [default: the profile's, no]"),
    ] = None,
    clips_per_source: Annotated[
        int | None,
        typer.Option(
            help="At most so many clips of one source, evenly spread.  [default: the profile's, all]"
        ),
    ] = None,
    copy: Annotated[
        bool | None,
        typer.Option(
            "--copy/--no-copy",
            help="Copy pictures that already are what the profile stores.  [default: the profile's, no]",
        ),
    ] = None,
    shard_bytes: Annotated[
        str | None,
        typer.Option(help="Expected size of a shard, such as 64MiB.  [default: 4 to 256 MiB by the whole]"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Keep only clips such as 'motion>=2', 'seconds<=8' or 'language=en,de'; repeatable, see docs/filters.md.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="What a source may cost or claim before it is refused, such as seconds=36000 or memory=8GiB; repeatable.",
        ),
    ] = None,
    checksums: Annotated[
        str | None,
        typer.Option(help="List as sha256sum writes it; a source that differs or is not in it is refused."),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(help="Folder for the bytes of URLs while they are needed.  [default: below OUT]"),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Build nothing: say what would come of it, from a trial with a few sources."
        ),
    ] = False,
    ceiling: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of sources that may be refused before the exit code is 3."),
    ] = 0.1,
    json: Annotated[
        str | None, typer.Option(help="Write the summary to this file; - for standard output.")
    ] = None,
) -> None:
    """Build shards from videos, sound and pictures.

    Each source is checked, decoded once, cut into clips, measured (motion, scenes, silence, loudness) and encoded anew.
    Every source ends as done, skipped or refused, with its reason. A build that was stopped goes on where it was when the
    same command is given again.

    A manifest has a column `path` (a file or a URL); further columns are `split`, `licence`, `start` and `end` of a span,
    `transcript`, `language`, and labels of any other name. A text beside a file (`clip.srt`, `clip.en.vtt`) holds its
    words. docs/manifests.md has all columns with an example of each form.

    `--keep RULE` drops the clips that break a rule, once they are measured, and counts them by rule: NAME>=NUMBER or
    NAME<=NUMBER of seconds, height, width, frame_rate, motion, sound (share that is not silent), luma, scene_seconds,
    and language=CODE. A source of which nothing is kept is skipped as `filtered`.

    URLs (http, https; s3 and gs with `pip install 'unreel[cloud]'`) are fetched, checked and built like files.

    With `--engine ray` the machines of a cluster share the work. They need the same versions (another one is refused), and
    the sources and the output folder under the same paths.

    `--dry-run` looks at all sources and builds a few for trial: shards, samples, bytes, hours and CPU hours before anything
    is begun.

    Example: `unreel build videos/ more/*.mkv shards/`
    or `unreel build labels.csv https://example.org/a.mp4 shards/`
    or `unreel build videos/ shards/ --keep 'motion>=2' --keep 'seconds>=3'`
    or `unreel build videos/ shards/ --engine ray --address auto`
    """
    from unreel.shards.build import build as build_shards
    from unreel.shards.making.profile_file import find_profile
    from unreel.tools.limits import read_limits

    if profile == "list":
        output.print(profile_table()) if json != "-" else None
        write_result(profile_records(), json)
        raise typer.Exit(Exit.DONE)
    *sources, out = _split(paths or [])
    target = None if shard_bytes is None else read_size("--shard-bytes", shard_bytes)
    with stop_in_good_order(), closing(Bars()) as bars, _engine(engine, address, workers) as running:
        changes = {
            "clip_seconds": clip_seconds,
            "scenes": scenes,
            "clips_per_source": clips_per_source,
            "copy": None if copy is None else "when-conforming" if copy else "never",
        }
        settings: dict[str, Any] = {
            "profile": find_profile(profile, **changes),
            "engine": running,
            "shard_bytes": target,
            "keep": keep or (),
            "limits": read_limits(limit or ()),
            "checksums": checksums,
            "cache": cache,
            "progress": bars.follow,
        }
        if dry_run:
            raise typer.Exit(_dry_run(sources, out, settings, bars, json))
        summary = build_shards(sources, out, **settings)
    _print_summary(summary, out)
    write_result(_as_table(summary), json)
    raise typer.Exit(_exit_code(summary, ceiling))


def _dry_run(sources: list[str], out: str, settings: dict[str, Any], bars: "Bars", json: str | None) -> Exit:
    from unreel.shards.estimate import estimate

    found = estimate(sources, out, **settings)
    bars.close()
    _print_missed(found.reports, "what --json writes")
    for reason, count in found.reasons.items():
        console.print(f"{count:7}  {reason}")
    if found.kinds and json != "-":
        output.print(estimate_table(found))
    console.print(f"{found.sources} sources would become {found.shards} shards; nothing was built")
    write_result(estimate_record(found), json)
    return Exit.DONE if found.kinds else Exit.FAILED


def _engine(name: str, address: str | None, workers: int | None) -> "Engine":
    if name not in _ENGINES:
        raise ValueError(f"--engine {name}: allowed are {', '.join(_ENGINES)}")
    if name == "ray":
        from unreel.shards.engines.ray import RayEngine

        return RayEngine(address, workers=workers)
    if address is not None:
        raise ValueError(f"--address {address}: goes with --engine ray")
    from unreel.shards.engines import LocalEngine

    return LocalEngine(len(os.sched_getaffinity(0)) if workers is None else workers)


def _split(paths: list[str]) -> list[str]:
    if len(paths) < 2:
        raise ValueError(
            f"build {' '.join(paths)}: at least one source and, last, the folder to write are needed"
        )
    return paths


class Bars:
    """One progress bar for each stage of a command, by default a build's, one after the other."""

    def __init__(self, stages: Mapping[str, str] = _STAGES) -> None:
        self._stages = stages
        self._stack = ExitStack()
        self._stage = ""
        self._done = 0

    def follow(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` are through a stage."""
        if stage != self._stage:
            self.close()
            self._ticker = self._stack.enter_context(progress(total, self._stages[stage]))
            self._stage, self._done = stage, 0
        self._ticker.advance(done - self._done)
        self._done = done

    def close(self) -> None:
        """Take the bar away."""
        self._stack.close()


def _print_missed(reports: "Sequence[SourceReport]", where: str) -> None:
    refused = [report for report in reports if report.status == "refused"]
    if refused:
        table = Table("refused source", "reason", "what was found", title_justify="left")
        for report in refused[:_SHOWN]:
            table.add_row(escape(Path(report.source).name), report.reason, escape(report.detail))
        console.print(table)
    if len(refused) > _SHOWN:
        console.print(f"… and {len(refused) - _SHOWN} more in {where}")


def _print_summary(summary: "BuildSummary", out: str) -> None:
    _print_missed(summary.reports, f"{escape(out)}/build.json")
    for reason, count in summary.reasons.items():
        console.print(f"{count:7}  {reason}")
    for rule, count in summary.filtered.items():
        console.print(f"{count:7}  clips dropped: not {rule}")
    if summary.copied:
        console.print(f"{summary.copied:7}  clips whose picture was copied, not encoded")
    if summary.repeated:
        console.print(f"{len(summary.repeated):7}  rows of manifests say what another says")
    console.print(
        f"{summary.sources} sources: {summary.done} done, {summary.skipped} skipped, {summary.refused} refused; "
        f"{summary.samples} samples in {escape(out)}"
    )


def _as_table(summary: "BuildSummary") -> dict[str, object]:
    import msgspec

    return msgspec.to_builtins(summary)


def _exit_code(summary: "BuildSummary", ceiling: float) -> Exit:
    if summary.refused > ceiling * summary.sources:
        return Exit.REFUSALS
    return Exit.DONE if summary.samples else Exit.FAILED
