"""Facts of stored samples: as the build measured them but for what the encoder changed, and of samples of others."""

import io
import itertools
import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import msgspec
import numpy as np
import pytest

from unreel.shards.build import build
from unreel.shards.care.rewrite import rewrite
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import MediaRefused
from unreel.shards.making.facts import FACTS, PICTURE_FACTS, SOUND_FACTS
from unreel.shards.making.measure import IMAGE_FACTS, add_facts, measure_facts
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Facts, Image, Packets, Sidecar, Source, Video

FFmpeg = Callable[..., None]

# What x264 at CRF 21 may change, over 600 s of real clips: motion 1.27 levels in a frame and 0.30 in the mean of a clip,
# luma 1.25 levels, hashes 8 bits. Sound is stored without loss.
MOTION, MEAN_MOTION, LUMA, HASH_BITS = 1.5, 0.4, 1.5, 10


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Clips of 2 s of a moving pattern with a cut in it, a pause in the sound, and a clip without sound."""
    folder = tmp_path_factory.mktemp("measured")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    scenes = "testsrc2=s=160x120:r=25:d=2.4[a];mandelbrot=s=160x120:r=25,trim=duration=1.6,setsar=1[b];[a][b]concat[v]"
    tone = "sine=f=300:d=4,volume=0:enable='between(t,0.5,1.5)'"
    common = ["-filter_complex", scenes, "-map", "[v]", "-c:v", "libx264"]
    sound = ["-map", "0:a", "-c:a", "pcm_s16le"]
    subprocess.run([*ffmpeg, "-f", "lavfi", "-i", tone, *common, *sound, folder / "a.mov"], check=True)
    subprocess.run([*ffmpeg, *common, folder / "silent.mp4"], check=True)
    build([folder / "a.mov", folder / "silent.mp4"], folder / "out", clip_seconds=2)
    return Catalogue.open(folder / "out")


def samples(catalogue: Catalogue) -> list[EncodedSample]:
    reader = Reader(catalogue)
    return [reader.read(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]


def bare(sidecar: Sidecar) -> Sidecar:
    return msgspec.structs.replace(sidecar, facts=Facts())


def test_stored_samples_are_measured_as_the_build_measured_them(built: Catalogue) -> None:
    for sample in samples(built):
        known, found = sample.sidecar.facts, measure_facts(bare(sample.sidecar), sample.members).facts
        compare(known, found)
        assert (found.cuts, found.content_box, found.overlay_box) == (
            known.cuts,
            known.content_box,
            known.overlay_box,
        )


def compare(known: Facts, found: Facts) -> None:
    assert found.measured == known.measured
    assert (found.silence, found.loudness) == (known.silence, known.loudness)
    assert np.abs(found.motion_curve - known.motion_curve).max() <= MOTION
    assert abs(found.motion_curve.mean() - known.motion_curve.mean()) <= MEAN_MOTION
    assert np.abs(found.luma_curve - known.luma_curve).max() <= LUMA
    assert np.bitwise_count(found.hash_words ^ known.hash_words).max() <= HASH_BITS


@pytest.mark.corpus
def test_real_clips_are_measured_as_the_build_measured_them(corpus: Path, tmp_path: Path) -> None:
    clips = sorted((corpus / "clips").glob("*.mp4"), key=lambda path: path.stat().st_size)[:4]
    build(clips, tmp_path)
    found = samples(Catalogue.open(tmp_path))
    assert found
    for sample in found:
        compare(sample.sidecar.facts, measure_facts(bare(sample.sidecar), sample.members).facts)


def test_what_is_asked_for_is_measured_and_the_rest_kept(built: Catalogue) -> None:
    sample = samples(built)[0]
    known = msgspec.structs.replace(sample.sidecar, facts=Facts(cuts=(7,), measured=("cuts",)))
    found = measure_facts(known, sample.members, names=("hashes", "silence")).facts
    assert found.measured == ("cuts", "hashes", "silence")
    assert (found.cuts, found.motion, found.luma) == ((7,), b"", b"")
    assert len(found.hash_words) == 2 and found.silence == sample.sidecar.facts.silence


def test_known_facts_are_measured_again_only_when_told_to(built: Catalogue) -> None:
    sample = samples(built)[0]
    known = msgspec.structs.replace(sample.sidecar, facts=Facts(cuts=(7,), measured=FACTS))
    assert measure_facts(known, {}) == known
    assert measure_facts(known, sample.members, names=["cuts"], again=True).facts.cuts != (7,)


def test_only_what_is_needed_is_decoded(built: Catalogue) -> None:
    sample = samples(built)[0]
    heard = measure_facts(bare(sample.sidecar), {"flac": sample.members["flac"]}, names=SOUND_FACTS)
    assert heard.facts.measured == SOUND_FACTS
    seen = measure_facts(bare(sample.sidecar), {"mp4": sample.members["mp4"]}, names=PICTURE_FACTS)
    assert seen.facts.measured == PICTURE_FACTS


def test_unknown_facts_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="facts smell: there are motion, luma"):
        add_facts(["motion", "smell"])


def test_a_data_set_gets_facts_without_touching_media(built: Catalogue, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "set"
    shutil.copytree(built.folder, folder)
    rewrite(folder, lambda sidecar, members: bare(sidecar))
    without = samples(Catalogue.open(folder))
    assert not any(sample.sidecar.facts.measured for sample in without)
    assert rewrite(folder, add_facts(["hashes", "motion"]), workers=2).rewritten == 1
    for before, after in zip(without, samples(Catalogue.open(folder)), strict=True):
        assert after.sidecar.facts.measured == ("motion", "hashes")
        assert {name: bytes(data) for name, data in after.members.items() if name != "json"} == {
            name: bytes(data) for name, data in before.members.items() if name != "json"
        }
        assert after.row.motion > 0
    assert rewrite(folder, add_facts(["hashes", "motion"])).unchanged == 1


@pytest.mark.parametrize("member", ["mp4", "flac"])
def test_a_member_that_is_not_what_the_sidecar_says_is_refused_by_name(built: Catalogue, member: str) -> None:
    sample = samples(built)[0]
    video = msgspec.structs.replace(sample.sidecar.video, frames=49)
    audio = msgspec.structs.replace(sample.sidecar.audio, samples=96_001)
    wrong = msgspec.structs.replace(bare(sample.sidecar), video=video, audio=audio)
    names = PICTURE_FACTS if member == "mp4" else SOUND_FACTS
    with pytest.raises(MediaRefused, match=rf"sample {sample.sidecar.key}: expected \d+ .*, decoded \d+"):
        measure_facts(wrong, sample.members, names=names)
    cut = {**sample.members, member: sample.members[member][:2000]}
    with pytest.raises(MediaRefused, match=f"sample {sample.sidecar.key}: "):
        measure_facts(bare(sample.sidecar), cut, names=names)


@cache
def jpeg(width: int, height: int) -> bytes:
    """Broad blobs with black bars above and below, an eighth of the height each."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    places = np.random.default_rng(3).uniform(0, 1, (12, 4))
    blobs = [
        80 * (c - 0.5) * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (0.05 + 0.2 * d) ** 2)
        for u, v, c, d in places
    ]
    picture = np.clip(140 + sum(blobs), 60, 220).astype(np.uint8)
    picture[: height // 8] = picture[-(height // 8) :] = 0
    sink = io.BytesIO()
    with av.open(sink, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        stream.codec_context.options = {"qmin": "2", "qmax": "2"}
        for packet in itertools.chain(
            stream.encode(av.VideoFrame.from_ndarray(picture, "gray")), stream.encode(None)
        ):
            container.mux(packet)
    return sink.getvalue()


@pytest.mark.parametrize(("width", "height"), [(160, 120), (641, 481), (1600, 1200)])
def test_pictures_of_any_size_have_hashes_and_a_content_box(width: int, height: int) -> None:
    image = Image(codec="mjpeg", width=width, height=height)
    sidecar = Sidecar(key="p", source=Source(id="0", name="p"), image=image)
    found = measure_facts(sidecar, {"jpg": jpeg(width, height)}).facts
    assert found.measured == IMAGE_FACTS
    reference = measure_facts(
        msgspec.structs.replace(sidecar, image=msgspec.structs.replace(image, width=320, height=240)),
        {"jpg": jpeg(320, 240)},
    ).facts
    assert np.bitwise_count(found.hash_words ^ reference.hash_words)[0] <= 4
    bar = height // 8
    assert found.content_box == pytest.approx((0, bar, width, height - bar), abs=1 + height / 60)


def test_clips_of_others_of_odd_sizes_and_uneven_times_have_one_number_a_frame(
    tmp_path: Path, ffmpeg: FFmpeg
) -> None:
    path = tmp_path / "a.mp4"
    uneven = "testsrc2=s=321x241:r=20:d=2,setpts='PTS+0.02*mod(N,3)/TB'"
    ffmpeg("-f", "lavfi", "-i", uneven, "-pix_fmt", "yuv444p", "-c:v", "libx264", "-fps_mode", "vfr", path)
    with av.open(path) as container:
        frames = sum(1 for _ in container.decode(video=0))
    video = Video(
        codec="h264",
        width=321,
        height=241,
        frames=frames,
        rate=(20, 1),
        matrix="bt709",
        gop=250,
        packets=Packets(offset=b"", size=b"", key=b""),
    )
    sidecar = Sidecar(key="k", source=Source(id="0", name="k"), video=video)
    facts = measure_facts(sidecar, {"mp4": path.read_bytes()}).facts
    assert len(facts.motion_curve) == len(facts.luma_curve) == frames == 40
    assert len(facts.hash_words) == int((frames - 1) / Fraction(20)) + 1 == 2
