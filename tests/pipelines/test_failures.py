"""The ceiling: by share, by run length, with names, and with a state that stays small."""

import json

import pytest

from unreel.pipelines.failures import FailureLog, FailurePolicy, describe
from unreel.pipelines.media import SampleFailure
from unreel.shards.errors import TooManyFailures


def failure(row: int, key: str = "k", reason: str = "gone") -> SampleFailure:
    return SampleFailure(row, 0, "s", key, "read", reason)


def test_the_share_is_judged_only_after_enough_rows() -> None:
    log = FailureLog(FailurePolicy(share=0.1, after=40))
    for _ in range(3):
        log.add(10, [failure(0), failure(5)])
    with pytest.raises(
        TooManyFailures, match=r"20\.0% of the samples failed, the ceiling is 10\.0%.*s/k \(read: gone\)"
    ):
        log.add(10, [failure(0), failure(5)])


def test_a_share_at_the_ceiling_passes() -> None:
    log = FailureLog(FailurePolicy(share=0.1, after=0))
    for _ in range(100):
        log.add(10, [failure(9)])
    assert (log.rows, log.failed) == (1000, 100)


def test_runs_go_over_the_border_of_batches() -> None:
    log = FailureLog(FailurePolicy(share=1.0, run=5))
    log.add(4, [failure(1), failure(2), failure(3)])
    log.add(4, [failure(0), failure(3)])
    assert log.tallies[""].run == 1
    log.add(3, [failure(row) for row in range(3)])
    with pytest.raises(TooManyFailures, match="5 samples in a row failed, the ceiling is 5"):
        log.add(3, [failure(0)])


def test_a_run_inside_one_batch_counts_although_it_ends_there() -> None:
    log = FailureLog(FailurePolicy(share=1.0, run=3))
    with pytest.raises(TooManyFailures, match="3 samples in a row"):
        log.add(8, [failure(row) for row in (2, 3, 4)])


def test_each_sample_is_named_once_in_the_order_of_its_first_failure() -> None:
    log = FailureLog(FailurePolicy())
    log.add(8, [failure(0, "b", "first"), failure(1, "a")])
    log.add(8, [failure(0, "b", "second")])
    assert log.names == {"s/b": "read: first", "s/a": "read: gone"} and log.failed == 3


def test_states_stay_small_and_continue() -> None:
    log = FailureLog(FailurePolicy(share=1.0, run=10**6))
    log.add(3000, [failure(row, f"key-{row:0100}", "x" * 5000) for row in range(2999)])
    state = json.dumps(log.state_dict())
    assert len(state) < 60_000
    other = FailureLog(FailurePolicy())
    other.load_state_dict(json.loads(state))
    assert other.state_dict() == log.state_dict() and other.failed == 2999


def test_failures_are_described_for_people() -> None:
    assert describe([failure(0), failure(1, "l", "cut")]) == "s/k (read: gone); s/l (read: cut)"


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"share": -0.1}, {"run": 0}, {"after": -1}])
def test_ceilings_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="failure"):
        FailurePolicy(**wrong)  # type: ignore[arg-type]


def test_any_failure_stops_a_run_that_must_not_skip() -> None:
    for mode in ("stop", "refuse"):
        log = FailureLog(FailurePolicy(mode=mode))
        log.add(8, [])
        with pytest.raises(TooManyFailures, match=f"mode is '{mode}'.*s/k"):
            log.add(8, [failure(3)])


def test_the_summary_counts_by_stage_and_by_shard() -> None:
    log = FailureLog(FailurePolicy())
    log.add(8, [failure(0), SampleFailure(1, 1, "t", "k", "quarantine", "killed"), failure(2, "other")])
    assert log.summary() == (
        "3 of 8 rows failed, by stage: read 2, quarantine 1; by shard: s 2, t 1; in quarantine: t/k"
    )
    assert FailureLog(FailurePolicy()).summary() == "0 of 0 rows failed"


def test_quarantine_goes_on_after_a_resume_for_those_who_already_look_at_it() -> None:
    log, later = FailureLog(FailurePolicy()), FailureLog(FailurePolicy())
    log.add(8, [SampleFailure(1, 1, "t", key, "quarantine", "killed") for key in "ba"])
    seen = later.quarantine
    later.load_state_dict(json.loads(json.dumps(log.state_dict())))
    assert list(seen) == ["t/b", "t/a"]
