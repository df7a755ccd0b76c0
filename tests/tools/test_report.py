"""The report: one file that loads nothing, whole or with parts missing, and plain about what was not learned."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from unreel.models.evaluation import Estimate, Finding, PretextScore
from unreel.tools.evaluation import Evaluation, Knowledge, write_evaluation
from unreel.tools.report import write_report
from unreel.tools.stages import DemoFolder, DemoLog

VOID = {"meta", "img", "br", "link", "input", "hr"}


def estimate(value: float, error: float | None = 0.012) -> Estimate:
    interval = None if error is None else (value - 2 * error, value + 2 * error)
    return Estimate(value=value, standard_error=error, interval=interval, samples=1920, sources=60)


def score(value: float) -> PretextScore:
    return PretextScore(
        metric="balanced_accuracy",
        estimate=estimate(value),
        auc=estimate(value + 0.03),
        chance=0.5,
        decisions=(960, 960),
        clips=60,
        failures=2,
    )


def finding(factor: str, method: str, trained: float, untrained: float, classes: int = 0) -> Finding:
    estimates = {"trained": trained, "untrained": untrained, "low-level": 0.3}
    return Finding(
        factor=factor,
        method=method,
        metric="balanced accuracy" if classes else "R²",
        chance=1 / classes if classes else 0.0,
        classes=classes,
        estimates={name: estimate(value) for name, value in estimates.items()},
        gains={"untrained": estimate(trained - untrained), "low-level": estimate(trained - 0.3)},
        train_samples=1920,
        train_sources=240,
    )


def evaluation(task: str, value: float) -> Evaluation:
    findings = (
        finding("y", "ridge", 0.9, 0.6),
        finding("law", "logistic", 0.7, 0.69, classes=6),
        finding("law", "knn", 0.5, 0.6, classes=6),
    )
    return Evaluation(
        run="runs/x",
        data="shards",
        twin="twin-shards",
        step=500,
        task=task,
        pretext=score(value),
        on_twin=score(0.503),
        controls={"untrained": score(0.55), "low-level": score(0.52)},
        knowledge=(Knowledge(tower="frame", train_clips=240, test_clips=60, failures=0, findings=findings),),
        seconds=20.0,
    )


def metrics() -> str:
    rows = [
        {"step": step, "split": "train", "loss": 0.7 - step / 100, "balanced_accuracy": None if step == 10 else 0.6,
         "clips_per_second": 100.0, "data_wait": 0.1, "seconds": step / 10}
        for step in (10, 20, 30)
    ]  # fmt: skip
    rows.append({"step": 30, "split": "val", "loss": 0.5, "balanced_accuracy": 0.7, "sources": 60})
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def demo(tmp_path: Path) -> DemoFolder:
    """A finished demo: one task learned, one not."""
    folder = DemoFolder(tmp_path / "demo")
    for task, value in (("shuffle_and_learn", 0.712), ("correspondence", 0.51)):
        run = folder.run(task)
        run.mkdir(parents=True)
        (run / "recipe.toml").write_text("")
        (run / "metrics.jsonl").write_text(metrics())
        (run / "environment.json").write_text('{"torch": "2.11.0", "threads": 2}')
        seconds = {"read": 1.0, "plan": 1.0, "decode": 8.0, "wait": 2.0, "build": 1.0}
        (run / "loader.json").write_text(json.dumps({"steps": 30, "elapsed": 20.0, "seconds": seconds}))
        write_evaluation(evaluation(task, value), run / "eval.json")
    folder.sheets.mkdir()
    Image.new("RGB", (40, 20), "red").save(folder.sheet("shuffle_and_learn"))
    folder.shards.mkdir()
    reports = [
        {"source": "/data/a.mp4", "status": "done", "samples": 2},
        {
            "source": "/data/<b>.mp4",
            "status": "refused",
            "reason": "truncated",
            "detail": "no frame & no index",
        },
    ]
    counts = {"sources": 2, "done": 1, "skipped": 0, "refused": 1, "samples": 2}
    (folder.shards / "build.json").write_text(json.dumps({**counts, "reports": reports}))
    log = DemoLog.open(folder.log, media=None, fast=False)
    log.run(folder.log, "synth", lambda: "300 clips")
    log.skip(folder.log, "train something", "it has no sound")
    return folder


class Page(HTMLParser):
    """Checks that tags close in order, and collects what would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [
            value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "data")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n\t]+", " ", " ".join(self.words))


