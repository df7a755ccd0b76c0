"""Estimates against the builds that they speak of."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unreel.shards import estimate as module
from unreel.shards.build import BuildSummary, build
from unreel.shards.engines import InlineEngine
from unreel.shards.estimate import Estimate, estimate
from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import Profile

FFmpeg = Callable[..., None]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg) -> Path:
    """Six videos of 1.2 to 3.2 s, three pictures, a sound and a text."""
    folder = tmp_path_factory.mktemp("media")
    for number in range(6):
        picture = f"testsrc2=s=160x120:r=25:d={1.2 + 0.4 * number},hue=h={60 * number}"
        ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", folder / f"{number}.mp4")
    for number in range(3):
        Image.effect_noise((200, 160), 20 + number).convert("RGB").save(folder / f"{number}.png")
    ffmpeg("-f", "lavfi", "-i", "sine=f=440:d=2.4", folder / "tone.flac")
    (folder / "text.mp4").write_text("dear diary")
    return folder


def both(media: Path, out: Path, profile: Profile) -> tuple[Estimate, BuildSummary, int]:
    found = estimate([media], out, profile=profile, engine=InlineEngine())
    assert not out.exists()
    summary = build([media], out, profile=profile)
    return found, summary, sum(path.stat().st_size for path in out.glob("*.tar"))


def test_trial_of_everything_is_the_build_itself(media: Path, tmp_path: Path) -> None:
    found, summary, size = both(media, tmp_path / "out", find_profile("mixed"))
    assert (found.sources, found.reasons) == (11, {"refused: not-media": 1})
    assert {kind: share.sources for kind, share in found.kinds.items()} == {
        "video": 6,
        "picture": 3,
        "sound": 1,
    }
    assert found.total("samples") == summary.samples
    assert found.shards == len(list((tmp_path / "out").glob("*.tar")))
    # A tar ends with two empty blocks.
    assert found.total("bytes") == size - 1024 * found.shards
    assert found.total("bytes_error") == 0
    assert found.total("seconds") == pytest.approx(sum(1.2 + 0.4 * n for n in range(6)) + 2.4, abs=0.1)
    assert found.total("cpu_seconds") > 0


def test_trial_of_a_part_is_scaled_by_length(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TRIALS", {"video": 3, "sound": 1, "picture": 1})
    found, summary, size = both(media, tmp_path / "out", find_profile("mixed"))
    assert found.kinds["video"].trials == 3
    assert found.total("samples") == summary.samples
    assert found.total("bytes") == pytest.approx(size, rel=0.25)
    assert found.kinds["video"].bytes_error > 0


def test_cap_and_pictures_are_planned_by_length(media: Path, tmp_path: Path) -> None:
    capped = find_profile("clips-128", clip_seconds=1.0, clips_per_source=2)
    for name, profile in (("capped", capped), ("frames", find_profile("frames", frame_seconds=0.5))):
        found, summary, size = both(media, tmp_path / name, profile)
        assert found.total("samples") == summary.samples
        assert found.total("bytes") == pytest.approx(size, rel=0.05)


def test_source_that_the_decode_refuses_counts_against_the_estimate(
    media: Path, tmp_path: Path, clip: Path
) -> None:
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + 20_000
    data[middle : middle + 400] = bytes(range(100)) * 4
    (tmp_path / "damaged.mp4").write_bytes(data)
    found = estimate([tmp_path], tmp_path / "out", profile=find_profile("clips-128"), engine=InlineEngine())
    assert found.kinds["video"].trials_refused == 1
    assert (found.total("samples"), found.total("bytes")) == (0, 0)
