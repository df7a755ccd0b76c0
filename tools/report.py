"""`unreel report`: one self-contained HTML page about a run, a demo, or a folder of runs laid out like a demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unreel.tools.console import console

if TYPE_CHECKING:
    from unreel.tools.stages import DemoFolder

__all__ = ["report", "write_report"]


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder of `unreel train`, or folder of `unreel demo`.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default FOLDER/report.html.")] = None,
) -> None:
    """Write one HTML page about a run, or about a demo: what was learned, beside its controls, and where the time went.

    The page carries its pictures and charts and loads nothing from anywhere. What is not there yet is left out, so that it
    can be made of a run that goes on or was killed; of a run it also draws `curves.png`.

    Example:

        unreel report runs/order

        unreel report demo-run --out report.html
    """
    from unreel.tools.run_page import write_run_page
    from unreel.tools.stages import DemoFolder

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    is_run = (folder / "recipe.toml").exists()
    page = write_run_page(folder, out) if is_run else write_report(DemoFolder(folder), out)
    console.print(f"written: {page}", markup=False, soft_wrap=True)


def write_report(folder: "DemoFolder", out: Path | None = None) -> Path:
    """Write the page about `folder`; returns its path. Raises ValueError when there is nothing to report."""
    from unreel.tools.page import render
    from unreel.tools.summary import summarise

    page = render("report.html.j2", summary=summarise(folder))
    path = out or folder.report
    path.write_text(page, encoding="utf-8")
    return path
