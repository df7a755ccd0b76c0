"""`unreel train`: train the towers of a recipe on a folder of shards, in one process or in each that torchrun starts."""

import math
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unreel.tools.console import Ticker, console, progress, write_result
from unreel.tools.data import data_overrides

if TYPE_CHECKING:
    from unreel.models.training import RunConfig, RunFolder, TrainingResult
    from unreel.models.training.ranks import Ranks
    from unreel.models.training.trainer import Trainer
    from unreel.pipelines.loader import Loader
    from unreel.pipelines.turns import Turns
    from unreel.tools.run_session import Session

__all__ = ["run_training", "train"]

_ENDINGS: Final = {"steps": "done", "seconds": "stopped by train.max_seconds"}

_SIGNAL_BASE: Final = 128
"""A process that ends by signal n says so with exit code 128 + n."""


def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped recipe.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER[=WEIGHT]",
            help="Folder or URL of shards, repeatable with weights; else the recipe's data.shards.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Run folder, made by the run.")] = Path("run"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one setting; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Of a recipe's tasks train this one alone; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's newest good checkpoint.")
    ] = False,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: stdout).")
    ] = None,
) -> None:
    """Train the towers of a recipe, and validate them on sources that training never sees.

    Shipped recipes have the names of the tasks (`shuffle_and_learn`, `correspondence`, ..., see docs/tasks), each with a
    `_tiny` one for two CPU cores; `together` trains three tasks in one run.

    Example:

        unreel train shuffle_and_learn_tiny --data world-shards --out runs/order

        unreel train shuffle_and_learn_tiny --data world-shards --out runs/order --resume

        unreel train correspondence_tiny --data world-shards --out runs/sound --set train.steps=200

        unreel train shuffle_and_learn --data clips=0.7 --data more-clips=0.3 --set 'data.filters={luma=[16,240]}'

    Several GPUs, or several processes on CPU, share each batch; every rank is started with the same words (docs/training.md):

        torchrun --nproc-per-node 8 --no-python unreel train shuffle_and_learn --data clips --out runs/order --resume

    RUN explains itself: README.txt names its files, report.html shows them, curves and first batch included, and `unreel
    report RUN` draws it anew at any time, of killed runs as well. SIGTERM and Ctrl-C
    save a checkpoint and stop with exit code 143 and 130; `--resume` then repeats what an unbroken run would have
    done, on CPU to the last bit.
    """
    from unreel.models.training import RunFolder
    from unreel.models.training.model import only as keep_only
    from unreel.models.training.ranks import joined_ranks
    from unreel.tools.recipe import read_recipe

    config = read_recipe(recipe, overrides=[*data_overrides(data or []), *(overrides or [])])
    if only:
        config = keep_only(config, only)
    with joined_ranks() as ranks:
        result = run_training(config, RunFolder(out), resume=resume, ranks=ranks)
    if ranks.leads:
        _tell(result, out)
        write_result(_result_table(result, out), json)
    if result.stopped.startswith("SIG"):
        raise typer.Exit(_SIGNAL_BASE + signal.Signals[result.stopped])


