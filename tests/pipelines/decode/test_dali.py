"""DALI's own traps, and the one graph whose device is a parameter."""

import threading
from collections.abc import Iterator
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.pipelines.decode.conftest import AUDIO_RATE, WINDOW, Clip, crop, float_rgb, make_plan, with_member
from tests.pipelines.decode.test_still_pictures import KINDS, SHUFFLED, jpeg, pillow, still, whole
from unreel.pipelines.decode import available, make_backend
from unreel.pipelines.decode.backend import batch_shape
from unreel.pipelines.plan import Window
from unreel.shards.reader import EncodedSample

if available()["dali"] is not None:
    pytest.skip(str(available()["dali"]), allow_module_level=True)
from unreel.pipelines.decode.dali import Dali


@pytest.mark.parametrize("codec", ["vp9", "mjpeg"])
def test_pictures_of_both_cpu_codecs_are_bt601(bt601: dict[str, list[Clip]], codec: str) -> None:
    backend = make_backend("dali", threads=2)
    clips = bt601[codec]
    decoded = backend.decode([clip.sample for clip in clips], [make_plan([0, 17, 39])] * len(clips))
    assert not decoded.failures
    for row, clip in enumerate(clips):
        error = np.abs(decoded.frames[row].numpy() - crop(float_rgb(clip.yuv, "smpte170m"))[[0, 17, 39]])
        assert error.mean() <= 1.6 and error.max() <= 10


def test_padding_is_off_since_its_default_answers_with_black(bt601: dict[str, list[Clip]]) -> None:
    from unreel.pipelines.decode.dali import GraphSettings, _Batch, build_graph

    sample, plan = bt601["vp9"][0].sample, make_plan([500])
    cpu = torch.device("cpu")
    batch = _Batch([sample], [[plan]], [batch_shape([sample], [plan])], cpu)
    constant = build_graph(batch.shapes, GraphSettings(1, cpu, pad_mode="constant"), rows=1)
    assert not batch.run(constant, [0]).frames[0].any(), "the trap is still there: black without an error"
    with pytest.raises(RuntimeError, match="out-of-bounds frame index 500"):
        batch.run(build_graph(batch.shapes, GraphSettings(1, cpu), rows=1), [0])


def test_cpu_declines_what_it_cannot_decode_or_would_discolour(
    mixed: list[Clip], bt601: dict[str, list[Clip]]
) -> None:
    import msgspec

    backend = make_backend("dali", threads=1)
    assert "not h264" in backend.declines(mixed[0].sample.sidecar)
    sidecar = bt601["vp9"][0].sample.sidecar
    assert backend.declines(sidecar) is None
    tagged = msgspec.structs.replace(sidecar, video=msgspec.structs.replace(sidecar.video, matrix="bt709"))
    assert "BT.601" in backend.declines(tagged)
    decoded = backend.decode([mixed[0].sample, bt601["vp9"][0].sample], [make_plan([2])] * 2)
    assert set(decoded.failures) == {0} and decoded.frames[1].any()


def test_batches_may_grow_and_shrink(bt601: dict[str, list[Clip]]) -> None:
    backend = make_backend("dali", threads=2)
    clip = bt601["vp9"][0]
    first = backend.decode([clip.sample], [make_plan([7], start=5)])
    for rows in (3, 1, 9, 2):
        decoded = backend.decode([clip.sample] * rows, [make_plan([7], start=5)] * rows)
        assert torch.equal(decoded.frames, first.frames.expand(rows, -1, -1, -1, -1))
        assert torch.equal(decoded.audio, first.audio.expand(rows, -1, -1))
    assert first.audio.shape[-1] == 4_000 < AUDIO_RATE and first.frames.shape[2:4] == (
        WINDOW.height,
        WINDOW.width,
    )


def test_an_unknown_device_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="dali decodes on cpu or cuda"):
        make_backend("dali", threads=1, device="meta")


@pytest.fixture
def dali() -> Iterator[Dali]:
    backend = make_backend("dali", threads=2)
    assert isinstance(backend, Dali)
    yield backend
    backend.close()


