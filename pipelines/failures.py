"""How many samples may fail: each costs its own row, a ceiling stops the run and names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from unreel.pipelines.media import SampleFailure
from unreel.shards.errors import TooManyFailures

__all__ = ["FailureCeiling", "FailureLog", "describe"]

_REMEMBERED: Final = 100
"""Names kept, so that a state stays below 64 KiB; failures beyond are counted."""

_REASON_LENGTH: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCeiling:
    """When failed samples stop a run. The defaults are ours.

    Attributes:
        share: largest share of failed rows, in [0, 1], once `after` rows have been seen.
        run: failed rows in a row that stop the run at once: then it is not the samples.
        after: rows before the share is judged.
    """

    share: float = 0.1
    run: int = 100
    after: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"ceiling share {self.share}: a share of the rows in [0, 1]")
        if self.run < 1 or self.after < 0:
            raise ValueError(f"ceiling run {self.run}, after {self.after}: run at least 1, after at least 0")


class FailureLog:
    """The failures of a run so far, in the order in which its steps were handed out.

    Attributes:
        rows: rows seen.
        failed: rows that failed; a sample that fails in each epoch counts each time.
        run: length of the current run of failed rows.
        names: `shard/key` → stage and reason of the first failure, in the order of their first failure.
    """

    def __init__(self, ceiling: FailureCeiling) -> None:
        self.ceiling = ceiling
        self.rows = self.failed = self.run = 0
        self.names: dict[str, str] = {}

    def add(self, rows: int, failures: Sequence[SampleFailure]) -> None:
        """Count a batch of `rows` rows.

        Raises:
            TooManyFailures: the ceiling is reached; lists the samples that failed.
        """
        failed = {failure.row for failure in failures}
        longest = self.run
        for row in range(rows):
            self.run = self.run + 1 if row in failed else 0
            longest = max(longest, self.run)
        self.rows += rows
        self.failed += len(failed)
        for failure in failures:
            self._remember(failure)
        self._check(longest)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes, as JSON takes it."""
        return {"rows": self.rows, "failed": self.failed, "run": self.run, "names": dict(self.names)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another log stood."""
        self.rows, self.failed, self.run = state["rows"], state["failed"], state["run"]
        self.names = dict(state["names"])

    def _remember(self, failure: SampleFailure) -> None:
        if len(self.names) < _REMEMBERED:
            name = f"{failure.shard}/{failure.key}"
            self.names.setdefault(name, f"{failure.stage}: {failure.reason}"[:_REASON_LENGTH])

    def _check(self, longest: int) -> None:
        ceiling, share = self.ceiling, self.failed / self.rows
        if longest >= ceiling.run:
            raise TooManyFailures(f"{longest} samples in a row failed, the ceiling is {ceiling.run}; {self}")
        if self.rows >= ceiling.after and share > ceiling.share:
            raise TooManyFailures(
                f"{share:.1%} of the samples failed, the ceiling is {ceiling.share:.1%}; {self}"
            )

    def __str__(self) -> str:
        named = "; ".join(f"{name} ({why})" for name, why in self.names.items())
        return f"{self.failed} of {self.rows} rows failed: {named or 'none'}"


def describe(failures: Sequence[SampleFailure]) -> str:
    """Each failed sample with its stage and reason, for a message."""
    return "; ".join(f"{f.shard}/{f.key} ({f.stage}: {f.reason})" for f in failures)
