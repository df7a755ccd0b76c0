"""Saving while training goes on: a generation is copied first, and written in a thread of its own."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from unreel.models.training.checkpoint import Checkpoint, prune, save_checkpoint, save_divided
from unreel.models.training.ranks import ALONE, Ranks
from unreel.models.training.sharded import is_divided

__all__ = ["Saver"]


class Saver:
    """Writes one generation at a time; a kill meanwhile costs that generation and leaves the one before.

    Args:
        folder: of the generations.
        keep: newest generations that stay.
        every: those of steps that this divides stay too; 0 for none.
        ranks: those that train together.
    """

    def __init__(self, folder: Path, *, keep: int, every: int = 0, ranks: Ranks = ALONE) -> None:
        self._folder, self._keep, self._every = folder, keep, every
        self._ranks = ranks.aside()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Copy a generation and begin to write it; waits for the one before, and raises what went wrong with that one.

        Every rank calls it. Where the optimiser lies in parts each of them writes its own, else rank 0 writes all.
        """
        self.wait()
        divided = is_divided(checkpoint.optimiser)
        if divided or self._ranks.leads:
            write = self._write_divided if divided else self._write
            self._writing = self._threads.submit(write, checkpoint.copied())

    def wait(self) -> None:
        """Until everything is durable. Raises OSError or CheckpointError where it cannot be."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """As `wait`, and end the thread."""
        try:
            self.wait()
        finally:
            self._threads.shutdown()

    def _write(self, checkpoint: Checkpoint) -> None:
        save_checkpoint(self._folder, checkpoint)
        self._prune(checkpoint.step)

    def _write_divided(self, checkpoint: Checkpoint) -> None:
        save_divided(self._folder, checkpoint, self._ranks)
        self._ranks.led(lambda: self._prune(checkpoint.step))

    def _prune(self, newest: int) -> None:
        prune(self._folder, keep=self._keep, newest=newest, every=self._every)
