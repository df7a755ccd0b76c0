"""`unreel runs`: which settings differ, what each run scored, and which is best."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from unreel.models.evaluation import Estimate, PretextScore
from unreel.models.training.config import RunConfig, TrainConfig
from unreel.models.training.run import RunFolder
from unreel.tools.cli import app
from unreel.tools.evaluation import Evaluation, evaluation_path, write_evaluation
from unreel.tools.run_record import differing, find_runs, read_runs, sorted_by


def score(value: float) -> PretextScore:
    estimate = Estimate(value=value, standard_error=0.01, interval=(0.0, 1.0), samples=640, sources=60)
    return PretextScore(
        metric="balanced_accuracy",
        estimate=estimate,
        auc=None,
        chance=0.5,
        decisions=(320, 320),
        clips=80,
        failures=0,
    )


def make_run(
    folder: Path, *, rate: float, final: float | None = None, evaluated: float | None = None
) -> Path:
    train = TrainConfig(steps=20, batch_size=32)
    config = RunConfig(
        task={"name": "rotation"}, towers={"frame": {"name": "tiny", "grid": rate}}, train=train
    )
    RunFolder(folder).write_config(config)
    rows = [
        {"step": step, "split": "train", "loss": 1.0, "seconds": float(step), "data_wait": 0.25 * step / 10}
        for step in (10, 20)
    ]
    if final is not None:
        rows.append({"step": 20, "split": "val", "loss": 1.0, "balanced_accuracy": final, "sources": 3})
    (folder / "metrics.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    if evaluated is not None:
        evaluation = Evaluation(
            run=str(folder),
            data="d",
            twin="t",
            step=20,
            task="rotation",
            pretext=score(evaluated),
            on_twin=score(0.5),
            controls={"untrained": score(0.55), "low-level": score(0.6)},
            knowledge=(),
            seconds=1.0,
        )
        write_evaluation(evaluation, folder / "eval.json")
    return folder


@pytest.fixture
def three(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs/a", rate=1, final=0.61)
    make_run(tmp_path / "runs/b", rate=2, evaluated=0.71)
    make_run(tmp_path / "runs/deep/c", rate=1)
    return tmp_path / "runs"


def test_finds_runs_at_any_depth_and_reads_what_came_of_them(three: Path) -> None:
    first, second, third = read_runs([three])
    assert (first.name, second.name, third.name) == ("a", "b", "deep/c")
    assert first.validation == ("balanced_accuracy", 0.61) and second.evaluation is not None
    assert (second.score, first.score, third.score) == (0.71, 0.61, float("-inf"))
    assert first.clips_per_second == pytest.approx(32) and first.waiting == pytest.approx(0.375)
    assert "60.0\u202f% ± 1.0" == second.control_words and third.score_words == "-"


def make_several(folder: Path, *names: str) -> Path:
    """A run of tasks of these names, of which `order` was evaluated and the others validated."""
    tasks = {"order": {"name": "rotation", "size": 64}, "sound": {"name": "correspondence"}}
    kinds = ("frame", "audio") if "sound" in names else ("frame",)
    config = RunConfig(
        tasks={name: tasks[name] for name in names},
        towers={kind: {"name": "tiny"} for kind in kinds},
        train=TrainConfig(steps=20, batch_size=32),
    )
    RunFolder(folder).write_config(config)
    row = {
        "step": 20,
        "split": "val",
        "loss": 1.0,
        **{f"task/{name}/balanced_accuracy": 0.6 for name in names},
    }
    (folder / "metrics.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    evaluation = Evaluation(run=str(folder), data="d", twin=None, step=20, task="rotation", name="order",
        pretext=score(0.8), on_twin=None, controls={}, knowledge=(), seconds=1.0)  # fmt: skip
    write_evaluation(evaluation, evaluation_path(folder, "order"))
    return folder


def test_each_of_several_tasks_has_its_row_beside_its_run_alone(tmp_path: Path) -> None:
    make_several(tmp_path / "both", "order", "sound")
    make_several(tmp_path / "alone", "order")
    alone, order, sound = read_runs([tmp_path])
    assert [(each.name, each.task) for each in (alone, order, sound)] == [
        ("alone", "order"),
        ("both", "order"),
        ("both", "sound"),
    ]
    assert (order.score, sound.score, sound.evaluation) == (0.8, 0.6, None)
    assert differing([alone, order]) == ["trained with"]
    assert order.settings["task.size"] == 64 and order.settings["trained with"] == "sound"


def test_only_settings_that_differ_are_named(three: Path) -> None:
    records = read_runs([three])
    assert differing(records) == ["towers.frame.grid"]
    assert differing(records[:1]) == []
    assert [record.folder.name for record in sorted_by(records, "score")] == ["b", "a", "c"]


def test_tables_for_people_pages_and_programs(three: Path) -> None:
    page = CliRunner().invoke(app, ["runs", str(three), "--markdown", "--sort", "score"])
    head, rule, best, *_ = page.stdout.splitlines()
    assert head.startswith("| run | task | step | towers.frame.grid | score |") and rule.count("---") == 9
    assert "71.0\u202f% ± 1.0 balanced accuracy | 50.0\u202f% ± 1.0 | 60.0\u202f% ± 1.0" in best
    records = json.loads(CliRunner().invoke(app, ["runs", str(three), "--json", "-"]).stdout)["runs"]
    assert [record["evaluation"] is None for record in records] == [True, False, True]
    assert "rotation" in CliRunner().invoke(app, ["runs", str(three)]).stdout


def test_many_settings_that_differ_take_a_line_each(three: Path) -> None:
    config = RunConfig(
        task={"name": "jigsaw", **{f"setting{number}": number for number in range(9)}},
        towers={"frame": {"name": "tiny"}},
        train=TrainConfig(steps=20, batch_size=32),
    )
    RunFolder(three / "other").write_config(config)
    page = CliRunner().invoke(app, ["runs", str(three), "--markdown"]).stdout
    assert "| run | task | step | score |" in page
    assert "| setting | a | b | deep/c | other |" in page
    assert "| task.setting7 | - | - | - | 7 |" in page


def test_says_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run \(recipe\.toml is nowhere below\)"):
        find_runs([tmp_path])
    with pytest.raises(ValueError, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="--sort colour: choose one of run, task"):
        sorted_by([], "colour")
