"""What a session of training leaves in its run folder for people: beside its first step, and when it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import msgspec
import torch

from unreel.models.objectives.objective import take_rows
from unreel.models.training import RunConfig, RunFolder, TrainingResult
from unreel.models.training.log import Row
from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.pretext.task import PretextBatch
from unreel.pipelines.stats import LoaderStats
from unreel.pipelines.turns import Turns
from unreel.shards.files import write_atomic
from unreel.tools.console import console
from unreel.tools.provenance import note_session
from unreel.tools.run_files import RunFiles, write_guide
from unreel.tools.run_loaders import loaders_in

__all__ = ["Session"]

_ROWS: Final = 8
"""Of a batch, on the samples sheet."""

_BETWEEN_PAGES: Final = 600.0
"""Seconds after which the page of a run that goes on is drawn anew; it takes some seconds of one core."""


class Session:
    """The loader of rank 0; at its first step it notes what the run came from and draws that step, beside training.

    Not before: a session that is refused, or finds the run finished, leaves the folder as it is. As a listener it draws
    the run's page from time to time.
    """

    def __init__(
        self,
        config: RunConfig,
        loader: Loader | Turns,
        validation: Loader | Turns | None,
        folder: RunFolder,
        *,
        ranks: int,
    ) -> None:
        self._config, self._loader, self._validation = config, loader, validation
        self._files, self._ranks = RunFiles(folder.path), ranks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._noted: list[Future[None]] = []
        self._undrawn = set(loader.tasks)
        self._drawn = time.monotonic()

    @property
    def stats(self) -> LoaderStats:
        return self._loader.stats

    def __iter__(self) -> Iterator[Step]:
        for step in self._loader:
            if self._undrawn & step.batches.keys():
                self._look(step)
            yield step

    def state_dict(self) -> Mapping[str, Any]:
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        self._loader.load_state_dict(state)

    def row(self, row: Row) -> None:
        if time.monotonic() - self._drawn >= _BETWEEN_PAGES:
            self._drawn = time.monotonic()
            self._thread.submit(self._draw_page)

    def warn(self, text: str) -> None:
        """Warnings are on the page by their file."""

    def close(self) -> None:
        """`end` comes when there is a result."""

    def end(self, result: TrainingResult | None) -> None:
        """Write how the session ended, where the loader's time went, and the page; None after an error.

        After a signal the page is left as it was last drawn: who sends one may not wait for the seconds that it takes.
        """
        for note in self._noted:
            _attempt("what the run came from", note.result)
        self._thread.shutdown()
        if result is not None:
            self._note_pace()
            write_atomic(self._files.result, _json(result))
        if result is not None and result.stopped.startswith("SIG"):
            console.print(f"`unreel report {self._files.path}` draws its page", markup=False, soft_wrap=True)
        elif result is not None or self._noted:
            self._draw_page()

    def _draw_page(self) -> None:
        from unreel.tools.run_page import write_run_page

        _attempt("its report", lambda: write_run_page(self._files.path))

    def _look(self, step: Step) -> None:
        """At the first step, and where tasks take turns at the first one of each."""
        # Copies of few rows: nothing waits, and training may do with its batch what it likes.
        few = {name: self._few(name, batch) for name, batch in step.batches.items() if name in self._undrawn}
        self._undrawn -= few.keys()
        if not self._noted:
            self._files.result.unlink(missing_ok=True)
            self._noted.append(self._thread.submit(self._note, step.step))
        shown = Step(step.step, few, step.seconds, step.failures)
        self._noted.append(self._thread.submit(self._draw, shown))

    def _few(self, task: str, batch: PretextBatch) -> PretextBatch:
        """The rows that are drawn, and those of their groups: a sheet says which row another one's sound is of."""
        group = self._loader.tasks[task].needs.aligned
        rows = -(-_ROWS // group) * group
        return take_rows(batch, torch.arange(min(rows, len(batch))))

    def _note(self, from_step: int) -> None:
        write_guide(self._files)
        note_session(
            self._files.provenance,
            self._config.data.shards,
            [len(chosen) for chosen in self._loader.selections],
            [len(chosen) for chosen in self._validation.selections] if self._validation else [],
            from_step=from_step,
            ranks=self._ranks,
        )

    def _draw(self, step: Step) -> None:
        from unreel.tools.sheets import contact_sheet

        for name, batch in step.batches.items():
            path = self._files.sheet(name if len(self._loader.tasks) > 1 else "")
            if not path.exists():
                alone = Step(step.step, {name: batch}, step.seconds, step.failures)
                contact_sheet(alone, self._loader.tasks[name], rows=_ROWS).save(path)

    def _note_pace(self) -> None:
        """Write `RUN/loader.json`: where the loader's time went, of this session, and what `auto` measured."""
        stats, loader = self._loader.stats, loaders_in(self._loader)[0]
        record = {
            "steps": stats.steps,
            "clips": stats.clips,
            "elapsed": stats.elapsed,
            "seconds": stats.seconds,
            "backend": loader.backend.name,
            "choice": str(loader.choice or "named by the recipe"),
        }
        write_atomic(self._files.loader, msgspec.json.encode(record) + b"\n")


def _json(result: TrainingResult) -> bytes:
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def _attempt(what: str, work: Callable[[], object]) -> None:
    """Do what a page needs; an error costs the page and is said, since training is worth more than its page."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - said here; drawing can go wrong by anything
        console.print(
            f"{what} could not be written: {type(error).__name__}: {error}", style="bold yellow", markup=False
        )
