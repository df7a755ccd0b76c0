"""What happens when samples fail: each costs its own row, a policy stops the run and names them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from unreel.pipelines.media import SampleFailure
from unreel.shards.errors import TooManyFailures

__all__ = ["QUARANTINE", "FailureLog", "FailurePolicy", "describe", "join_states", "part_of_state"]

QUARANTINE: Final = "quarantine"
"""Stage of a row whose sample is not tried any more, because it has killed decoder processes."""

_REMEMBERED: Final = 100
"""Names kept, so that a state stays below 64 KiB; failures beyond are counted."""

_REASON_LENGTH: Final = 300


Mode = Literal["skip", "stop", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """What failed samples do to a run. The defaults are ours.

    A failed sample is never replaced by another one: its row stays, with `valid` False.

    Attributes:
        mode: `skip`: a failed sample costs its own row, until a ceiling is reached. `stop`: the first one stops the run.
            `refuse`: as `stop`, and before the first step every shard is looked at: a data set of which a shard is
            missing, cut or swapped is refused.
        share: largest share of failed rows, in [0, 1], once `after` rows have been seen.
        run: failed rows in a row that stop the run at once: then it is not the samples.
        after: rows before the share is judged.
    """

    mode: Mode = "skip"
    share: float = 0.1
    run: int = 100
    after: int = 1000

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"failure mode {self.mode!r}: choose one of {', '.join(get_args(Mode))}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"failure share {self.share}: a share of the rows in [0, 1]")
        if self.run < 1 or self.after < 0:
            raise ValueError(f"failure run {self.run}, after {self.after}: run at least 1, after at least 0")


@dataclass(slots=True)
class Tally:
    """The failed rows of one task.

    Attributes:
        failed: rows that failed so far.
        run: length of the current run of them.
    """

    failed: int = 0
    run: int = 0

    def add(self, rows: int, failed: Collection[int]) -> int:
        """Count a batch of `rows` rows; the longest run in it, begun before it or not."""
        self.failed += len(failed)
        longest = self.run
        for row in range(rows):
            self.run = self.run + 1 if row in failed else 0
            longest = max(longest, self.run)
        return longest


class FailureLog:
    """The failures of a run so far, in the order in which its steps were handed out.

    The policy judges each task of a loader as if it ran alone: a sample that one of three tasks cannot plan is a failed row
    of that task and of no other, and one that cannot be read is a failed row of each.

    Attributes:
        rows: rows seen.
        failed: rows that failed for a task or more; a sample that fails in each epoch counts each time.
        tallies: task → its failed rows and its current run of them.
        names: `shard/key` (`data set/shard/key` in a mixture) → stage and reason of the first failure, in the order of their first failure.
        quarantine: `shard/key` of samples that are not tried any more, in the order in which they were found.
        stages, shards: how many rows failed at each stage and in each shard.
    """

    def __init__(self, policy: FailurePolicy, tasks: Iterable[str] = ("",)) -> None:
        self.policy = policy
        self.rows = self.failed = 0
        self.tallies = {task: Tally() for task in tasks}
        self.names: dict[str, str] = {}
        self.quarantine: dict[str, None] = {}
        self.stages: Counter[str] = Counter()
        self.shards: Counter[str] = Counter()

    def add(self, rows: int, failures: Sequence[SampleFailure]) -> None:
        """Count a batch of `rows` rows.

        Raises:
            TooManyFailures: the policy stops the run; lists the samples that failed.
        """
        self.rows += rows
        self.failed += len({failure.row for failure in failures})
        longest = {
            task: tally.add(rows, {failure.row for failure in failures if failure.task in ("", task)})
            for task, tally in self.tallies.items()
        }
        for failure in failures:
            self._remember(failure)
        for task, run in longest.items():
            self._check(task, run)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes, as JSON takes it; of the shards, those that failed most."""
        return {
            "rows": self.rows,
            "failed": self.failed,
            "tasks": {task: asdict(tally) for task, tally in self.tallies.items()},
            "names": dict(self.names),
            "quarantine": list(self.quarantine),
            "stages": dict(self.stages),
            "shards": dict(self.shards.most_common(_REMEMBERED)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another log stood."""
        self.rows, self.failed = state["rows"], state["failed"]
        self.tallies = {task: Tally(**tally) for task, tally in state["tasks"].items()}
        self.names = dict(state["names"])
        # In place: the planner looks at it.
        self.quarantine.clear()
        self.quarantine.update(dict.fromkeys(state["quarantine"]))
        self.stages, self.shards = Counter(state["stages"]), Counter(state["shards"])

    def summary(self) -> str:
        """`n of N rows failed`, by stage and by shard: one line for the end of a run."""
        if not self.failed:
            return f"0 of {self.rows} rows failed"
        stages = ", ".join(f"{stage} {count}" for stage, count in self.stages.most_common())
        shards = ", ".join(f"{shard} {count}" for shard, count in self.shards.most_common(10))
        more = f" and {len(self.shards) - 10} shards more" if len(self.shards) > 10 else ""
        named = f"; in quarantine: {', '.join(self.quarantine)}" if self.quarantine else ""
        tasks = ", ".join(f"{task} {tally.failed}" for task, tally in self.tallies.items())
        by_task = f"by task: {tasks}; " if len(self.tallies) > 1 else ""
        return f"{self.failed} of {self.rows} rows failed, {by_task}by stage: {stages}; by shard: {shards}{more}{named}"

    def _remember(self, failure: SampleFailure) -> None:
        name = f"{failure.shard}/{failure.key}"
        self.stages[failure.stage] += 1
        self.shards[failure.shard] += 1
        if failure.stage == QUARANTINE and len(self.quarantine) < _REMEMBERED:
            self.quarantine.setdefault(name)
        if len(self.names) < _REMEMBERED:
            self.names.setdefault(name, f"{_where(failure)}: {failure.reason}"[:_REASON_LENGTH])

    def _check(self, task: str, longest: int) -> None:
        policy, share = self.policy, self.tallies[task].failed / self.rows
        of_task = f" of task {task}" if len(self.tallies) > 1 else ""
        if policy.mode != "skip" and self.failed:
            raise TooManyFailures(f"a sample failed and the failure mode is {policy.mode!r}; {self}")
        if longest >= policy.run:
            raise TooManyFailures(
                f"{longest} samples{of_task} in a row failed, the ceiling is {policy.run}; {self}"
            )
        if self.rows >= policy.after and share > policy.share:
            raise TooManyFailures(
                f"{share:.1%} of the samples{of_task} failed, the ceiling is {policy.share:.1%}; {self}"
            )

    def __str__(self) -> str:
        named = "; ".join(f"{name} ({why})" for name, why in self.names.items())
        return f"{self.failed} of {self.rows} rows failed: {named or 'none'}"


def join_states(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of one loader that saw what the loaders of all ranks saw; they differ in `failures` only."""
    joined = dict(states[0])
    if "loaders" in joined:
        # Of loaders that take turns.
        names = joined["loaders"]
        joined["loaders"] = {
            name: join_states([state["loaders"][name] for state in states]) for name in names
        }
    logs = [state["failures"] for state in states if "failures" in state]
    if logs:
        joined["failures"] = _joined(logs)
    return joined


def part_of_state(state: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """What the loader of `rank` goes on from: rank 0 from all of it, the others without the counts, which add up again."""
    if "loaders" in state:
        return {
            **state,
            "loaders": {name: part_of_state(own, rank) for name, own in state["loaders"].items()},
        }
    if rank == 0 or "failures" not in state:
        return dict(state)
    log = state["failures"]
    empty = FailureLog(FailurePolicy(), log["tasks"]).state_dict()
    return {**state, "failures": {**empty, "quarantine": log["quarantine"]}}


def _joined(logs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names: dict[str, str] = {}
    for log in reversed(logs):
        names |= log["names"]
    return {
        "rows": sum(log["rows"] for log in logs),
        "failed": sum(log["failed"] for log in logs),
        "tasks": {
            task: {
                "failed": sum(log["tasks"][task]["failed"] for log in logs),
                # Rows of all ranks failed in a row only where those of each did.
                "run": min(log["tasks"][task]["run"] for log in logs),
            }
            for task in logs[0]["tasks"]
        },
        "names": dict(list(names.items())[:_REMEMBERED]),
        "quarantine": list(dict.fromkeys(name for log in logs for name in log["quarantine"])),
        "stages": dict(sum((Counter(log["stages"]) for log in logs), Counter())),
        "shards": dict(sum((Counter(log["shards"]) for log in logs), Counter()).most_common(_REMEMBERED)),
    }


def describe(failures: Sequence[SampleFailure]) -> str:
    """Each failed sample with its stage and reason, for a message."""
    return "; ".join(f"{f.shard}/{f.key} ({_where(f)}: {f.reason})" for f in failures)


def _where(failure: SampleFailure) -> str:
    return f"{failure.stage} of {failure.task}" if failure.task else failure.stage
