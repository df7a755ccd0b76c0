"""Rules of what is kept: one spelling each, unknown names refused, and everything that a build drops is counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from unreel.shards.build import build
from unreel.shards.care.repair import repair
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError
from unreel.shards.making.keep import broken_rule, read_rule, read_rules
from unreel.shards.making.measures import MEASURES
from unreel.shards.sample import Sidecar

Sample = tuple[Sidecar, dict[str, bytes]]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """Two seconds that move and two that stand still in one file; a black file."""
    folder = tmp_path_factory.mktemp("videos")
    moving, still = "testsrc2=s=96x64:r=25:d=2", "smptebars=s=96x64:r=25:d=2"
    inputs = ["-f", "lavfi", "-i", moving, "-f", "lavfi", "-i", still]
    ffmpeg(*inputs, "-filter_complex", "concat=n=2", "-c:v", "libx264", folder / "half.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=black:s=96x64:r=25:d=2", "-c:v", "libx264", folder / "black.mp4")
    return folder


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("seconds>=1.2", True),
        ("seconds>=1.3", False),
        ("seconds<=1.2", True),
        ("seconds<=1.1", False),
        ("width>=160", True),
        ("height<=127", False),
        ("frame_rate>=25", True),
        ("motion>=3.5", False),
        ("sound>=0.75", True),
        ("sound<=0.5", False),
        ("luma>=1", False),
        ("scene_seconds>=1.3", False),
        ("language=none", True),
        ("language=en,none", True),
        ("language=en", False),
    ],
)
def test_rules(text: str, kept: bool, sample: Callable[..., Sample]) -> None:
    sidecar, _ = sample("a")
    assert broken_rule(read_rules([text]), sidecar) == (None if kept else text)


def test_a_language_is_told_by_its_code(sample: Callable[..., Sample]) -> None:
    german = msgspec.structs.replace(sample("a")[0], language="de")
    assert broken_rule(read_rules(["language=en, DE"]), german) is None
    assert broken_rule(read_rules(["language=none"]), german) == "language=none"


def test_one_spelling_and_one_order() -> None:
    one = read_rules([" motion >= 2.0", "language=en,de", "motion>=2"])
    other = read_rules(["language=de,EN", "motion>=2"])
    assert [rule.text for rule in one] == [rule.text for rule in other] == ["language=de,en", "motion>=2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour>=2", "there is no measure 'colour'; the names are seconds, height"),
        ("motion", "write NAME>=NUMBER"),
        ("motion>2", "write NAME>=NUMBER"),
        ("motion>=fast", "write motion>=NUMBER"),
        ("motion>=nan", "write motion>=NUMBER"),
        ("motion=2", "write motion>=NUMBER"),
        ("language>=en", "write language=CODE"),
        ("language=English", "ISO 639"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rule(text)


def test_the_page_names_every_measure() -> None:
    page = (Path(__file__).parents[3] / "docs/filters.md").read_text()
    assert not [name for name in (*MEASURES, "language") if f"`{name}`" not in page]


def test_a_build_keeps_what_keeps_to_the_rules_and_counts_the_rest(videos: Path, tmp_path: Path) -> None:
    rules = ["motion>=1", "luma>=30"]
    summary = build([videos], tmp_path / "kept", clip_seconds=1.0, keep=rules)
    reports = {Path(report.source).stem: report for report in summary.reports}
    everything = build([videos], tmp_path / "all", clip_seconds=1.0)
    assert (reports["half"].status, reports["half"].samples) == ("done", 2)
    assert reports["half"].filtered == {"motion>=1": 2}
    assert (reports["black"].status, reports["black"].reason) == ("skipped", "filtered")
    # Black breaks both rules and is counted by the first, in the order of the rules' text.
    assert reports["black"].filtered == {"luma>=30": 2}
    assert summary.filtered == {"motion>=1": 2, "luma>=30": 2} and summary.keep == ("luma>=30", "motion>=1")
    assert summary.samples + Counter(summary.filtered).total() == everything.samples
    kept = {row.key for _, _, row in Catalogue.open(tmp_path / "kept").rows()}
    assert kept == {
        row.key for _, _, row in Catalogue.open(tmp_path / "all").rows() if row.motion >= 1 and row.luma >= 30
    }


def test_a_folder_keeps_to_the_rules_that_it_was_begun_with(videos: Path, tmp_path: Path) -> None:
    build([videos], tmp_path, clip_seconds=1.0, keep=["motion>=1"])
    before = (tmp_path / "build.json").read_bytes()
    build([videos], tmp_path, clip_seconds=1.0, keep=["motion>=1.0"])
    assert (tmp_path / "build.json").read_bytes() == before
    with pytest.raises(CatalogueError, match="begun to keep clips of motion>=1, and now to keep all clips"):
        build([videos], tmp_path, clip_seconds=1.0)


def test_a_repair_rebuilds_with_the_rules_of_the_folder(videos: Path, tmp_path: Path) -> None:
    build([videos], tmp_path, clip_seconds=1.0, keep=["motion>=1"])
    [shard] = tmp_path.glob("*.tar")
    before = shard.read_bytes()
    shard.write_bytes(before[:-4096] + bytes(4096 - 1024) + b"x" * 1024)
    done = repair(tmp_path, [videos])
    assert done.clean and shard.read_bytes() == before
