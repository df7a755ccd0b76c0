"""`unreel eval` on a tiny run: every number has its control and its counts, and the record survives its file."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from unreel.models.training import RunFolder
from unreel.shards.catalogue import Catalogue
from unreel.tools.eval import eval as eval_command
from unreel.tools.evaluate import evaluate_run
from unreel.tools.evaluation import (
    LOW_LEVEL,
    TRAINED,
    UNTRAINED,
    Evaluation,
    read_evaluation,
    write_evaluation,
)
from unreel.tools.recipe import read_recipe
from unreel.tools.train import run_training

SMALL = {
    "shuffle_and_learn": ["task.window=96", "task.crop=80", "task.size=32", "task.camera_shift=4"],
    "correspondence": ["task.window=96", "task.crop=80", "task.size=32", "task.audio_seconds=0.5"],
}


def train_tiny(task: str, catalogue: Catalogue, folder: Path) -> Path:
    """Two steps of a task on the tiny data set, on the packets backend."""
    overrides = [
        f"data.shards={catalogue.folder}",
        "data.holdout=0.4",
        "loader.backend=packets",
        "train.steps=2",
        "train.batch_size=16",
        "train.eval_batches=1",
        "train.device=cpu",
    ]
    run_training(read_recipe(f"{task}_tiny", overrides=[*overrides, *SMALL[task]]), RunFolder(folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def little() -> Iterator[None]:
    """Less of everything that does not change what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unreel.models.evaluation.readout._EPOCHS", 2)
        patch.setattr("unreel.tools.evaluate._TEACHING_PASSES", 1)
        patch.setattr("unreel.tools.evaluate._CLIPS", 16)
        patch.setattr("unreel.tools.evaluate._MOMENTS", 4)
        yield


@pytest.fixture(scope="module")
def runs(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {task: train_tiny(task, tiny_catalogue, folder / task) for task in SMALL}


@pytest.fixture(scope="module")
def evaluations(runs: dict[str, Path], tiny_catalogue: Catalogue) -> dict[str, Evaluation]:
    """The data set stands for its own twin: same clips, so the same decisions."""
    return {
        task: evaluate_run(run, twin=tiny_catalogue.folder, passes=2, by="size") for task, run in runs.items()
    }


@pytest.mark.parametrize("task", SMALL)
def test_scores_are_of_held_out_sources_with_counts(
    task: str, evaluations: dict[str, Evaluation], tiny_catalogue: Catalogue
) -> None:
    evaluation = evaluations[task]
    score = evaluation.pretext
    assert 0 < score.estimate.sources < 18
    assert score.clips <= 2 * score.estimate.sources
    assert score.estimate.samples == sum(score.decisions) > 0
    assert evaluation.on_twin is not None and evaluation.on_twin.clips == score.clips
    assert set(evaluation.controls) == {UNTRAINED, LOW_LEVEL}
    for control in evaluation.controls.values():
        assert control.decisions == score.decisions, "controls answer the same questions"


def test_half_of_the_questions_have_each_answer(evaluations: dict[str, Evaluation]) -> None:
    no, yes = evaluations["shuffle_and_learn"].pretext.decisions
    assert 0.35 < yes / (no + yes) < 0.65, "the training mix of one in four would be 0.25"


def test_each_tower_is_probed_beside_its_controls(evaluations: dict[str, Evaluation]) -> None:
    towers = {task: [k.tower for k in evaluation.knowledge] for task, evaluation in evaluations.items()}
    assert towers == {"shuffle_and_learn": ["frame"], "correspondence": ["frame", "audio"]}
    (frame,) = evaluations["shuffle_and_learn"].knowledge
    x = next(finding for finding in frame.findings if finding.factor == "x")
    assert list(x.estimates) == [TRAINED, UNTRAINED, LOW_LEVEL]
    assert set(x.gains) == {UNTRAINED, LOW_LEVEL}
    assert x.estimates[TRAINED].samples == 4 * frame.test_clips
    assert x.estimates[TRAINED].value > 0.3, "a bright square on a dark ground"
    audio = evaluations["correspondence"].knowledge[1]
    assert {finding.method for finding in audio.findings} == {"logistic", "knn"}


def test_record_survives_its_file(evaluations: dict[str, Evaluation], tmp_path: Path) -> None:
    evaluation = evaluations["correspondence"]
    write_evaluation(evaluation, tmp_path / "eval.json")
    assert read_evaluation(tmp_path / "eval.json") == evaluation
    (tmp_path / "eval.json").write_text('{"run": 3}')
    with pytest.raises(ValueError, match="not an evaluation"):
        read_evaluation(tmp_path / "eval.json")


def test_evaluation_repeats_itself(runs: dict[str, Path], evaluations: dict[str, Evaluation]) -> None:
    again = evaluate_run(runs["shuffle_and_learn"], passes=2, by="size")
    assert again.pretext == evaluations["shuffle_and_learn"].pretext
    assert again.on_twin is None


def test_command_writes_the_record_and_prints_tables(runs: dict[str, Path], tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(eval_command)
    result = tmp_path / "result.json"
    done = CliRunner().invoke(
        app, [str(runs["shuffle_and_learn"]), "--passes", "1", "--json", str(result)], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    written = json.loads((runs["shuffle_and_learn"] / "eval.json").read_bytes())
    assert written == json.loads(result.read_bytes())
    assert msgspec.convert(written, Evaluation).pretext.chance == 0.5


def test_clips_of_each_value_of_a_label_are_scored_by_themselves(
    runs: dict[str, Path], evaluations: dict[str, Evaluation]
) -> None:
    score = evaluations["shuffle_and_learn"].pretext
    assert score.subsets and all(name.startswith("size ") for name in score.subsets)
    assert sum(part.samples for part in score.subsets.values()) == score.estimate.samples
    with pytest.raises(ValueError, match=r"label 'law': no clip .* known are .*size"):
        evaluate_run(runs["shuffle_and_learn"], by="law")


def test_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run"):
        evaluate_run(tmp_path)
