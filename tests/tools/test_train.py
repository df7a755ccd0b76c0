"""`unreel train` on real shards: a run, its twin, its resume, and how a signal ends it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from unreel.models.training import RunFolder, load_run
from unreel.models.training.log import read_metrics
from unreel.shards.catalogue import Catalogue, compile_catalogue
from unreel.shards.errors import StateMismatch
from unreel.tools.cli import app
from unreel.tools.provenance import read_provenance
from unreel.tools.run_files import RunFiles
from unreel.tools.run_page import summarise_run

SMALL = (
    "towers.frame.channels=[8,16]",
    "train.steps=6",
    "train.batch_size=16",
    "train.log_every=2",
    "train.eval_every=0",
    "train.eval_batches=1",
    "train.checkpoint_every=2",
    "train.threads=1",
    "data.holdout=0.4",
)
TIMES = {"clips_per_second", "data_wait", "seconds"}


def arguments(recipe: str, data: Path, out: Path, *more: str, settings: tuple[str, ...] = ()) -> list[str]:
    sets = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    return ["train", recipe, "--data", str(data), "--out", str(out), *sets, *more]


def invoke(*words: str) -> int:
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code


def exact_rows(run: Path) -> list[dict[str, Any]]:
    rows = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def unbroken(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of shuffle-and-learn that nobody disturbed, with its result beside it."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    words = arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, run, "--json", f"{run}.json")
    assert invoke(*words) == 0
    return run


def test_the_result_and_the_folder_agree(unbroken: Path, tiny_catalogue: Catalogue) -> None:
    result = json.loads(unbroken.with_suffix(".json").read_text())
    assert (result["stopped"], result["step"], result["run"]) == ("steps", 6, str(unbroken))
    assert result["validation"] == read_metrics(unbroken / "metrics.jsonl")[-1]
    loaded = load_run(unbroken)
    assert loaded.step == 6
    assert loaded.recipe.data.shards == str(tiny_catalogue.folder)
    assert loaded.recipe.train.device in ("cpu", "cuda")
    loader = json.loads((unbroken / "loader.json").read_text())
    assert loader["backend"] == loaded.recipe.loader.backend
    # `auto` says what it measured of each backend; a recipe that names one says that.
    assert "clips/s" in loader["choice"] or loader["choice"] == "named by the recipe"


def test_the_folder_explains_itself(unbroken: Path, tiny_catalogue: Catalogue) -> None:
    files = RunFiles(unbroken)
    named = files.guide.read_text()
    found = [path.name for path in unbroken.iterdir() if not path.name.startswith((".", "README"))]
    assert {"report.html", "curves.png", "samples.png", "provenance.json", "result.json"} <= set(found)
    assert [name for name in found if name not in named] == []
    with Image.open(files.sheet()) as sheet, Image.open(files.curves) as curves:
        assert min(*sheet.size, *curves.size) > 300
    (session,) = read_provenance(files.provenance).sessions
    assert (session.from_step, session.ranks) == (0, 1)
    assert session.data[0].digest == tiny_catalogue.digest
    assert session.data[0].used + session.data[0].held_out == len(tiny_catalogue)
    page = files.report.read_text()
    assert "done at step 6 of 6" in page and session.data[0].digest[:16] in page


def test_correspondence_trains_too(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    settings = ("towers.audio.channels=[8,16]", "task.min_sound=0.1", "train.epochs=1")
    assert invoke(*arguments("correspondence_tiny", tiny_catalogue.folder, tmp_path, settings=settings)) == 0
    loaded = load_run(tmp_path)
    assert set(loaded.towers) == {"frame", "audio"}
    assert RunFiles(tmp_path).sheet().exists(), "rows whose sound is of another row are drawn too"
    # At most 36 samples, in batches of 16: an epoch is fewer than the six steps that the recipe says.
    assert loaded.step == loaded.recipe.train.steps < 4


def test_stopped_by_sigterm_and_resumed_equals_unbroken(
    unbroken: Path, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, run)
    process = subprocess.Popen([sys.executable, "-c", "from unreel.tools.cli import main; main()", *words])
    while not list(run.glob("checkpoints/step-*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    # On a fast machine all six steps can be done before the signal comes.
    code = process.wait(timeout=60)
    assert code in (143, 0)
    assert ("stopped by SIGTERM" in summarise_run(run).state) == (code == 143)
    assert invoke(*words, "--resume") == 0
    assert exact_rows(run) == exact_rows(unbroken)
    steps = [session.from_step for session in read_provenance(RunFiles(run).provenance).sessions]
    assert steps[0] == 0 and len(steps) == (2 if code else 1)
    assert "done at step 6" in RunFiles(run).report.read_text()


def test_resuming_with_other_settings_is_refused(unbroken: Path, tiny_catalogue: Catalogue) -> None:
    words = arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, unbroken, settings=("train.seed=3",))
    with pytest.raises(Exception, match=r"train\.seed: 0 saved, 3 asked for"):
        invoke(*words, "--resume")
    with pytest.raises(ValueError, match="add --resume"):
        invoke(*arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, unbroken))


def test_wrong_use_is_a_value_error(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add --data"):
        invoke("train", "shuffle_and_learn_tiny", "--out", str(tmp_path / "run"))
    settings = ("task.tau_max_seconds=50",)
    with pytest.raises(ValueError, match="no sample"):
        invoke(
            *arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, tmp_path / "run", settings=settings)
        )


def test_a_run_survives_a_damaged_checkpoint(
    unbroken: Path, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    newest = RunFolder(run).checkpoints / "step-00000006"
    (newest / "optimizer.safetensors").write_bytes(b"")
    assert invoke(*arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, run), "--resume") == 0
    assert exact_rows(run) == exact_rows(unbroken)


def test_two_ranks_of_torchrun_train_one_run(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    run, result = tmp_path / "run", tmp_path / "result.json"
    settings = ("train.steps=2", "train.log_every=1", "train.checkpoint_every=0", "towers.frame.norm=group")
    words = arguments(
        "shuffle_and_learn_tiny", tiny_catalogue.folder, run, "--json", str(result), settings=settings
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "unreel.tools.cli", *words], env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert "2 ranks on cpu: 8 of 16 clips of each step on each" in done.stderr
    # Rank 0 alone speaks.
    assert done.stderr.count("done at step 2") == 1
    assert json.loads(result.read_text())["step"] == 2
    # Four tuples a clip, some without an answer: more than the half that is one rank's.
    assert all(32 < row["decisions"] <= 64 for row in exact_rows(run))


def test_several_data_sets_by_weight_and_balance(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    other = tmp_path / "other=set"
    other.mkdir()
    for path in tiny_catalogue.folder.glob("tiny-1*"):
        shutil.copy(path, other)
    compile_catalogue(other, identity=tiny_catalogue.identity, profile={})
    settings = ("data.balance=size", "data.filters={luma=[1,250]}")
    words = arguments("shuffle_and_learn_tiny", tiny_catalogue.folder, tmp_path / "run", settings=settings)
    words[words.index("--data") + 1] += "=0.75"
    words += ["--data", f"{other}=0.25"]
    assert invoke(*words) == 0
    data = load_run(tmp_path / "run").recipe.data
    assert data.shards == {str(tiny_catalogue.folder): 0.75, str(other): 0.25}
    assert (data.balance, data.filters) == ("size", {"luma": (1, 250)})
    # Shards may have moved; their weights are a part of the stream.
    moved = tmp_path / "moved"
    other.rename(moved)
    words[-1] = f"{moved}=0.25"
    assert invoke(*words, "--resume", "--set", "train.max_seconds=100") == 0
    words[-1] = f"{moved}=0.5"
    with pytest.raises(StateMismatch, match="catalogue: the state has"):
        invoke(*words, "--resume")
    with pytest.raises(ValueError, match=r"trained on .*tiny.*moved: name the one that is meant with --data"):
        invoke("eval", str(tmp_path / "run"))
