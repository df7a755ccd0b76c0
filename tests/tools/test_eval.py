"""`unreel eval` on a tiny run: every number has its control and its counts, and the record survives its file."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
import typer
from typer.testing import CliRunner

from unreel.models.export import load_tower
from unreel.models.training import RunFolder, load_run
from unreel.shards.catalogue import Catalogue
from unreel.tools.cli import app as cli
from unreel.tools.eval import eval as eval_command
from unreel.tools.evaluate import evaluate_run
from unreel.tools.evaluation import (
    LOW_LEVEL,
    TRAINED,
    UNTRAINED,
    Evaluation,
    read_evaluation,
    read_evaluations,
    write_evaluation,
)
from unreel.tools.recipe import read_recipe
from unreel.tools.train import run_training

TOGETHER = [
    *(
        f"tasks.{name}.{setting}"
        for name in ("order", "sound", "sync")
        for setting in ("window=96", "crop=80", "size=32")
    ),
    "tasks.order.camera_shift=4",
    "tasks.sound.audio_seconds=0.5",
    "tasks.sync.frames=4",
    "tasks.sync.hard=0",
    "towers.frame.channels=[8, 16]",
]

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
    small = TOGETHER if task == "together" else SMALL[task]
    run_training(read_recipe(f"{task}_tiny", overrides=[*overrides, *small]), RunFolder(folder))
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


def test_each_of_several_tasks_is_scored_and_each_tower_probed_once(
    tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    run = train_tiny("together", tiny_catalogue, tmp_path / "run")
    found = CliRunner().invoke(
        cli, ["eval", str(run), "--passes", "1", "--json", str(tmp_path / "found.json")]
    )
    assert found.exit_code == 0, found.output
    evaluations = read_evaluations(run)
    assert {name: each.task for name, each in evaluations.items()} == {
        "order": "shuffle_and_learn",
        "sound": "correspondence",
        "sync": "synchronisation",
    }
    probed = {name: [knowledge.tower for knowledge in each.knowledge] for name, each in evaluations.items()}
    assert probed == {"order": ["frame"], "sound": ["audio"], "sync": ["video"]}
    assert all({UNTRAINED, LOW_LEVEL} == set(each.controls) for each in evaluations.values())
    assert list(json.loads((tmp_path / "found.json").read_text())) == ["order", "sound", "sync"]
    with pytest.raises(ValueError, match="a run of the tasks order, sound, sync"):
        evaluate_run(run)
    exported = CliRunner().invoke(cli, ["export", str(run), str(tmp_path / "tower"), "--tower", "frame"])
    assert exported.exit_code == 0, exported.output
    assert torch.equal(
        load_tower(tmp_path / "tower")[0].state_dict()["stages.conv1.0.weight"],
        load_run(run).towers["frame"].state_dict()["stages.conv1.0.weight"],
    )
    refused = CliRunner().invoke(cli, ["export", str(run), str(tmp_path / "no"), "--tower", "video"])
    assert isinstance(refused.exception, ValueError) and "stands on the frame tower" in str(refused.exception)
    embedded = CliRunner().invoke(
        cli, ["features", str(run), str(tiny_catalogue.folder), str(tmp_path / "f.npy"), "--tower", "video"]
    )
    assert embedded.exit_code == 0, embedded.output
