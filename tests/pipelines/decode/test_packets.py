"""The default backend: exact pictures from kept decoders, whatever was decoded before, and no frame too many."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.decode.conftest import (
    FRAMES,
    GOP,
    WINDOW,
    X264,
    Clip,
    crop,
    float_rgb,
    make_clip,
    make_plan,
    with_member,
    with_video,
)
from unreel.pipelines.decode import avcodec, make_backend
from unreel.pipelines.decode.buffers import Buffers
from unreel.pipelines.decode.packets import Packets
from unreel.pipelines.decode.pyav import PacketDecoder
from unreel.pipelines.ops.yuv import yuv_to_rgb
from unreel.pipelines.plan import Window, decode_cost
from unreel.shards.sample import pack_column

HEVC = ("-c:v", "libx265", "-x265-params", "bframes=0:log-level=none:open-gop=0:keyint=16:min-keyint=16")


def exact(decoder: PacketDecoder, clip: Clip, frames: list[int]) -> bool:
    """Whether `frames` of `clip` are, bit for bit, what `ffmpeg -f rawvideo` gives."""
    planes = decoder.decode_yuv(clip.sample, np.array(frames, np.int32))
    return all(np.array_equal(got, expected[frames]) for got, expected in zip(planes, clip.yuv, strict=True))


@pytest.mark.parametrize("threads", [1, 4])
def test_yuv_is_bit_exact_over_mixed_clips_in_random_order(mixed: list[Clip], threads: int) -> None:
    assert len({clip.sample.sidecar.video.extradata for clip in mixed}) > 6
    rng = random.Random(threads)
    jobs = []
    for _ in range(400):
        start = rng.randrange(FRAMES - 8)
        jobs.append((rng.choice(mixed), [start, start + 7, *rng.sample(range(FRAMES), 3)]))
    local = threading.local()

    def one(job: tuple[Clip, list[int]]) -> bool:
        if not hasattr(local, "decoder"):
            local.decoder = PacketDecoder()
        return exact(local.decoder, *job)

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(one, jobs)) == len(jobs)


def whole_planes(backend: Packets, clips: list[Clip], frames: list[list[int]]) -> list[bool]:
    """Whether each clip's frames come out of the batch, bit for bit, as `ffmpeg -f rawvideo` gives them."""
    video = clips[0].sample.sidecar.video
    plans = [make_plan(row, window=Window(0, 0, video.height, video.width)) for row in frames]
    decoded = backend.decode([clip.sample for clip in clips], plans, pixels="yuv420")
    assert not decoded.failures and decoded.frames is None
    luma, chroma = decoded.yuv.luma.numpy(), decoded.yuv.chroma.numpy()
    return [
        np.array_equal(luma[row], clip.yuv[0][frames[row]])
        and np.array_equal(chroma[row, :, 0], clip.yuv[1][frames[row]])
        and np.array_equal(chroma[row, :, 1], clip.yuv[2][frames[row]])
        for row, clip in enumerate(clips)
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_planes_of_whole_batches_are_bit_exact_in_random_order(mixed: list[Clip], threads: int) -> None:
    backend = make_backend("packets", threads=threads)
    assert backend.fallback is None, "the loop without the GIL must work with the locked wheels"
    rng = random.Random(threads)
    by_size: dict[int, list[Clip]] = {}
    for clip in mixed:
        by_size.setdefault(clip.sample.sidecar.video.width, []).append(clip)
    for _ in range(60):
        clips = rng.choices(rng.choice(list(by_size.values())), k=7)
        frames = [rng.choices(range(FRAMES), k=5) for _ in clips]
        assert all(whole_planes(backend, clips, frames))
    backend.close()


def test_the_fallback_says_so_and_gives_the_same_pictures(
    mixed: list[Clip], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [clip.sample for clip in mixed[:4]]
    plans = [make_plan([20, 3, 3, 39], start=100) for _ in samples]
    quick = make_backend("packets", threads=2).decode(samples, plans)
    monkeypatch.setattr("unreel.pipelines.decode.packets.why_not", lambda: "libavcodec 99")
    slow = make_backend("packets", threads=2)
    assert slow.fallback == "libavcodec 99" and "libavcodec 99" in caplog.text
    decoded = slow.decode(samples, plans)
    assert np.array_equal(decoded.frames, quick.frames) and np.array_equal(decoded.audio, quick.audio)


def test_rgb_is_the_exact_value_rounded(mixed: list[Clip], bt601: dict[str, list[Clip]]) -> None:
    backend = make_backend("packets", threads=2)
    for clip in (mixed[0], bt601["vp9"][0], bt601["mjpeg"][0]):
        decoded = backend.decode([clip.sample], [make_plan([0, 21])])
        reference = crop(float_rgb(clip.yuv, clip.sample.sidecar.video.matrix))[[0, 21]]
        assert np.abs(decoded.frames[0].numpy() - reference).max() < 0.501


def test_planes_through_the_torch_reference_are_the_rgb(mixed: list[Clip]) -> None:
    backend = make_backend("packets", threads=1)
    samples, window = [clip.sample for clip in mixed[:3]], Window(4, 6, 48, 56)
    plans = [make_plan([1, 30], window=window) for _ in samples]
    planes = backend.decode(samples, plans, pixels="yuv420").yuv
    assert np.array_equal(yuv_to_rgb(planes), backend.decode(samples, plans).frames)


def test_planes_are_cut_at_even_pixels_only(mixed: list[Clip]) -> None:
    decoded = make_backend("packets", threads=1).decode(
        [mixed[0].sample] * 2, [make_plan([1]), make_plan([1], window=Window(4, 6, 48, 56))], pixels="yuv420"
    )
    assert set(decoded.failures) == {0} and "even" in str(decoded.failures[0])
    assert not decoded.yuv.luma[0].any() and decoded.yuv.luma[1].any()


def test_memory_is_used_again_only_when_nobody_holds_it() -> None:
    buffers = Buffers()
    held = buffers.take((4, 100))
    held.fill_(7)
    view, address = held[2:], held.data_ptr()
    del held
    other = buffers.take((4, 100))
    other.zero_()
    assert other.data_ptr() != address and bool((view == 7).all())
    del view
    assert address in {buffers.take((4, 100)).data_ptr() for _ in range(2)}


def test_another_major_version_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    avcodec._libraries.cache_clear()
    monkeypatch.setattr("av.library_versions", {"libavcodec": (61, 0, 0), "libavutil": (60, 0, 0)})
    with pytest.raises(avcodec.DecoderUnavailable, match=r"libavcodec 61.0.0: tested with 62"):
        avcodec._libraries()


def test_codecs_take_turns_in_one_decoder(
    mixed: list[Clip], bt601: dict[str, list[Clip]], tmp_path: Path
) -> None:
    hevc = [
        make_clip(tmp_path, f"hevc-{seed}", size=size, codec=HEVC, matrix="bt709", seed=seed)
        for seed, size in enumerate([(176, 128), (64, 96)])
    ]
    decoder = PacketDecoder()
    for _ in range(2):
        for clip in (
            hevc[0],
            mixed[0],
            bt601["vp9"][0],
            hevc[1],
            bt601["mjpeg"][0],
            mixed[5],
            bt601["vp9"][1],
        ):
            assert exact(decoder, clip, [20, 3, 39]), clip.sample.sidecar.key


def test_length_prefixes_of_two_bytes(mixed: list[Clip]) -> None:
    decoder = PacketDecoder()
    for clip in (mixed[4], short_prefixes(mixed[4]), mixed[5], short_prefixes(mixed[7])):
        assert exact(decoder, clip, [0, 17, 33])


def short_prefixes(clip: Clip) -> Clip:
    """The same H.264 with two bytes instead of four in front of each NAL unit, as some muxers write it."""
    video = clip.sample.sidecar.video
    member, packets = bytes(clip.sample.members["mp4"]), []
    for offset, size in zip(video.packets.offsets.tolist(), video.packets.sizes.tolist(), strict=True):
        at, packet = offset, b""
        while at < offset + size:
            length = int.from_bytes(member[at : at + 4], "big")
            packet += length.to_bytes(2, "big") + member[at + 4 : at + 4 + length]
            at += 4 + length
        packets.append(packet)
    sizes = np.array([len(packet) for packet in packets])
    table = {"offset": np.cumsum(sizes) - sizes, "size": sizes}
    header = bytearray(video.extradata)
    header[4] = 0xFC | 1
    columns = {name: pack_column(name, column) for name, column in table.items()}
    video_packets = type(video.packets)(key=video.packets.key, **columns)
    sample = with_video(clip.sample, extradata=bytes(header), packets=video_packets)
    return Clip(with_member(sample, mp4=b"".join(packets)), clip.yuv, clip.sound)


@pytest.mark.parametrize(
    "frames", [[0], [15], [16], [31, 2], [5, 5, 5], list(range(16, 32)), [1, 20, 39], list(range(40))]
)
def test_only_the_runs_of_the_plan_are_decoded(mixed: list[Clip], frames: list[int]) -> None:
    clip, decoder = mixed[3], PacketDecoder()
    assert exact(decoder, clip, frames)
    cost = decode_cost(np.array(frames, np.int32), clip.sample.sidecar.video.packets)
    assert decoder.produced == cost
    assert cost == sum(
        max(f for f in set(frames) if f // GOP == gop) % GOP + 1 for gop in {f // GOP for f in frames}
    )


@pytest.mark.parametrize("window", [Window(1, 3, 33, 21), Window(64, 99, 64, 77), Window(0, 0, 128, 176)])
def test_a_pixel_has_one_value_through_every_window(mixed: list[Clip], window: Window) -> None:
    clip = next(clip for clip in mixed if clip.sample.sidecar.video.width == 176)
    whole, part = (
        np.empty((3, 128, 176, 3), np.uint8),
        np.empty((3, window.height, window.width, 3), np.uint8),
    )
    decoder = PacketDecoder()
    everything = make_plan([3, 30, 21], window=Window(0, 0, 128, 176))
    decoder.decode(clip.sample, [(everything, (whole,))])
    decoder.decode(clip.sample, [(make_plan([3, 30, 21], window=window), (part,))])
    assert np.array_equal(part, crop(whole, window))


def test_a_decoder_is_right_again_after_a_damaged_sample(mixed: list[Clip]) -> None:
    clip, decoder = mixed[0], PacketDecoder()
    data = bytearray(clip.sample.members["mp4"])
    packets = clip.sample.sidecar.video.packets
    start, stop = int(packets.offsets[20]), int(packets.offsets[20] + packets.sizes[20])
    # Behind the slice header: FFmpeg paints over such damage unless it is told not to.
    data[start + 30 : stop] = random.Random(0).randbytes(stop - start - 30)
    damaged = with_member(clip.sample, mp4=bytes(data))
    for _ in range(3):
        with pytest.raises(Packets.errors):
            decoder.decode_yuv(damaged, np.array([25], np.int32))
        assert exact(decoder, clip, [25, 2])
    # Frames in front of the damage, and behind the next key frame, are not touched by it.
    assert exact(decoder, Clip(damaged, clip.yuv, clip.sound), [19, 33])


def test_b_frames_are_declined_by_name(tmp_path: Path) -> None:
    codec = tuple(
        "2" if option == "0" and X264[at - 1] == "-bf" else option for at, option in enumerate(X264)
    )
    clip = make_clip(tmp_path, "b", size=(64, 64), codec=codec, matrix="bt709", seed=1)
    sample = with_video(clip.sample, b_frames=True)
    backend = make_backend("packets", threads=1)
    assert "B-frames" in backend.declines(sample.sidecar)
    assert "B-frames" in str(backend.decode([sample], [make_plan([1, 2])]).failures[0])
    backend.close()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 96}, "the sidecar says 96x"),
        ({"codec": "av1"}, "not av1"),
        ({"matrix": "bt2020nc"}, "not bt2020nc"),
        ({"extradata": b"\1abc"}, "cut short"),
        ({"extradata": b""}, "starts with nothing"),
        ({"extradata": b"\0\0\0\1\x67abc"}, "no MP4 configuration record"),
    ],
)
def test_a_sidecar_that_does_not_fit_the_bytes_is_a_failed_row(
    mixed: list[Clip], fields: dict[str, object], reason: str
) -> None:
    clip = next(clip for clip in mixed if clip.sample.sidecar.video.width == 80)
    backend = make_backend("packets", threads=2)
    samples = [clip.sample, with_video(clip.sample, **fields), clip.sample]
    decoded = backend.decode(samples, [make_plan([1, 20], window=WINDOW)] * 3)
    assert set(decoded.failures) == {1}
    assert reason in str(decoded.failures[1])
    assert "test.tar" in str(decoded.failures[1]) and clip.sample.sidecar.key in str(decoded.failures[1])
    backend.close()
