"""Tracks of text subtitles: words of every codec, on the clock of the first picture, and the bounds of what is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.border.probe import Probe, probe
from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import MediaRefused
from unreel.shards.intake import subtitles
from unreel.shards.intake.language import track_language
from unreel.shards.intake.source_file import Caption
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.profiles import PROFILES
from unreel.shards.reader import Reader

FFmpeg = Callable[..., None]
WORDS = """1
00:00:00,200 --> 00:00:00,800
<i>A ball</i> &amp; a box

2
00:00:01,100 --> 00:00:01,900
the ball
falls, slowly
"""
READ = [Caption(0.2, 0.8, "A ball & a box"), Caption(1.1, 1.9, "the ball falls, slowly")]


@pytest.fixture
def subtitled(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> Callable[..., Path]:
    """`subtitled(name, codec, *options)`: a clip of two seconds with a track of words."""

    def make(name: str, codec: str, *options: object, words: str | bytes = WORDS) -> Path:
        text, path = tmp_path / "words.srt", tmp_path / "media" / name
        path.parent.mkdir(exist_ok=True)
        text.write_bytes(words if isinstance(words, bytes) else words.encode())
        tracks = ["-map", "0:v", "-map", "0:a", "-map", "1:s", "-c:v", "copy", "-c:a", "copy", "-c:s", codec]
        ffmpeg("-i", clip, "-i", text, *tracks, "-metadata:s:s:0", "language=eng", *options, path)
        return path

    return make


def looked_at(path: Path) -> Probe:
    return probe(list_sources([path])[0], PROFILES["clips-128"])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mov_text"),
        ("a.mkv", "subrip"),
        ("a.mkv", "ass"),
        ("a.mkv", "webvtt"),
        ("a.mov", "mov_text"),
    ],
)
@pytest.mark.parametrize("later", [0, 5])
def test_words_of_every_codec_are_on_the_clock_of_the_first_picture(
    name: str, codec: str, later: int, subtitled: Callable[..., Path]
) -> None:
    found = looked_at(subtitled(name, codec, "-output_ts_offset", later))
    assert found.language == "en"
    assert [caption.text.replace("&amp;", "&") for caption in found.captions] == [one.text for one in READ]
    for caption, due in zip(found.captions, READ, strict=True):
        # ASS counts hundredths; the clip's picture begins one frame after its container in Matroska.
        assert caption.start == pytest.approx(due.start, abs=0.05)
        assert caption.stop - caption.start == pytest.approx(due.stop - due.start, abs=0.011)


def test_words_travel_into_the_samples_unless_there_are_others(
    subtitled: Callable[..., Path], tmp_path: Path
) -> None:
    path = subtitled("a.mkv", "subrip")
    assert read(path, tmp_path / "own") == ("en", [one.text for one in READ])
    path.with_suffix(".txt").write_text("something else")
    assert read(path, tmp_path / "other") == (None, ["something else"])


def read(path: Path, out: Path) -> tuple[str | None, list[str]]:
    build([path], out)
    sidecar = Reader(Catalogue.open(out)).read(0, 0).sidecar
    return sidecar.language, [segment.text for segment in sidecar.transcript]


def test_a_track_that_is_too_large_refuses_its_source(
    subtitled: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = subtitled("a.mkv", "subrip")
    monkeypatch.setattr(subtitles, "_MOST_CAPTIONS", 1)
    with pytest.raises(MediaRefused, match="more than 1 captions"):
        looked_at(path)
    monkeypatch.setattr(subtitles, "_MOST_CAPTIONS", 10)
    monkeypatch.setattr(subtitles, "_MOST_BYTES", 30)
    with pytest.raises(MediaRefused, match="30 bytes"):
        looked_at(path)


def test_bytes_that_are_no_text_refuse_their_source(subtitled: Callable[..., Path]) -> None:
    path = subtitled("a.mkv", "subrip")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"falls, slowly", b"falls, slo\xffly"))
    with pytest.raises(MediaRefused, match=r"subtitle track 2: the caption at 1.*UTF-8"):
        looked_at(path)


def test_drawings_are_no_words() -> None:
    assert subtitles._ass(b"0,0,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}") == ""
    assert subtitles._ass(b"0,0,Default,,0,0,0,,{\\an8}One,\\Ntwo") == "One,\ntwo"


@pytest.mark.parametrize(
    ("said", "code"),
    [("eng", "en"), ("ger", "de"), ("deu", "de"), ("pt-BR", "pt"), ("und", None), ("", None)],
)
def test_languages_of_tracks(said: str, code: str | None) -> None:
    assert track_language(said) == code


@pytest.mark.corpus
@pytest.mark.parametrize(
    "kind", ["srt", "null_terminated_srt", "ssa_subtitles", "null_terminated_ssa_subtitles"]
)
def test_real_tracks(kind: str, corpus: Path) -> None:
    found = looked_at(corpus / "narrated" / f"ExoPlayer__sample_with_{kind}.mkv")
    assert [caption.text.rstrip(".") for caption in found.captions] in (
        ["This is the first subtitle"],
        ["This is the first"],
    )