def page(folder: DemoFolder) -> Page:
    parsed = Page(write_report(folder).read_text(encoding="utf-8"))
    assert parsed.open == []
    return parsed


def test_page_loads_nothing_from_anywhere(demo: DemoFolder) -> None:
    parsed = page(demo)
    assert parsed.loads, "charts refer to their own parts, and the sheet is a picture"
    assert all(target.startswith(("#", "data:image/png;base64,")) for target in parsed.loads)
    text = demo.report.read_text(encoding="utf-8")
    for forbidden in ("http://", "https://", "file://", "<script", "<link", "@import", "//cdn"):
        assert forbidden not in text
    assert all(inside.startswith("#") for inside in re.findall(r"url\((.*?)\)", text))


def test_page_says_what_was_learned_and_what_was_not(demo: DemoFolder) -> None:
    text = page(demo).text
    assert (
        "Shuffle and learn: 71.2\u202f% ± 1.2 balanced accuracy on 60 held-out sources (chance 50.0\u202f%)"
        in text
    )
    assert "50.3\u202f% ± 1.2 on the object-less twin, which is chance" in text
    assert "Audio-visual correspondence: 51.0\u202f% ± 1.2" in text
    assert "That is not above chance by 3 standard errors: the task is not learned." in text
    assert "The frame tower knows more than before training: y (R² 0.90 against 0.60)" in text
    assert "was the middle one filmed between the other two?" in text


def test_page_accounts_for_data_and_time(demo: DemoFolder) -> None:
    text = page(demo).text
    assert "2 sources: 1 built, 0 skipped, 1 refused" in text
    assert "refused: truncated" in text and "no frame & no index" in text and "<b>.mp4" in text
    assert "<b>.mp4" not in demo.report.read_text(), "names are escaped"
    assert (
        "30 steps in 3 s, 100 clips a second" in text
        and "10.0\u202f% of that time went into getting batches" in text
    )
    for stage, share in (("decode", 40), ("wait", 10), ("build", 5), ("step", 85)):
        assert f"{stage} {share}.0\u202f%" in text
    assert "Something was left out: it has no sound" in text
    assert "torch 2.11.0" in text


def test_same_folder_same_bytes(demo: DemoFolder) -> None:
    first = write_report(demo).read_bytes()
    assert write_report(demo).read_bytes() == first


@pytest.mark.parametrize(
    "missing",
    [
        "demo.json",
        "shards",
        "sheets",
        "runs/shuffle_and_learn/eval.json",
        "runs/shuffle_and_learn/metrics.jsonl",
        "runs/shuffle_and_learn/environment.json",
        "runs/shuffle_and_learn/loader.json",
        "runs",
    ],
)
def test_parts_may_be_missing(demo: DemoFolder, missing: str) -> None:
    path = demo.path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "What was learned" in page(demo).text


def test_unknown_errors_twins_and_factors_are_shown_as_such(demo: DemoFolder) -> None:
    lonely = PretextScore(
        metric="balanced_accuracy",
        estimate=estimate(0.7, None),
        auc=None,
        chance=0.5,
        decisions=(1, 1),
        clips=1,
        failures=0,
    )
    found = evaluation("shuffle_and_learn", 0.7)
    nothing = Knowledge(tower="frame", train_clips=0, test_clips=0, failures=0, findings=())
    bare = Evaluation(
        run=found.run,
        data=found.data,
        twin=None,
        step=1,
        task=found.task,
        pretext=lonely,
        on_twin=None,
        controls={},
        knowledge=(nothing,),
        seconds=1.0,
    )
    write_evaluation(bare, demo.run("shuffle_and_learn") / "eval.json")
    text = page(demo).text
    assert "There is no object-less twin of these clips" in text
    assert "names no label or track" in text


def test_users_media_are_named_and_the_missing_control_is_explained(demo: DemoFolder) -> None:
    demo.log.unlink()
    log = DemoLog.open(demo.log, media="/videos/<mine>", fast=False)
    log.run(demo.log, "build", lambda: "")
    text = page(demo).text
    assert "What was learned from /videos/<mine>" in text
    assert "nobody filmed the same scenes without what moves in them" in text


def test_empty_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no demo\.json and no runs"):
        write_report(DemoFolder(tmp_path))
