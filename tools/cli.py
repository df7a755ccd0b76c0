"""The program `unreel`: one file a command, nothing heavy imported until a command runs."""

import importlib
import sys
from typing import Final

import typer
from rich.markup import escape

from unreel.shards.errors import UnreelError
from unreel.tools.console import Exit, console
from unreel.tools.stopping import Stopped

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: Final = {
    "doctor": "unreel.tools.doctor",
    "synth": "unreel.tools.synth.command",
    "build": "unreel.tools.build",
    "index": "unreel.tools.index",
    "verify": "unreel.tools.verify",
    "repair": "unreel.tools.repair",
    "merge": "unreel.tools.merge",
    "split": "unreel.tools.split",
    "remove": "unreel.tools.remove",
    "dedup": "unreel.tools.dedup",
    "migrate": "unreel.tools.migrate",
    "stats": "unreel.tools.stats",
    "inspect": "unreel.tools.inspect",
    "train": "unreel.tools.train",
    "eval": "unreel.tools.eval",
    "runs": "unreel.tools.runs",
    "offset": "unreel.tools.offset",
    "export": "unreel.tools.export",
    "features": "unreel.tools.features",
    "audit": "unreel.tools.audit.command",
    "report": "unreel.tools.report",
    "demo": "unreel.tools.demo",
    "bench": "unreel.tools.bench.command",
}
"""Command → module that defines a function of the command's name, or a `typer.Typer` of it for a group, in the order in which a new user meets them."""

app = typer.Typer(
    name="unreel",
    help="Videos, sound and pictures → shards → pretext batches on the device → trained towers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"unreel {installed('unreel')}")
        raise typer.Exit


for _name, _module in COMMANDS.items():
    _command = getattr(importlib.import_module(_module), _name)
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name)
    else:
        app.command(_name)(_command)


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2, a failure one line and exit code 1."""
    try:
        app()
    except ValueError as error:
        _stop(error, Exit.USAGE)
    except (UnreelError, OSError) as error:
        _stop(error, Exit.FAILED)
    except Stopped as stop:
        console.print(f"stopped by {stop}; the same command continues")
        sys.exit(128 + stop.number)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)


def _stop(error: Exception, code: Exit) -> None:
    console.print(f"[bold red]unreel:[/] {escape(str(error))}")
    sys.exit(code)


if __name__ == "__main__":
    main()
