"""Worlds as files: same bytes on any number of workers, resumed and never mixed, in sync after decoding."""

import csv
from dataclasses import replace
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from unreel.tools.synth.nuisances import Nuisances
from unreel.tools.synth.render import render
from unreel.tools.synth.world import World, clip_of, tracks
from unreel.tools.synth.write import claim, clip_path, sound_of, write_labels, write_videos

WORLD = World(seed=3, clips=6, frames=50, rate=25, width=64, height=64)


def write(folder: Path, world: World = WORLD, *, workers: int = 1) -> list[bool]:
    claim(folder, world)
    new = [written.new for written in write_videos(folder, world, workers=workers)]
    write_labels(folder, world)
    return new


def decode(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return frames, sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synth") / "world"
    write(path)
    return path


def test_bytes_do_not_depend_on_workers(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "two", workers=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == WORLD.clips + 2
    assert files == sorted(
        p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file()
    )
    assert all((folder / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def test_pictures_survive_the_codec(folder: Path) -> None:
    for index in range(WORLD.clips):
        frames, _ = decode(folder / clip_path(index))
        rendered = render(WORLD, clip_of(WORLD, index))
        assert frames.shape == rendered.shape
        assert np.abs(frames.astype(int) - rendered).mean() < 5


def test_strikes_are_heard_on_the_frame_that_shows_them(folder: Path) -> None:
    """Sound is decoded, the silent world is subtracted, and what begins is compared with the label track."""
    checked = 0
    for index in range(WORLD.clips):
        clip = clip_of(WORLD, index)
        quiet = sound_of(WORLD, replace(clip, motion=replace(clip.motion, events=())))
        _, sound = decode(folder / clip_path(index))
        heard = np.abs(sound[: len(quiet)] - quiet)
        first = np.flatnonzero(tracks(WORLD, clip)["event"])[0]
        onset = int(np.argmax(heard > 0.25 * heard.max())) / WORLD.audio_rate
        assert onset * WORLD.rate == pytest.approx(clip.motion.events[0].seconds * WORLD.rate, abs=0.35)
        assert abs(onset * WORLD.rate - first) < 1.35
        checked += 1
    assert checked == WORLD.clips


def test_files_are_what_they_say(folder: Path) -> None:
    with av.open(str(folder / clip_path(0))) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.frames, video.average_rate, video.start_time) == (50, 25, 0)
        assert (audio.rate, audio.codec_context.layout.name) == (WORLD.audio_rate, "mono")
        assert sum(packet.is_keyframe for packet in container.demux(video) if packet.size) == 1


def test_the_twin_is_still_after_decoding(tmp_path: Path) -> None:
    world = msgspec.structs.replace(WORLD, objects=False, clips=4)
    write(tmp_path, world)
    for index in range(world.clips):
        frames, _ = decode(tmp_path / clip_path(index))
        changed = np.abs(np.diff(frames.astype(int), axis=0)).max(axis=(1, 2, 3))
        assert (changed > 0).mean() < 0.1 and changed.max() < 12


def test_labels_are_a_manifest(folder: Path) -> None:
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [clip_path(index) for index in range(WORLD.clips)]
    assert {"split", "law", "arrow", "shape", "texture", "sound_class", "size"} <= set(rows[0])
    for index, row in enumerate(rows):
        shown = tracks(WORLD, clip_of(WORLD, index))
        for name, track in shown.items():
            assert np.abs(np.array(row[f"{name}[]"].split(), float) - track).max() < 1e-4


def test_only_missing_clips_are_written(folder: Path, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / clip_path(2)).unlink()
    (tmp_path / "labels.csv").unlink()
    assert write(tmp_path) == [False, False, True, False, False, False]
    assert (tmp_path / clip_path(2)).read_bytes() == (folder / clip_path(2)).read_bytes()
    assert (tmp_path / "labels.csv").read_bytes() == (folder / "labels.csv").read_bytes()


def test_a_world_that_was_noted_before_a_nuisance_was_known_is_the_same(tmp_path: Path) -> None:
    claim(tmp_path, WORLD)
    note = tmp_path / "world.json"
    known = msgspec.json.decode(note.read_bytes())
    del known["nuisances"]["clock"]
    note.write_bytes(msgspec.json.encode(known))
    claim(tmp_path, WORLD)
    with pytest.raises(ValueError, match="another world, with nuisances"):
        claim(tmp_path, msgspec.structs.replace(WORLD, nuisances=Nuisances(clock=True)))


def test_another_world_is_refused_by_what_differs(folder: Path) -> None:
    before = (folder / "world.json").read_bytes()
    with pytest.raises(ValueError, match=r"seed 3 \(asked: 4\)"):
        claim(folder, msgspec.structs.replace(WORLD, seed=4))
    with pytest.raises(ValueError, match="nuisances"):
        claim(folder, msgspec.structs.replace(WORLD, nuisances=Nuisances(logo=True)))
    assert (folder / "world.json").read_bytes() == before


def test_a_folder_of_other_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match="choose another folder"):
        claim(tmp_path, WORLD)


def test_a_failed_clip_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path, WORLD)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unreel.tools.synth.write._encode_audio", fail)
    with pytest.raises(KeyboardInterrupt):
        list(write_videos(tmp_path, WORLD, workers=1))
    assert not list((tmp_path / "videos").iterdir())
