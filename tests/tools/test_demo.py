"""The demo: stages in order, once; goes on where it was stopped; says why a task is left out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unreel.shards.catalogue import Catalogue
from unreel.tools import demo as module
from unreel.tools.demo import RECIPES, demo
from unreel.tools.stages import DemoFolder, DemoLog

WORLD_STAGES = ["synth", "synth twin", "build", "build twin"]
TASK_STAGES = [f"{verb} {task}" for task in RECIPES for verb in ("draw", "train", "evaluate")]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, with every stage's work replaced by a note; `report` writes a file."""
    calls: list[str] = []

    def note(name: Callable[..., str]) -> Callable[..., str]:
        def work(*arguments: object, **settings: object) -> str:
            calls.append(name(*arguments, **settings))
            return "noted"

        return work

    def report(self: module._Demo) -> None:
        calls.append("report")
        self.folder.report.write_text("page")

    monkeypatch.setattr(module._Demo, "_synth", note(lambda _, out, twin: "synth twin" if twin else "synth"))
    monkeypatch.setattr(
        module._Demo, "_build", note(lambda _, source, out: f"build{' twin' if 'twin' in out.name else ''}")
    )
    monkeypatch.setattr(module._Demo, "_config", lambda self, recipe: recipe)
    monkeypatch.setattr(module._Demo, "_draw", note(lambda _, task, config: f"draw {task}"))
    monkeypatch.setattr(module, "_train", note(lambda config, run: f"train {run.name}"))
    monkeypatch.setattr(
        module, "_evaluate", note(lambda run, twin: f"evaluate {run.name}{'' if twin else ' without twin'}")
    )
    monkeypatch.setattr(module._Demo, "_report", report)
    return calls


def test_stages_run_in_order(done: list[str], tmp_path: Path) -> None:
    demo(tmp_path / "demo")
    assert done == [*WORLD_STAGES, *TASK_STAGES, "report"]
    log = json.loads((tmp_path / "demo" / "demo.json").read_bytes())
    assert list(log["stages"]) == [*WORLD_STAGES, *TASK_STAGES]


def test_again_changes_nothing(done: list[str], tmp_path: Path) -> None:
    demo(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    done.clear()
    demo(tmp_path)
    assert done == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    (tmp_path / "report.html").unlink()
    demo(tmp_path)
    assert done == ["report"]


def test_goes_on_where_it_was_stopped(
    done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(config: object, run: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_train", stopped)
        with pytest.raises(KeyboardInterrupt):
            demo(tmp_path)
    assert done == [*WORLD_STAGES, "draw shuffle_and_learn"]
    done.clear()
    demo(tmp_path)
    assert done == [*TASK_STAGES[1:], "report"]


def test_own_media_have_no_twin(done: list[str], tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    demo(tmp_path / "out", media=media)
    assert done[:2] == ["build", "draw shuffle_and_learn"]
    assert "evaluate correspondence without twin" in done


def test_another_demo_in_the_folder_is_a_usage_error(done: list[str], tmp_path: Path) -> None:
    demo(tmp_path)
    with pytest.raises(ValueError, match="a full demo of the generated world, not a fast demo"):
        demo(tmp_path, fast=True)
    with pytest.raises(ValueError, match="choose another folder"):
        demo(tmp_path, media=tmp_path)
    with pytest.raises(ValueError, match="no such file or folder"):
        demo(tmp_path / "new", media=tmp_path / "nowhere")


def test_damaged_log_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("[]")
    with pytest.raises(ValueError, match="not the log of a demo"):
        demo(tmp_path)


def test_task_that_the_data_cannot_teach_is_left_out(
    done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(self: module._Demo, recipe: str) -> str:
        if recipe.startswith("correspondence"):
            raise module._LeftOut("no sample has sound")
        return recipe

    monkeypatch.setattr(module._Demo, "_config", config)
    demo(tmp_path)
    assert not any("correspondence" in call for call in done)
    log = DemoLog.open(tmp_path / "demo.json", media=None, fast=False)
    assert log.skipped("train") == {"correspondence": "no sample has sound"}


def test_whole_demo_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A world of 20 clips, two steps of each task: every stage with nothing replaced."""
    small = ("train.steps=2", "train.eval_batches=1", "train.batch_size=16", "schedule.warmup_steps=0")
    monkeypatch.setattr(module, "_FAST", (*small, "loader.backend=packets", "train.device=cpu"))
    monkeypatch.setattr(module, "_FAST_CLIPS", 20)
    monkeypatch.setattr("unreel.models.evaluation.readout._EPOCHS", 2)
    monkeypatch.setattr("unreel.tools.evaluate._TEACHING_PASSES", 1)
    monkeypatch.setattr("unreel.tools.evaluate._MOMENTS", 2)
    folder = DemoFolder(tmp_path / "demo")
    demo(folder.path, fast=True, workers=1)
    log = DemoLog.open(folder.log, media=None, fast=True)
    assert [stage.status for stage in log.stages.values()] == ["done"] * 10
    for task in RECIPES:
        with Image.open(folder.sheet(task)) as sheet:
            assert min(sheet.size) > 200
    text = folder.report.read_text(encoding="utf-8")
    assert "object-less twin" in text and "data:image/png;base64," in text


def test_too_few_sources_leave_a_task_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_catalogue: Catalogue
) -> None:
    log = DemoLog.open(tmp_path / "demo.json", media="x", fast=True)
    running = module._Demo(DemoFolder(tmp_path), log, workers=1)
    monkeypatch.setattr(DemoFolder, "shards", property(lambda _: tiny_catalogue.folder))
    config = running._config("shuffle_and_learn_tiny")
    assert config.data.holdout in module._HOLDOUTS and config.data.shards == str(tiny_catalogue.folder)
    monkeypatch.setattr(module, "_MIN_SOURCES", 100)
    with pytest.raises(module._LeftOut, match="at least 100 of each"):
        running._config("shuffle_and_learn_tiny")


def test_media_that_suit_no_task_say_what_was_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_catalogue: Catalogue
) -> None:
    log = DemoLog.open(tmp_path / "demo.json", media="x", fast=True)
    running = module._Demo(DemoFolder(tmp_path), log, workers=1)
    monkeypatch.setattr(DemoFolder, "shards", property(lambda _: tiny_catalogue.folder))
    monkeypatch.setattr(module, "_FAST", ("task.audio_seconds=9.0",))
    with pytest.raises(module._LeftOut, match=r"failed min_seconds 9\.0"):
        running._config("correspondence_tiny")