def stills(count: int = 5, size: tuple[int, int] = (95, 67)) -> list[EncodedSample]:
    return [still(f"s{seed}", jpeg("4:2:0", *size, seed), *size) for seed in range(count)]


def unseen_damage(sample: EncodedSample, kind: str) -> EncodedSample:
    """Damage that no screen sees and the decoder refuses. Behind its tables, libjpeg-turbo paints over damage in JPEG."""
    if kind == "still":
        data = bytearray(sample.members["jpg"])
        table = data.index(b"\xff\xc4") + 4
        data[table : table + 17] = b"\xff" * 17
        return with_member(sample, jpg=bytes(data))
    data, packets = bytearray(sample.members["mp4"]), sample.sidecar.video.packets
    for offset, size in zip(packets.offsets.tolist(), packets.sizes.tolist(), strict=True):
        data[offset : offset + size] = b"\xff" * size
    return with_member(sample, mp4=bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_still_pictures_are_those_of_pillow(dali: Dali, kind: str) -> None:
    """Both decode with libjpeg-turbo, so a pixel that differs is a mistake of the graph."""
    size = (64, 64) if kind in SHUFFLED else (95, 67)
    samples = [still(f"s{seed}", jpeg(kind, *size, seed), *size) for seed in range(3)]
    decoded = dali.decode(samples, [whole(size)] * 3)
    assert not decoded.failures and decoded.frames.shape == (3, 1, size[1], size[0], 3)
    cut = dali.decode(samples, [make_plan([0, 0], window=Window(5, 7, 33, 21))] * 3).frames
    for row, sample in enumerate(samples):
        reference = pillow(bytes(sample.members["jpg"]))
        assert np.abs(decoded.frames[row, 0].numpy() - reference).max() <= 1
        assert torch.equal(cut[row, 0], decoded.frames[row, 0, 5:38, 7:28]) and torch.equal(
            cut[row, 1], cut[row, 0]
        )


def test_stills_and_videos_of_one_batch(dali: Dali, bt601: dict[str, list[Clip]]) -> None:
    videos, pictures, plan = [clip.sample for clip in bt601["vp9"]], stills(2), make_plan([0])
    samples = [pictures[0], videos[0], videos[1], pictures[1], videos[2]]
    together = dali.decode(samples, [plan] * 5)
    assert not together.failures
    for row, sample in enumerate(samples):
        assert torch.equal(dali.decode([sample], [plan]).frames[0], together.frames[row])


@pytest.mark.parametrize("kind", ["still", "video"])
def test_bad_rows_anywhere_leave_the_others_and_the_next_batch_alone(
    dali: Dali, bt601: dict[str, list[Clip]], kind: str
) -> None:
    good = stills(4) if kind == "still" else [bt601["vp9"][at % 3].sample for at in range(4)]
    plans = [make_plan([0])] * len(good)
    clean = dali.decode(good, plans).frames.clone()
    rows = range(len(good))
    for bad in [*((row,) for row in rows), *combinations(rows, 2), tuple(rows)]:
        samples = [unseen_damage(sample, kind) if row in bad else sample for row, sample in enumerate(good)]
        decoded = dali.decode(samples, plans)
        assert set(decoded.failures) == set(bad)
        assert all(good[row].sidecar.key in str(decoded.failures[row]) for row in bad)
        others = [row for row in rows if row not in bad]
        assert torch.equal(decoded.frames[others], clean[others]) and not decoded.frames[list(bad)].any()
        assert torch.equal(dali.decode(good, plans).frames, clean)


def test_what_shows_without_decoding_costs_no_run(dali: Dali, monkeypatch: pytest.MonkeyPatch) -> None:
    good, runs = stills(4), []
    run = dali._run
    monkeypatch.setattr(dali, "_run", lambda *given: runs.append(given[1]) or run(*given))
    data = bytes(good[0].members["jpg"])
    for broken in (b"", b"no picture" * 9, data[:-40], jpeg("4:2:0", 64, 64)):
        decoded = dali.decode([with_member(good[0], jpg=broken), *good[1:]], [make_plan([0])] * 4)
        assert set(decoded.failures) == {0}
    assert runs == [[1, 2, 3]] * 4


def test_a_run_that_hangs_fails_its_rows_and_the_next_pipeline_is_another(
    bt601: dict[str, list[Clip]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dali, ending = Dali(threads=1, patience=0.2), threading.Event()
    samples, plans = stills(3), [make_plan([0])] * 3
    hanging = SimpleNamespace(feed_input=lambda *_: None, run=lambda _: ending.wait(60))
    with monkeypatch.context() as patch:
        patch.setattr("unreel.pipelines.decode.dali.build_graph", lambda *_, **__: hanging)
        decoded = dali.decode(samples, plans)
    ending.set()
    assert set(decoded.failures) == {0, 1, 2} and not decoded.frames.any()
    assert "no answer in 0.2 s" in str(decoded.failures[1]) and "s1" in str(decoded.failures[1])
    patient = Dali(threads=1)
    patient._graphs = dali._graphs
    assert not patient.decode(samples, plans).failures, "the pipeline that hung must not be used again"


def test_a_bug_leaves_no_pipeline_behind(dali: Dali, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise IndexError("a bug")

    samples, plans = stills(2), [make_plan([0])] * 2
    clean = dali.decode(samples, plans).frames.clone()
    with monkeypatch.context() as patch:
        patch.setattr("unreel.pipelines.decode.dali._Batch.run", broken)
        with pytest.raises(IndexError):
            dali.decode(samples, plans)
    assert not dali._graphs and torch.equal(dali.decode(samples, plans).frames, clean)


def test_pictures_outlive_the_next_batches(dali: Dali) -> None:
    """They are handed over without a copy, so what DALI does with their memory must wait for us."""
    samples = stills(5)
    first = dali.decode(samples[:2], [make_plan([0])] * 2).frames
    kept = first.clone()
    for _ in range(5):
        dali.decode(samples[3:], [make_plan([0])] * 2)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("load", [-0.1, 1.5])
def test_a_share_outside_of_0_to_1_is_a_mistake(load: float) -> None:
    with pytest.raises(ValueError, match="hw_decoder_load"):
        Dali(threads=1, hw_decoder_load=load)


@pytest.mark.gpu
@pytest.mark.parametrize("load", [0.0, 0.65, 1.0])
def test_still_pictures_of_nvjpeg_are_near_pillow_on_the_callers_stream(load: float) -> None:
    backend, samples = Dali(threads=4, device="cuda", hw_decoder_load=load), stills(8)
    plans = [whole((95, 67))] * len(samples)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        sums = [backend.decode(samples, plans).frames.long().sum() for _ in range(20)]
        decoded = backend.decode(samples, plans)
    stream.synchronize()
    assert not decoded.failures and decoded.frames.is_cuda
    assert len({int(value) for value in sums}) == 1, (
        "read before it was written, or overwritten while it was read"
    )
    for row, sample in enumerate(samples):
        error = np.abs(decoded.frames[row, 0].cpu().numpy() - pillow(bytes(sample.members["jpg"])))
        assert error.mean() <= 1.5


@pytest.mark.gpu
def test_h264_on_nvdec_is_near_the_float_reference(mixed: list[Clip]) -> None:
    backend = make_backend("dali", threads=4, device="cuda")
    clips = [clip for clip in mixed if clip.sample.sidecar.video.width == 176]
    decoded = backend.decode(
        [clip.sample for clip in clips], [make_plan([39, 0, 17, 17], start=9)] * len(clips)
    )
    assert not decoded.failures and decoded.frames.is_cuda and decoded.audio.is_cuda
    for row, clip in enumerate(clips):
        reference = crop(float_rgb(clip.yuv, "bt709"))[[39, 0, 17, 17]]
        assert np.abs(decoded.frames[row].cpu().numpy() - reference).mean() <= 1.6
