"""The contestants of the builder: the same frames out of bare ffmpeg, CPU time of all processes, shares of one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from unreel.tools.bench.builders import Work, bare_command, builders, stages


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    command = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=50:d=2", "-f", "lavfi", "-i", "sine=d=2"]
    run(command, path)
    return path


def run(command: list[str], path: Path) -> None:
    import imageio_ffmpeg

    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", *command, str(path)], check=True
    )


@pytest.fixture
def work(source: Path, tmp_path: Path) -> Work:
    folder = tmp_path / "bench"
    folder.mkdir()
    return Work.prepare([str(source)], "clips-128", 1, folder)


def test_bare_ffmpeg_makes_the_same_picture_and_sound(work: Work, tmp_path: Path) -> None:
    target = tmp_path / "bare.mkv"
    subprocess.run(bare_command(work.entries[0], work.profile, target), check=True)
    with av.open(str(target)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        frames = sum(1 for _ in container.decode(video=0))
        assert (picture.width, picture.height, frames, picture.codec_context.name) == (176, 128, 50, "h264")
        assert (sound.rate, sound.codec_context.name) == (48_000, "flac")


def test_contestants_run_and_their_processor_time_is_counted(work: Work) -> None:
    contest, cpu = builders(work)
    seconds: dict[str, Callable[[int], float]] = dict(contest)
    assert all(each(0) > 0 for each in seconds.values())
    assert cpu.median("ffmpeg") > 0
    assert cpu.median("builder") > 0
    assert not list(work.folder.iterdir())


def test_shares_of_stages_add_up_to_one(work: Work) -> None:
    shares = stages(work)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for stage, share in shares.items() if stage != "other")


def test_sources_without_media_are_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("dear diary")
    with pytest.raises(ValueError, match="no source among them"):
        Work.prepare([str(tmp_path / "a.mp4")], "clips-128", 1, tmp_path)
