"""Words: the forms that are read, the texts that belong to a file, and the segments of a clip."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.language import detect_language
from unreel.shards.intake.source_file import TO_THE_END, Caption
from unreel.shards.intake.sources import list_sources
from unreel.shards.intake.transcripts import Words, read_transcript, write_words
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Segment, Sidecar, Source

FFmpeg = Callable[..., None]

SUBRIP = """1
00:00:00,500 --> 00:00:01,250
<i>One</i>, {\\an8}two

2
00:00:02,000 --> 00:00:03,500  X1:000 X2:000
three

after a gap
3
00:00:04,000 --> 00:00:05,000
4 &amp; five
"""
WEBVTT = """WEBVTT - a title

NOTE
not shown

STYLE
::cue { color: red }

intro
00:00.500 --> 00:01.250 align:start
<v Anna>One, <b>two</b>

01:00:02.000 --> 01:00:03.500
three
"""


def written(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_subrip_is_read_with_its_marks_taken_out(tmp_path: Path) -> None:
    captions = [
        Caption(0.5, 1.25, "One, two"),
        Caption(2.0, 3.5, "three after a gap"),
        Caption(4.0, 5.0, "4 & five"),
    ]
    assert read_transcript(written(tmp_path, "a.srt", SUBRIP)) == captions
    dos = SUBRIP.replace("\n", "\r\n").encode("utf-16")
    assert read_transcript(written(tmp_path, "b.srt", dos)) == captions


def test_webvtt_is_read_with_its_notes_left_out(tmp_path: Path) -> None:
    captions = [Caption(0.5, 1.25, "One, two"), Caption(3602.0, 3603.5, "three")]
    assert read_transcript(written(tmp_path, "a.vtt", WEBVTT)) == captions


def test_plain_text_is_one_caption_of_the_whole_source(tmp_path: Path) -> None:
    assert read_transcript(written(tmp_path, "a.txt", " a man\n\n cooks ")) == [
        Caption(0.0, TO_THE_END, "a man cooks")
    ]
    assert read_transcript(written(tmp_path, "empty.txt", "")) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.srt", "dear diary", "a.srt, line 1: found 'dear diary', expected a number"),
        ("a.srt", "1\n00:00:02,000 --> soon\nx", "a.srt, line 2: found '00:00:02,000 --> soon'"),
        ("a.srt", "1\n00:00:02,000 --> 00:00:01,000\nx", "a.srt, line 2: .*the later time behind"),
        ("a.vtt", "1\n00:02.000 --> 00:03.000\nx", "a.vtt, line 1: found '1', expected WEBVTT"),
        ("a.vtt", "WEBVTT\n\nhello\nthere\n", "a.vtt, line 3: found 'hello', expected a line"),
        ("a.srt", b"1\n00:00:00,000 --> 00:00:01,000\ncaf\xe9", "a.srt: byte 35 is not utf-8"),
        ("missing.srt", None, "missing.srt: there is no such file"),
    ],
)
def test_bad_transcript_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str | bytes | None, message: str
) -> None:
    path = written(tmp_path, name, text) if text is not None else str(tmp_path / name)
    with pytest.raises(MediaRefused, match=message):
        read_transcript(path)


def test_segments_are_cut_with_the_clip_and_know_the_container_clock() -> None:
    sidecar = Sidecar(key="a", source=Source(id="0" * 16, name="a.mp4"))
    words = Words(
        captions=(Caption(0.5, 1.0, "gone"), Caption(1.5, 2.5, "begun"), Caption(9.0, 9.5, "later")),
        manifest=(Caption(0.0, TO_THE_END, "all of it"),),
        language="en",
    )

    class Clip(Sidecar):
        seconds = 2.0  # type: ignore[assignment]

    clip = Clip(key="a", source=sidecar.source)
    told, text = write_words(clip, words, start=1.0, lead=0.25, end=20.0)
    assert told.transcript == (
        Segment(start_ms=-1000, stop_ms=19_000, text="all of it"),
        Segment(start_ms=250, stop_ms=1250, text="begun"),
    )
    assert (told.language, text) == ("en", b"all of it\nbegun\n")
    assert write_words(sidecar, Words(captions=words.captions), start=5.0, lead=0.0, end=20.0) == (
        sidecar,
        None,
    )


def test_text_beside_a_file_is_its_own_and_no_source(tmp_path: Path) -> None:
    for name in (
        "a.mp4",
        "a.srt",
        "a.en.vtt",
        "b.mkv",
        "b.pt-BR.srt",
        "c.wav",
        "d.srt",
        "d.align",
        "e.mp4",
        "e.csv",
    ):
        (tmp_path / name).touch()
    sources = {source.name: source for source in list_sources([tmp_path])}
    # `a.en.vtt` is not used: the text without a language is the file's own.
    assert list(sources) == ["a.en.vtt", "a.mp4", "b.mkv", "c.wav", "d.align", "d.srt", "e.csv", "e.mp4"]
    told = {name: (Path(s.transcript or "").name, s.language) for name, s in sources.items() if s.transcript}
    assert told == {"a.mp4": ("a.srt", None), "b.mkv": ("b.pt-BR.srt", "pt")}


def test_manifest_goes_before_what_lies_beside(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.srt", "b.mp4", "b.srt", "other.srt"):
        (tmp_path / name).touch()
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,transcript\na.mp4,other.srt\nb.mp4,a word\n")
    first, second = list_sources([manifest])
    assert (first.transcript, second.transcript) == (str(tmp_path / "other.srt"), None)
    assert [caption.text for caption in second.captions] == ["a word"]


def test_language_is_detected_only_where_there_is_enough_text() -> None:
    german = "Du kannst von Glück sagen, dass dein Blut noch in deinen Adern fließt."
    assert detect_language(german) == "de"
    assert detect_language(german[:40]) is None
    assert detect_language("12 34 !" * 40) is None


def read_all(out: Path) -> list[EncodedSample]:
    catalogue = Catalogue.open(out)
    reader = Reader(catalogue)
    found = [reader.read(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]
    return sorted(found, key=lambda sample: sample.sidecar.source.start_frame)


@pytest.fixture
def narrated(tmp_path: Path, ffmpeg: FFmpeg) -> Path:
    """Six seconds of video whose first picture comes 0.48 s after the container's beginning."""
    folder = tmp_path / "narrated"
    folder.mkdir()
    sound = ["-f", "lavfi", "-i", "sine=d=6.5"]
    picture = ["-itsoffset", 0.48, "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=6"]
    ffmpeg(*sound, *picture, "-c:v", "libx264", "-c:a", "flac", folder / "clip.mkv")
    (folder / "clip.de.srt").write_text(SUBRIP)
    return folder


