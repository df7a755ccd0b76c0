"""What a person sees of a training: the numbers of a row, and the time that is left by either budget."""

import pytest

from unreel.models.training import RunConfig
from unreel.models.training.config import TrainConfig
from unreel.models.training.log import Row
from unreel.tools.console import console, progress
from unreel.tools.train_screen import Screen, TimeLeft, scores_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_counts_validations_and_starts_where_a_run_was_resumed() -> None:
    clock = Clock()
    left = TimeLeft(1_000, 0.0, clock=clock)
    assert left.after(600, 300.0) is None
    # Ten steps of half a second, and five seconds of validation: a second a step.
    clock.now += 10
    assert left.after(610, 305.0) == pytest.approx(390)
    clock.now += 400
    assert left.after(1_000, 500.0) == 0


def test_time_left_by_the_budget_of_seconds() -> None:
    clock = Clock()
    left = TimeLeft(1_000_000, 60.0, clock=clock)
    left.after(10, 5.0)
    clock.now += 10
    # 50 s are left of the budget: 100 steps of half a second, each of which takes a whole one on the wall.
    assert left.after(20, 10.0) == pytest.approx(100)
    clock.now += 200
    assert left.after(130, 65.0) == 0


def numbers(**more: float) -> dict[str, float]:
    return {"loss": 0.654, "balanced_accuracy": 0.712, "clips_per_second": 1234.0, "data_wait": 0.031, **more}


def test_a_line_from_time_to_time_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    config = RunConfig(task={"name": "rotation"}, towers={}, train=TrainConfig(steps=1_000, batch_size=32))
    with progress(1_000, "starting", left=False) as ticker:
        screen = Screen(ticker, config, clock=clock)
        for step in range(10, 100, 10):
            clock.now += 8
            screen.row(Row(step, "train", numbers(seconds=step / 2)))
    lines = capsys.readouterr().err.strip().splitlines()
    assert not console.is_terminal
    assert len(lines) == 2, "nine rows in 72 s: a line every 30 s"
    assert lines[0].startswith(
        "step 40/1,000 · loss 0.654 · balanced accuracy 0.712 · 1,234 clips/s · getting batches 3%"
    )
    # 30 steps took 24 s.
    assert lines[0].endswith("0:12:48 left")


def test_each_of_several_tasks_has_its_score() -> None:
    row = {
        "loss": 1.5,
        "task/order/loss": 1.0,
        "task/order/balanced_accuracy": 0.6,
        "task/next/hit_rate": 0.25,
    }
    assert scores_of(row) == "loss 1.500 · order 0.600 · next 0.250"
