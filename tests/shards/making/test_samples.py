"""Clips, pictures and sound from one source each: where they lie in it, what is known of them, what is left out."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from unreel.shards.border.probe import probe
from unreel.shards.build import build
from unreel.shards.care.contract import contract_breaches
from unreel.shards.catalogue import Catalogue
from unreel.shards.engines import LocalEngine
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.profile_file import find_profile
from unreel.shards.making.profiles import PROFILES
from unreel.shards.making.samples import Sample, build_samples

FFmpeg = Callable[..., None]


def samples(
    path: Path, profile: str = "clips-128", *, source: dict[str, Any] | None = None, **changes: Any
) -> tuple[list[Sample], dict[str, int]]:
    wanted, chosen = (
        SourceFile(path=str(path), name=path.name, **source or {}),
        find_profile(profile, **changes),
    )
    with build_samples(wanted, probe(wanted, chosen), chosen) as built:
        return list(built.samples()), built.dropped


def starts(found: list[Sample]) -> list[tuple[int, int]]:
    return [(s.sidecar.source.start_frame, s.sidecar.video.frames if s.sidecar.video else 0) for s in found]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg) -> Path:
    """Scenes of 2, 0.4 and 3.6 s at 25 frames a second, with sound."""
    path = tmp_path_factory.mktemp("scenes") / "Scenes 1.mp4"
    parts = "testsrc2=s=160x120:r=25:d=2[a];color=white:s=160x120:r=25:d=0.4[b];mandelbrot=s=160x120:r=25,trim=end=3.6[c];"
    ffmpeg(
        "-filter_complex", f"{parts}[a][b][c]concat=n=3,format=yuv420p[v];sine=f=440:d=6[s]",
        "-map", "[v]", "-map", "[s]", "-c:v", "libx264", "-c:a", "aac", path,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stereo WAV of 3.1 s at 44.1 kHz with a burst each half second, left louder than right."""
    path = tmp_path_factory.mktemp("sound") / "clicks.wav"
    sound = np.zeros((int(3.1 * 44_100), 2), np.int16)
    for second in np.arange(0.25, 3, 0.5):
        start = round(second * 44_100)
        sound[start : start + 400] = (20_000, 10_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_no_clip_goes_over_a_cut_when_scenes_are_asked_for(scenes: Path) -> None:
    found, dropped = samples(scenes, scenes=True, clip_seconds=2.5)
    assert starts(found) == [(0, 50), (60, 62), (122, 28)]
    assert dropped == {"short-scene": 10}
    assert [sample.sidecar.facts.cuts for sample in found] == [(), (), ()]
    whole, dropped = samples(scenes)
    assert (starts(whole), dropped) == ([(0, 150)], {})
    assert whole[0].sidecar.facts.cuts == (50, 60)


def test_keys_carry_the_source_and_the_start(scenes: Path) -> None:
    found, _ = samples(scenes, clip_seconds=2)
    source = found[0].sidecar.source.id
    assert [sample.sidecar.key for sample in found] == [f"scenes-1-{source}-{n:06d}" for n in (0, 50, 100)]
    assert [sample.sidecar.source.span_us for sample in found] == [
        (n * 2_000_000, (n + 1) * 2_000_000) for n in range(3)
    ]


def test_spans_are_cut_with_their_sound_and_labels(scenes: Path) -> None:
    spans = ((0.5, 1.71), (1.0, 2.5), (1.0, 2.5), (5.5, 8.0), (9.0, 10.0))
    labels = tuple({"number": number} for number in range(5))
    found, dropped = samples(scenes, source={"spans": spans, "span_labels": labels, "labels": {"all": 1}})
    assert starts(found) == [(12, 31), (25, 37), (25, 37)]
    assert dropped == {"short-rest": 12, "after-end": 25}
    assert [sample.sidecar.labels for sample in found] == [{"all": 1, "number": n} for n in range(3)]
    keys = [sample.sidecar.key for sample in found]
    assert keys[2] == f"{keys[1]}-2"
    whole, _ = samples(scenes)
    reference = decode_sound(whole[0].members["flac"])
    for sample, (start, frames) in zip(found, starts(found), strict=True):
        sound = decode_sound(sample.members["flac"])
        assert np.array_equal(sound, reference[:, start * 1920 : (start + frames) * 1920])


def test_cap_spreads_over_the_source_and_counts_the_rest(scenes: Path) -> None:
    found, dropped = samples(scenes, clip_seconds=1, clips_per_source=2)
    assert starts(found) == [(0, 25), (100, 25)]
    assert dropped == {"over-cap": 100}


def test_source_of_short_scenes_only_is_refused_with_the_counts(scenes: Path) -> None:
    with pytest.raises(MediaRefused, match="60 short-scene, 90 short-rest") as refused:
        samples(scenes, scenes=True, min_seconds=5.0)
    assert refused.value.reason == "too-short"


def decode_sound(payload: bytes) -> np.ndarray:
    with av.open(io.BytesIO(payload)) as container:
        planar = [frame.to_ndarray() for frame in container.decode(audio=0)]
        channels = container.streams.audio[0].channels
    return np.concatenate(
        [part.reshape(-1, channels).T if len(part) != channels else part for part in planar], 1
    )


@pytest.mark.parametrize("codec", ["flac", "opus"])
def test_sound_alone_is_cut_on_whole_steps_and_stays_in_its_place(clicks: Path, codec: str) -> None:
    found, dropped = samples(clicks, "sound", clip_seconds=1.2, min_seconds=0.4, audio_codec=codec)
    assert dropped == {}
    assert [sample.sidecar.source.start_frame for sample in found] == [0, 30, 60]
    assert [sample.sidecar.audio.samples for sample in found if sample.sidecar.audio] == [
        57_600,
        57_600,
        33_600,
    ]
    for sample in found:
        sidecar, start = sample.sidecar, sample.sidecar.source.start_frame * 1920
        assert sidecar.video is None and sidecar.audio is not None
        sound = decode_sound(sample.members[codec])[0].astype(np.float32)
        assert len(sound) == sidecar.audio.samples
        loud = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max())
        heard = {round((start + sample) / 24_000, 1) for sample in loud.tolist()}
        due = {0.5 + n for n in range(6) if start <= (0.5 + n) * 24_000 < start + len(sound)}
        assert heard == due
        assert len(sidecar.facts.loudness_curve) == sidecar.steps == -(-sidecar.audio.samples // 1920)
        assert sidecar.facts.silence
        assert sidecar.source.span_us == (
            start * 1_000_000 // 48_000,
            (start + len(sound)) * 1_000_000 // 48_000,
        )


def test_stereo_keeps_its_sides_and_mono_is_their_mean(clicks: Path) -> None:
    (stereo,), _ = samples(clicks, "sound", audio_channels=2, audio_rate=44_100)
    left, right = decode_sound(stereo.members["flac"])
    assert (left.max(), right.max()) == (20_000, 10_000)
    (mono,), _ = samples(clicks, "sound", audio_rate=44_100)
    assert decode_sound(mono.members["flac"]).max() == 15_000


def test_sound_profile_takes_the_track_of_a_video(scenes: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    (sample,), _ = samples(scenes, "sound")
    assert sample.members.keys() == {"flac"}
    assert sample.sidecar.original is not None and sample.sidecar.original.audio_codec == "aac"
    ffmpeg("-i", scenes, "-an", "-c", "copy", tmp_path / "mute.mp4")
    with pytest.raises(MediaRefused, match="without-sound"):
        samples(tmp_path / "mute.mp4", "sound")


def test_frames_are_pictures_of_the_video_at_their_times(scenes: Path) -> None:
    found, _ = samples(scenes, "frames")
    assert [sample.sidecar.source.start_frame for sample in found] == [0, 25, 50, 75, 100, 125]
    assert [sample.sidecar.source.span_us for sample in found][:2] == [(0, 40_000), (1_000_000, 1_040_000)]
    assert all(sample.members.keys() == {"jpg"} for sample in found)
    picture = Image.open(io.BytesIO(found[2].members["jpg"]))
    image = found[2].sidecar.image
    assert image is not None
    assert picture.size == (image.width, image.height) == (336, 256)
    # The third scene picture is the white one.
    assert np.asarray(picture).min() > 250
    assert found[2].sidecar.facts.luma_curve == pytest.approx([255], abs=1)
    assert len(samples(scenes, "frames", clips_per_source=2)[0]) == 2


def test_colours_of_a_frame_are_those_of_the_video(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    path = tmp_path / "red.mp4"
    red = "color=0xC02040:s=320x256:r=25:d=1.2,format=gbrp,scale=out_color_matrix=bt709,format=yuv420p"
    ffmpeg("-f", "lavfi", "-i", red, "-colorspace", "bt709", "-c:v", "libx264", "-crf", 1, path)
    (first, *_), _ = samples(path, "frames")
    mean = np.asarray(Image.open(io.BytesIO(first.members["jpg"]))).mean((0, 1))
    assert np.abs(mean - (0xC0, 0x20, 0x40)).max() < 4


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg, scenes: Path, clicks: Path) -> Path:
    """One video, one sound, one picture."""
    folder = tmp_path_factory.mktemp("mixture")
    ffmpeg("-i", scenes, "-ss", 1.6, "-t", 1.2, "-c:v", "libx264", "-c:a", "aac", folder / "a.mp4")
    (folder / "b.wav").write_bytes(clicks.read_bytes())
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 50).convert("RGB").save(folder / "c.png")
    return folder


TAKEN = {
    "frames": {"a"},
    "sound": {"a", "b"},
    "images": {"c"},
    "mixed": {"a", "b", "c"},
    "opus": {"a", "b", "c"},
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_profile_gives_the_same_bytes_in_every_process(mixture: Path, tmp_path: Path) -> None:
    opus = find_profile("mixed", name="opus", audio_codec="opus", audio_channels=2)
    profiles = {**PROFILES, "opus": opus}
    with LocalEngine(2) as engine:
        for name, profile in profiles.items():
            build([mixture], tmp_path / f"{name}-there", profile=profile, engine=engine, shard_bytes=1)
    for name, profile in profiles.items():
        here, there = tmp_path / name, tmp_path / f"{name}-there"
        build([mixture], here, profile=profile, shard_bytes=1)
        assert contents(here) == contents(there)
        rows = {row.key[0] for _, _, row in Catalogue.open(here).rows()}
        assert rows == TAKEN.get(name, {"a"})


def test_each_sample_keeps_the_contract(mixture: Path) -> None:
    for letter, profile in [("a.mp4", "frames"), ("a.mp4", "mixed"), ("b.wav", "sound"), ("c.png", "images")]:
        for sample in samples(mixture / letter, profile)[0]:
            sizes = {name: len(payload) for name, payload in sample.members.items()}
            assert list(contract_breaches(sample.sidecar, sizes)) == []