def test_words_travel_from_a_folder_into_the_samples(narrated: Path, tmp_path: Path) -> None:
    summary = build([narrated], tmp_path / "out", clip_seconds=2)
    assert (summary.sources, summary.done) == (1, 1)
    first, second, third = read_all(tmp_path / "out")
    assert first.sidecar.transcript == (
        Segment(start_ms=20, stop_ms=770, text="One, two"),
        Segment(start_ms=1520, stop_ms=3020, text="three after a gap"),
    )
    assert second.sidecar.transcript == (
        Segment(start_ms=-480, stop_ms=1020, text="three after a gap"),
        Segment(start_ms=1520, stop_ms=2520, text="4 & five"),
    )
    assert bytes(second.members["txt"]) == b"three after a gap\n4 & five\n"
    assert [segment.text for segment in third.sidecar.transcript] == ["4 & five"]
    assert {sample.sidecar.language for sample in (first, second, third)} == {"de"}


def test_source_whose_words_cannot_be_read_is_refused(narrated: Path, tmp_path: Path) -> None:
    (narrated / "clip.de.srt").write_text("dear diary")
    (report,) = build([narrated], tmp_path / "out").reports
    assert (report.status, report.reason) == ("refused", "bad-transcript")
    assert "clip.de.srt, line 1" in report.detail


def test_words_are_part_of_what_a_folder_was_begun_with(narrated: Path, tmp_path: Path) -> None:
    build([narrated], tmp_path / "out")
    (narrated / "clip.de.srt").write_text(SUBRIP.replace("three", "four"))
    with pytest.raises(Exception, match="other sources"):
        build([narrated], tmp_path / "out")


@pytest.mark.corpus
def test_real_narrated_folder_is_accounted_for(corpus: Path, tmp_path: Path) -> None:
    summary = build([corpus / "narrated"], tmp_path / "out")
    reasons = {Path(report.source).name: report.reason for report in summary.reports}
    # Its words are another film's, but lie under its name in no case: only equal stems are paired.
    assert reasons["mediaelement.srt"] == "transcript"
    assert "grid_concat_60s.srt" not in reasons
    narrated = [sample.sidecar for sample in read_all(tmp_path / "out") if sample.sidecar.transcript]
    spoken = [sidecar for sidecar in narrated if sidecar.source.name.startswith("grid")]
    # The others have a track of subtitles of their own.
    assert (len(spoken), len(narrated)) == (6, 10)
    assert {sidecar.language for sidecar in spoken} == {"en"}
    first = next(sidecar for sidecar in spoken if sidecar.source.start_frame == 0)
    assert first.transcript[0].text == "bin green at h one soon"
    # The container begins with the sound's priming, the picture at its zero.
    assert first.transcript[0].start_ms == pytest.approx(610, abs=1)
