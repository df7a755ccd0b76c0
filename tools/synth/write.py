"""Worlds as files: MP4s of H.264 and AAC, `labels.csv` in the builder's manifest form, and `world.json`.

A file under its final name is complete: it is written under a temporary name and renamed. `labels.csv` comes last.
Encoders run on one thread in bit-exact mode, so a clip's bytes depend on the world and its index alone.
"""

import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import av
import msgspec
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.shards.errors import UnreelError
from unreel.tools.synth.nuisances import audible
from unreel.tools.synth.render import render
from unreel.tools.synth.sound import FLUTTER, VOICES, soundtrack
from unreel.tools.synth.world import Clip, World, clip_of, indices, labels, tracks

__all__ = ["Written", "claim", "clip_path", "sound_of", "write_clip", "write_labels", "write_videos"]

_WORLD: Final = "world.json"
_LABELS: Final = "labels.csv"
_X264: Final = {"preset": "superfast", "qp": "18", "bf": "0", "keyint": "250", "threads": "1"}
"""A constant quantiser, because x264's rate control touches up almost every frame of a still picture: in the twin, 3 of
800 frames differ from the one before (by up to 5 levels) instead of 785. One key frame in ten seconds: no pulse either."""
_BT709: Final = 1
"""H.264's number for the matrix of BT.709, the one that shards keep: a build has no colours to convert."""
_AAC: Final = {"aac_coder": "fast"}
_AUDIO_BITS: Final = 128_000


@dataclass(frozen=True)
class Written:
    """One clip's outcome."""

    index: int
    new: bool
    """False when the file was there already."""


def clip_path(index: int) -> str:
    """Where clip `index` lies below the world's folder."""
    return f"videos/clip-{index:05d}.mp4"


def sound_of(world: World, clip: Clip) -> NDArray[np.float32]:
    """The clip's sound as it is written, f32 `[N]` in [-1, 1]."""
    voice, flutter = VOICES[clip.sound_class], FLUTTER[clip.shape]
    wave = soundtrack(
        clip.dice, clip.motion, voice=voice, flutter=flutter, frame_rate=world.rate, rate=world.audio_rate
    )
    return audible(clip.dice, wave, world.nuisances, world.audio_rate)


def claim(folder: Path, world: World) -> None:
    """Make `folder` the home of `world`, new or to be completed.

    Raises ValueError when the folder holds another world, or videos or labels of which no world is known.
    """
    note = folder / _WORLD
    if not note.exists():
        found = [name for name in ("videos", _LABELS) if (folder / name).exists()]
        if found:
            raise ValueError(f"{folder} holds {found[0]} but no {_WORLD}: choose another folder")
        (folder / "videos").mkdir(parents=True)
        _put(note, msgspec.json.format(msgspec.json.encode(world), indent=2) + b"\n")
        return
    # As a world and not as text: a nuisance that is newer than the note was off.
    here = msgspec.to_builtins(msgspec.json.decode(note.read_bytes(), type=World))
    asked = msgspec.to_builtins(world)
    changed = [
        f"{name} {here[name]!r} (asked: {asked[name]!r})" for name in asked if here[name] != asked[name]
    ]
    if changed:
        raise ValueError(f"{folder} holds another world, with {', '.join(changed)}: choose another folder")


def write_videos(folder: Path, world: World, *, workers: int) -> Iterator[Written]:
    """Write the clips that are missing, in order; yields as they are done."""
    work = partial(write_clip, folder, world)
    if workers == 1:
        yield from map(work, indices(world))
        return
    # Forking a process that has threads can deadlock; a fresh interpreter costs half a second.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(work, indices(world), chunksize=max(1, min(8, world.clips // (4 * workers))))
    finally:
        pool.shutdown(cancel_futures=True)


def write_clip(folder: Path, world: World, index: int) -> Written:
    """Render and encode one clip, unless its file is there."""
    path = folder / clip_path(index)
    if path.exists():
        return Written(index, new=False)
    clip = clip_of(world, index)
    with _whole(path) as partly:
        _encode(partly, world, render(world, clip), sound_of(world, clip))
    return Written(index, new=True)


def write_labels(folder: Path, world: World) -> Path:
    """Write `labels.csv`: one row a clip, a column a label, and a column `NAME[]` a track."""
    path = folder / _LABELS
    with _whole(path) as partly, partly.open("w", newline="") as file:
        rows = (_row(world, index) for index in indices(world))
        first = next(rows)
        table = csv.DictWriter(file, list(first), lineterminator="\n")
        table.writeheader()
        table.writerow(first)
        table.writerows(rows)
    return path


def _row(world: World, index: int) -> dict[str, str | int | float]:
    clip = clip_of(world, index)
    columns = {
        f"{name}[]": " ".join(f"{v:.4f}" for v in track) for name, track in tracks(world, clip).items()
    }
    return {"path": clip_path(index), **labels(world, clip), **columns}


def _encode(path: Path, world: World, frames: NDArray[np.uint8], wave: NDArray[np.float32]) -> None:
    """Write one MP4; sound sample 0 is presented with frame 0."""
    try:
        with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            picture, sound = _video_stream(container, world), _audio_stream(container, world)
            _encode_video(container, picture, frames)
            _encode_audio(container, sound, wave)
    except av.FFmpegError as error:
        raise UnreelError(f"{path}: cannot write the clip ({error})") from error


def _video_stream(container: OutputContainer, world: World) -> VideoStream:
    stream = container.add_stream("libx264", rate=world.rate, options=dict(_X264))
    stream.width, stream.height, stream.pix_fmt = world.width, world.height, "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, world.rate)
    context.thread_count, context.flags = 1, context.flags | Flags.bitexact
    context.colorspace, context.color_range = _BT709, ColorRange.MPEG
    return stream


def _audio_stream(container: OutputContainer, world: World) -> AudioStream:
    stream = container.add_stream("aac", rate=world.audio_rate, layout="mono", options=dict(_AAC))
    stream.bit_rate = _AUDIO_BITS
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _encode_video(container: OutputContainer, stream: VideoStream, frames: NDArray[np.uint8]) -> None:
    # One converter for all frames: each `frame.reformat` would set up its own, a third of a millisecond.
    converter = VideoReformatter()
    for index, picture in enumerate(frames):
        frame = converter.reformat(
            av.VideoFrame.from_ndarray(picture, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = index, stream.codec_context.time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_audio(container: OutputContainer, stream: AudioStream, wave: NDArray[np.float32]) -> None:
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = stream.rate, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when all went well, and vanishes when not."""
    partly = path.with_name(f".{path.name}.part")
    try:
        yield partly
        partly.replace(path)
    finally:
        partly.unlink(missing_ok=True)


def _put(path: Path, data: bytes) -> None:
    with _whole(path) as partly:
        partly.write_bytes(data)
