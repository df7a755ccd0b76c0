"""`unreel report`: one self-contained HTML page about a demo, or about any folder of runs laid out like one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unreel.tools.console import console

if TYPE_CHECKING:
    from unreel.tools.stages import DemoFolder

__all__ = ["report", "write_report"]


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of `unreel demo`.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default FOLDER/report.html.")] = None,
) -> None:
    """Write one HTML page about a demo: what was learned, beside its controls, and where the time went.

    The page carries its pictures and charts and loads nothing from anywhere. What is not there yet is left out.

    Example:

        unreel report demo-run --out report.html
    """
    from unreel.tools.stages import DemoFolder

    console.print(f"written: {write_report(DemoFolder(folder), out)}")


def write_report(folder: "DemoFolder", out: Path | None = None) -> Path:
    """Write the page about `folder`; returns its path. Raises ValueError when there is nothing to report."""
    from unreel.tools.summary import summarise

    page = _render(summarise(folder))
    path = out or folder.report
    path.write_text(page, encoding="utf-8")
    return path


def _render(summary: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from unreel.tools.verdicts import number, percent, plus_minus

    environment = Environment(
        # The template lies beside this file; a folder inside the package would be a package of its own.
        loader=PackageLoader("unreel.tools", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, plus_minus=plus_minus, number=number)
    return environment.get_template("report.html.j2").render(summary=summary)
