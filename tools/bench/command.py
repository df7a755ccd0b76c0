"""`unreel bench`: what a part of unreel costs over the same work done bare, and how well sound stays with its picture."""

import typer

from unreel.tools.bench.alignment import alignment
from unreel.tools.bench.build import build
from unreel.tools.bench.kernels import kernels
from unreel.tools.bench.loader import loader
from unreel.tools.bench.profiles import profiles
from unreel.tools.bench.together import together

__all__ = ["bench"]

bench = typer.Typer(
    help="""Measure what a part of unreel costs over the same work done bare, and how well sound stays with its picture.

    Every cost is a ratio inside one repeat, since machines drift and ratios stay; the order of the contestants rotates.

    Example: `unreel bench loader shards/`
    """,
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
bench.command("alignment")(alignment)
bench.command("build")(build)
bench.command("kernels")(kernels)
bench.command("loader")(loader)
bench.command("profiles")(profiles)
bench.command("together")(together)
