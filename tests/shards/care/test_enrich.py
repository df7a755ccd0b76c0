"""Facts of what is stored already: of tars of others while they are indexed, and of our own data sets."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from unreel.shards.build import build
from unreel.shards.care.enrich import enrich, is_ours
from unreel.shards.care.parts import merge
from unreel.shards.care.rewrite import rewrite
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError
from unreel.shards.foreign.indexing import index_folder
from unreel.shards.making.facts import FACTS, PICTURE_FACTS, SOUND_FACTS
from unreel.shards.making.measure import IMAGE_FACTS
from unreel.shards.making.profiles import DEFAULT_PROFILE, PROFILES
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Facts
from unreel.tools.index import index

APP = typer.Typer()
APP.command()(index)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("media")
    scenes = (
        "testsrc2=s=96x64:r=25:d=1[a];mandelbrot=s=96x64:r=25,trim=duration=1,setsar=1[b];[a][b]concat[v]"
    )
    ffmpeg("-filter_complex", scenes, "-map", "[v]", "-c:v", "libx264", "-bf", "2", folder / "b.mp4")
    ffmpeg("-i", folder / "b.mp4", "-frames:v", "1", folder / "a.png")
    ffmpeg("-i", folder / "b.mp4", "-frames:v", "1", folder / "a.webp")
    ffmpeg("-f", "lavfi", "-i", "sine=f=440:d=2.5", folder / "a.mp3")
    data = {path.name: path.read_bytes() for path in folder.iterdir()}
    broken = bytearray(data["b.mp4"])
    start = broken.find(b"mdat") + len(broken) // 3
    broken[start : start + 400] = bytes(400)
    return {**data, "broken.mp4": bytes(broken)}


@pytest.fixture
def tars(tmp_path: Path, media: dict[str, bytes]) -> Path:
    """One tar of others: a clip with sound, two pictures, and a clip that does not decode to its end."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    names = {"0.mp4": "b.mp4", "0.mp3": "a.mp3", "1.png": "a.png", "2.webp": "a.webp", "3.mp4": "broken.mp4"}
    with tarfile.open(folder / "a.tar", "w") as tar:
        for name, file in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(media[file])
            tar.addfile(info, io.BytesIO(media[file]))
    return folder


def samples(folder: Path) -> dict[str, EncodedSample]:
    catalogue = Catalogue.open(folder)
    found = [Reader(catalogue).read(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]
    return {sample.row.key: sample for sample in found}


def test_tars_of_others_are_measured_and_not_touched(tars: Path) -> None:
    before = (tars / "a.tar").read_bytes()
    done = index_folder(tars, facts=FACTS)
    assert (done.samples, done.reports[0].refused_samples) == (3, {"damaged": 1})
    assert (tars / "a.tar").read_bytes() == before
    found = samples(tars)
    clip = found["0"]
    assert clip.sidecar.facts.measured == (*PICTURE_FACTS, *SOUND_FACTS)
    assert clip.sidecar.facts.cuts == (25,) and clip.row.scene == 25 and clip.row.motion > 0
    assert len(clip.sidecar.facts.motion_curve) == len(clip.sidecar.facts.loudness_curve) == 50
    for picture in (found["1"], found["2"]):
        assert picture.sidecar.facts.measured == IMAGE_FACTS
    assert verify(tars, mode="full").clean


def test_a_member_is_measured_once_and_again_when_told_to(tars: Path) -> None:
    # Plain indexing does not decode a member to its end, and takes the broken one.
    assert index_folder(tars).samples == 4
    assert index_folder(tars, facts=["motion"]).indexed == 1
    first = samples(tars)["0"].sidecar.facts
    assert first.measured == ("motion",)
    assert index_folder(tars, facts=["cuts", "motion"]).indexed == 1
    second = samples(tars)["0"].sidecar.facts
    assert second.measured == ("motion", "cuts") and second.motion == first.motion
    for known in ((), ["cuts"], ["motion", "cuts"]):
        assert index_folder(tars, facts=known).kept == 1
    digest = Catalogue.open(tars).digest
    assert index_folder(tars, facts=["motion"], again=True).indexed == 1
    assert Catalogue.open(tars).digest == digest


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, media: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    (folder / "b.mp4").write_bytes(media["b.mp4"])
    profile = msgspec.structs.replace(PROFILES[DEFAULT_PROFILE], cut_threshold=100.0)
    build([folder / "b.mp4"], folder / "out", profile=profile)
    return folder / "out"


def test_our_own_shards_get_facts_and_keep_their_media(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(built, folder)
    rewrite(folder, lambda sidecar, members: msgspec.structs.replace(sidecar, facts=Facts()))
    (before,) = samples(folder).values()
    done = CliRunner().invoke(APP, [str(folder), "--facts", "motion, cuts", "--workers", "1", "--json", "-"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rewritten"] == 1
    (after,) = samples(folder).values()
    # The thresholds are those of the build: at 100 nothing is a cut.
    assert after.sidecar.facts.measured == ("motion", "cuts") and after.sidecar.facts.cuts == ()
    assert np.any(after.sidecar.facts.motion_curve)
    assert bytes(after.members["mp4"]) == bytes(before.members["mp4"])
    assert enrich(folder, ["motion"]).unchanged == 1


def test_what_cannot_be_done_is_said(built: Path, tars: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="facts smell: there are motion, luma"):
        index_folder(tars, facts=["smell"])
    with pytest.raises(ValueError, match="facts smell: there are motion, luma"):
        enrich(built, ["smell"])
    for arguments, words in (
        ([tars, "--again"], "--again needs --facts"),
        ([built, "--facts", "all", "--out", tmp_path / "x"], "are written into"),
        ([tars, "--facts", "smell"], "facts smell"),
    ):
        refused = CliRunner().invoke(APP, list(map(str, arguments)))
        assert isinstance(refused.exception, ValueError) and words in str(refused.exception)
    merge(tmp_path / "merged", [built])
    assert is_ours(tmp_path / "merged") and not is_ours(tars)
    with pytest.raises(CatalogueError, match="measure the facts of each of them, then merge again"):
        enrich(tmp_path / "merged", ["motion"])