def run_training(
    config: "RunConfig", folder: "RunFolder", *, resume: bool = False, ranks: "Ranks | None" = None
) -> "TrainingResult":
    """Resolve a recipe's `auto` choices, open this rank's loaders, and train; without `ranks` this process is alone.

    Raises:
        ValueError: the recipe names no shards, nothing in them suits the task, or the batch does not divide by the ranks.
        StateMismatch: the folder holds a run with other settings.
    """
    from unreel.models.training import Trainer
    from unreel.models.training.ranks import ALONE
    from unreel.models.training.run import continue_config
    from unreel.tools.run_loaders import loaders_in
    from unreel.tools.run_session import Session
    from unreel.tools.train_screen import Screen

    ranks = ranks or ALONE
    if resume and folder.recipe.exists():
        config = continue_config(folder.read_config(), config)
    with ExitStack() as stack:
        config, loader, validation = _prepare(config, stack, ranks)
        session = Session(config, loader, validation, folder, ranks=ranks.size) if ranks.leads else None
        ticker = stack.enter_context(progress(config.train.steps, "starting", show=ranks.leads, left=False))
        trainer = Trainer(
            config,
            loader=session or loader,
            validation=validation,
            folder=folder,
            listeners=[Screen(ticker, config), *([session] if session else [])],
            ranks=ranks,
        )
        if ranks.leads and ranks.size > 1:
            console.print(_division(config, ranks), markup=False, soft_wrap=True)
        if ranks.leads and not resume:
            for kind, source in config.start.items():
                console.print(f"the {kind} tower starts from {source}", markup=False, soft_wrap=True)
        if config.train.epochs and ranks.leads:
            console.print(_epochs(config, loader.samples), markup=False, soft_wrap=True)
        result = _trained(trainer, session, resume, ticker)
        if ranks.leads:
            console.print(f"loader: {loader.stats}", markup=False, soft_wrap=True)
            for part in loaders_in(loader):
                of = f" of {next(iter(part.tasks))}" if config.tasks and not config.shares_steps else ""
                console.print(f"samples{of}: {part.failures.summary()}", markup=False, soft_wrap=True)
        return result


def _trained(trainer: "Trainer", session: "Session | None", resume: bool, ticker: Ticker) -> "TrainingResult":
    """Train, and let the session say how it ended, also where that was by an error."""
    try:
        result = trainer.train(resume=resume)
    except Exception:
        if session:
            session.end(None)
        raise
    if session:
        ticker.say("writing its report")
        session.end(result)
    return result


def _division(config: "RunConfig", ranks: "Ranks") -> str:
    rows, device = config.train.batch_size // ranks.size, ranks.device(config.train.device).type
    return f"{ranks.size} ranks on {device}: {rows} of {config.train.batch_size} clips of each step on each"


def _epochs(config: "RunConfig", samples: int) -> str:
    return f"{config.train.epochs:g} epochs of {samples} clips: {config.train.steps} steps"


def _prepare(
    config: "RunConfig", stack: ExitStack, ranks: "Ranks"
) -> tuple["RunConfig", "Loader | Turns", "Loader | Turns | None"]:
    """The resolved settings, the loader of the training sources and that of the held-out ones; `stack` closes both."""
    import msgspec

    from unreel.models.training.environment import resolve
    from unreel.tools.run_loaders import loaders_in, measured_backend, open_loader

    config = msgspec.structs.replace(config, train=resolve(config.train))
    if ranks.size > 1 and config.loader.backend == "auto":
        config = _with_backend(config, ranks.led(lambda: measured_backend(config, ranks)))
    loader = open_loader(config, split="train", ranks=ranks)
    stack.callback(loader.close)
    config = _with_steps(_with_backend(config, loaders_in(loader)[0].backend.name), loader.samples)
    if not config.data.holdout:
        return config, loader, None
    validation = open_loader(config, split="val", ranks=ranks)
    stack.callback(validation.close)
    return config, loader, validation


def _with_backend(config: "RunConfig", name: str) -> "RunConfig":
    import msgspec

    return msgspec.structs.replace(config, loader=msgspec.structs.replace(config.loader, backend=name))


def _with_steps(config: "RunConfig", samples: int) -> "RunConfig":
    """The settings with `train.steps` counted from `train.epochs`, where those are set."""
    import msgspec

    if not config.train.epochs:
        return config
    steps = math.ceil(config.train.epochs * samples / config.train.batch_size)
    return msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, steps=steps))


def _tell(result: "TrainingResult", out: Path) -> None:
    ending = _ENDINGS.get(result.stopped, f"stopped by {result.stopped}")
    speed = f"{result.clips_per_second:.0f} clips/s, {result.data_wait:.0%} of the time getting batches"
    console.print(f"{ending} at step {result.step} after {result.seconds:.0f} s ({speed})")
    console.print(f"run: {out}", markup=False, soft_wrap=True)


def _result_table(result: "TrainingResult", out: Path) -> dict[str, object]:
    import msgspec

    return {"run": str(out), **msgspec.to_builtins(result)}
