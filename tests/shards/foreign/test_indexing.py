"""Tars of others become a data set without being touched: measured, checked, read, decoded."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset

from tests.conftest import tiny_sample
from unreel.pipelines.decode import make_backend
from unreel.pipelines.plan import Plan, Window
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue, read_index
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.foreign.indexing import index_folder, index_tar
from unreel.shards.reader import Reader

Members = list[tuple[str, bytes]]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, bytes]:
    """What others store: B-frames with AAC beside them, VP9, HEVC, variable rate, a picture, sound."""
    folder = tmp_path_factory.mktemp("media")
    picture = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1.2")
    sound = ("-f", "lavfi", "-i", "sine=f=440:d=1.2")
    h264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-threads", "1")
    ffmpeg(*picture, *sound, *h264, "-bf", "2", "-c:a", "aac", folder / "b.mp4")
    ffmpeg(*picture, *h264, "-bf", "0", folder / "plain.mp4")
    ffmpeg(*picture, "-c:v", "libvpx-vp9", "-b:v", "200k", "-deadline", "realtime", folder / "a.webm")
    ffmpeg(*picture, "-vf", "select='lt(n,10)+not(mod(n,3))'", *h264, "-fps_mode", "vfr", folder / "vfr.mp4")
    ffmpeg("-display_rotation", "90", "-i", folder / "plain.mp4", "-c", "copy", folder / "turned.mp4")
    ffmpeg(*picture, "-frames:v", "1", folder / "a.jpg")
    ffmpeg(*picture, "-frames:v", "1", folder / "a.png")
    ffmpeg(*sound, folder / "a.flac")
    ffmpeg(*sound, "-t", "0.5", folder / "short.flac")
    ffmpeg(*sound, folder / "a.mp3")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(path: Path, members: Members) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return path


def open_folder(folder: Path) -> tuple[Catalogue, Reader]:
    catalogue = Catalogue.open(folder)
    return catalogue, Reader(catalogue)


@pytest.fixture
def video2dataset(tmp_path: Path, media: dict[str, bytes]) -> Path:
    """Two tars as video2dataset writes them: failed downloads leave a json alone."""
    folder = tmp_path / "v2d"
    for number in range(2):
        members: Members = []
        for place in range(3):
            key = f"{number:05d}{place:04d}"
            meta = {"url": f"https://example.org/{place // 2}", "caption": "a test", "status": "success"}
            members += [(f"{key}.mp4", media["b.mp4"])] if place != 1 else []
            members += [(f"{key}.txt", b"a test"), (f"{key}.json", json.dumps(meta).encode())]
        write(folder / f"{number:05d}.tar", members)
    return folder


def test_video2dataset_is_read_where_it_lies(video2dataset: Path, media: dict[str, bytes]) -> None:
    before = {path.name: path.read_bytes() for path in video2dataset.iterdir()}
    done = index_folder(video2dataset)
    assert (done.tars, done.indexed, done.refused, done.samples, done.refused_samples) == (2, 2, 0, 4, 2)
    report = done.reports[0]
    assert report.layouts == {"json mp4 txt": 2, "json txt": 1}
    assert report.refused_samples == {"no-media": 1}
    assert report.notes == {"sound-in-container": 2, "b-frames": 2}
    assert {name: (video2dataset / name).read_bytes() for name in before} == before
    catalogue, reader = open_folder(video2dataset)
    sample = reader.read(0, 0)
    video, original = sample.sidecar.video, sample.sidecar.original
    assert video is not None and original is not None and sample.sidecar.audio is None
    assert (video.width, video.height, video.frames, video.rate, video.b_frames) == (
        96,
        64,
        30,
        (25, 1),
        True,
    )
    assert (original.audio_codec, original.audio_channels) == ("aac", 1)
    assert bytes(sample.members["mp4"]) == media["b.mp4"] and bytes(sample.members["txt"]) == b"a test"
    assert json.loads(bytes(sample.members["meta"]))["status"] == "success"
    assert sample.sidecar.labels["caption"] == "a test" and sample.sidecar.source.name == "000000000.mp4"
    # One recording in both tars has one id, whatever was stored of it.
    sources = {row.source for _, _, row in catalogue.rows()}
    assert len(sources) == 2 and len(catalogue) == 4
    assert verify(video2dataset, mode="full").clean


def test_img2dataset_is_read_where_it_lies(tmp_path: Path, media: dict[str, bytes]) -> None:
    members = [
        (f"{place:09d}.{name}", payload)
        for place in range(3)
        for name, payload in (("jpg", media["a.jpg"]), ("txt", b"x"), ("json", b'{"width": 96}'))
    ]
    write(tmp_path / "i" / "00000.tar", members)
    assert index_folder(tmp_path / "i").samples == 3
    _, reader = open_folder(tmp_path / "i")
    sidecar = reader.read(0, 1).sidecar
    assert sidecar.image is not None and (sidecar.image.width, sidecar.image.height) == (96, 64)
    assert (sidecar.image.codec, sidecar.image.member, sidecar.labels) == ("mjpeg", "jpg", {"width": 96})
    assert verify(tmp_path / "i", mode="full").clean


def test_shards_of_webdataset_itself_are_read(tmp_path: Path, media: dict[str, bytes]) -> None:
    (tmp_path / "w").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "w" / "%03d.tar"), maxcount=2, verbose=0) as sink:
        for number in range(3):
            sink.write(
                {
                    "__key__": f"Set A/clip.{number}",
                    "mp4": media["plain.mp4"],
                    "flac": media["a.flac"],
                    "cls": number,
                }
            )
    done = index_folder(tmp_path / "w", out=tmp_path / "out", workers=2)
    # `clip.0`, `clip.1`: after WebDataset's own rule the key is `Set A/clip`, and its members come twice.
    assert done.samples == 0 and done.refused == 2
    assert {report.reason for report in done.reports} == {"no-samples"}


def test_odd_names_split_samples_and_other_media(tmp_path: Path, media: dict[str, bytes]) -> None:
    members = [
        ("Set A/Clip 1.MP4", media["plain.mp4"]),
        ("Set A/Clip 2.webm", media["a.webm"]),
        ("Set A/Clip 1.FLAC", media["a.flac"]),
        ("only sound.mp3", media["a.mp3"]),
        ("picture.png", media["a.png"]),
        ("short.mp4", media["plain.mp4"]),
        ("short.flac", media["short.flac"]),
    ]
    write(tmp_path / "o" / "Train.tar", members)
    report = index_folder(tmp_path / "o").reports[0]
    assert (report.samples, report.split, report.notes) == (5, 1, {"sound-too-short": 1})
    _, reader = open_folder(tmp_path / "o")
    found = {reader.read(0, at).sidecar.source.name: reader.read(0, at).sidecar for at in range(5)}
    first = found["Set A/Clip 1.mp4"]
    assert first.audio is not None and first.key.startswith("set-a-clip-1-")
    assert first.audio.samples == round(30 * first.audio.rate / 25)
    second, sound, picture = (found[name] for name in ("Set A/Clip 2.webm", "only sound.mp3", "picture.png"))
    assert second.video is not None and (second.video.codec, second.video.member) == ("vp9", "webm")
    assert sound.audio is not None and (sound.audio.codec, sound.audio.member) == ("mp3float", "mp3")
    assert picture.image is not None and picture.image.codec == "png"
    assert found["short.mp4"].audio is None
    assert verify(tmp_path / "o", mode="full").clean


@pytest.mark.parametrize(
    ("name", "payload", "reason"),
    [
        ("mp4", "vfr.mp4", "variable-rate"),
        ("mp4", "turned.mp4", "rotated"),
        ("mp4", b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n", "playlist"),
        ("mp4", b"dear diary", "not-media"),
        ("jpg", b"dear diary", "not-media"),
        ("mp4", b"", "empty"),
        ("mp4", "a.flac", "no-picture"),
    ],
)
def test_samples_that_cannot_be_taken_are_refused_by_name(
    tmp_path: Path, media: dict[str, bytes], name: str, payload: str | bytes, reason: str
) -> None:
    data = media[payload] if isinstance(payload, str) else payload
    write(tmp_path / "t.tar", [(f"bad.{name}", data), ("good.mp4", media["plain.mp4"])])
    report = index_tar(tmp_path / "t.tar", tmp_path, identity="{}")
    assert report.samples == 1 and report.refused_samples == {reason: 1}, report
    assert report.refusals[0].name == "bad"


def test_cut_media_are_refused(tmp_path: Path, media: dict[str, bytes]) -> None:
    write(tmp_path / "t.tar", [("bad.mp4", media["plain.mp4"][:-400]), ("good.mp4", media["plain.mp4"])])
    assert index_tar(tmp_path / "t.tar", tmp_path, identity="{}").samples == 1


@pytest.mark.parametrize("backend", ["packets", "decord", "torchcodec"])
def test_backends_decode_what_was_indexed(tmp_path: Path, media: dict[str, bytes], backend: str) -> None:
    pytest.importorskip({"packets": "av"}.get(backend, backend))
    names = {"b": "b.mp4", "p": "plain.mp4", "w": "a.webm"}
    write(
        tmp_path / "t" / "t.tar",
        [(f"{key}.{name[-4:].strip('.')}", media[name]) for key, name in names.items()],
    )
    index_folder(tmp_path / "t")
    _, reader = open_folder(tmp_path / "t")
    samples = [reader.read(0, ordinal) for ordinal in range(3)]
    plan = Plan(frames=np.array([0, 7, 29], np.int32), window=Window(left=0, top=0, width=96, height=64))
    made = make_backend(backend, threads=1, device="cpu")
    decoded = made.decode(samples, [plan] * 3)
    made.close()
    refused = {0} if backend == "packets" else set()
    assert set(decoded.failures) == refused
    if refused:
        assert "B-frames" in str(decoded.failures[0])
    assert decoded.frames is not None
    plain, vp9 = decoded.frames[1].float(), decoded.frames[2].float()
    assert (plain - vp9).abs().mean() < 12 and plain.std() > 20


def test_an_index_elsewhere_links_to_the_tars(video2dataset: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in video2dataset.iterdir())
    index_folder(video2dataset, out=tmp_path / "out")
    assert sorted(path.name for path in video2dataset.iterdir()) == before
    catalogue, reader = open_folder(tmp_path / "out")
    assert catalogue.path(0).is_symlink() and not catalogue.path(0).readlink().is_absolute()
    assert reader.read(1, 1).sidecar.video is not None
    assert verify(tmp_path / "out", mode="full").clean


def test_what_is_indexed_is_kept_and_what_changed_is_indexed_anew(
    video2dataset: Path, media: dict[str, bytes]
) -> None:
    first = index_folder(video2dataset)
    files = {path.name: path.read_bytes() for path in video2dataset.iterdir()}
    again = index_folder(video2dataset)
    assert (first.indexed, again.indexed, again.kept, again.samples) == (2, 0, 2, 4)
    assert {path.name: path.read_bytes() for path in video2dataset.iterdir()} == files
    write(video2dataset / "00001.tar", [("x.mp4", media["plain.mp4"])])
    (video2dataset / "00000.sidecars").write_bytes(b"")
    assert (index_folder(video2dataset).indexed, len(Catalogue.open(video2dataset))) == (2, 3)
    (video2dataset / "00001.tar").write_bytes(b"\0" * 700)
    last = index_folder(video2dataset)
    assert (last.kept, last.refused, len(Catalogue.open(video2dataset))) == (1, 1, 2)


def test_the_reader_checks_sidecars_headers_and_payloads(video2dataset: Path) -> None:
    index_folder(video2dataset)
    index = read_index(video2dataset / "00000.tar")
    row = index.samples[0]
    assert index.sidecars is not None
    places = {
        "00000.sidecars": [row.members[0].offset + 10],
        "00000.tar": [
            place for member in row.members[1:] for place in (member.offset + 1, member.offset - 300)
        ],
    }
    for name, offsets in places.items():
        for offset in offsets:
            data = bytearray((video2dataset / name).read_bytes())
            data[offset] ^= 1
            (video2dataset / name).write_bytes(data)
            with pytest.raises(ShardError, match="sample 000000000"):
                open_folder(video2dataset)[1].read(0, 0)
            found = verify(video2dataset, mode="full", share=0)
            assert found.lost == 1 and {damage.shard for damage in found.damage} == {"00000"}
            data[offset] ^= 1
            (video2dataset / name).write_bytes(data)
    (video2dataset / "00000.sidecars").unlink()
    with pytest.raises(ShardError, match=r"00000\.sidecars: expected \d+ bytes, found no file"):
        open_folder(video2dataset)[1].read(0, 0)


def test_other_sidecars_are_another_data_set(video2dataset: Path) -> None:
    index_folder(video2dataset)
    index = read_index(video2dataset / "00000.tar")
    assert Catalogue.open(video2dataset).digest
    from unreel.shards.index import content_digest

    assert content_digest(index) != bytes.fromhex(index.sha256)


def test_our_own_folders_and_empty_ones_are_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(CatalogueError, match="written by unreel"):
        index_folder(folder)
    with pytest.raises(CatalogueError, match=r"no \*\.tar here"):
        index_folder(tmp_path_factory.mktemp("empty"))


def test_our_shards_are_samples_of_the_plain_kind_too(tmp_path: Path) -> None:
    """A copy of our tar without its index is a plain WebDataset to anybody, and so to us."""
    sidecar, members = tiny_sample(0)
    write(tmp_path / "t.tar", [(f"a.{name}", payload) for name, payload in members.items()])
    index_tar(tmp_path / "t.tar", tmp_path, identity="{}")
    row = read_index(tmp_path / "t.tar").samples[0]
    assert sidecar.video is not None and sidecar.audio is not None
    assert (row.frames, row.rate, row.audio_samples) == (
        sidecar.video.frames,
        sidecar.video.rate,
        sidecar.audio.samples,
    )


def test_a_tar_without_any_sample_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t.tar", [("a.json", b"{}")])
    report = index_tar(tmp_path / "t.tar", tmp_path, identity="{}")
    assert (report.status, report.reason) == ("refused", "no-samples")
    assert report.detail == "none of 1 samples can be taken: 1 no-media" and not list(tmp_path.glob("*.json"))
