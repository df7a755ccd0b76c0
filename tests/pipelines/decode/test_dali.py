"""DALI's own traps, and the one graph whose device is a parameter."""

import numpy as np
import pytest
import torch

from tests.pipelines.decode.conftest import AUDIO_RATE, WINDOW, Clip, crop, float_rgb, make_plan
from unreel.pipelines.decode import available, make_backend
from unreel.pipelines.decode.backend import batch_shape

pytestmark = pytest.mark.skipif(available()["dali"] is not None, reason=str(available()["dali"]))


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
    from unreel.pipelines.decode.dali import _Batch, build_graph

    sample, plan = bt601["vp9"][0].sample, make_plan([500])
    cpu = torch.device("cpu")
    batch = _Batch([sample], [plan], batch_shape([sample], [plan]), cpu)
    constant = build_graph(batch.shape, rows=1, threads=1, device=cpu, pad_mode="constant")
    assert not batch.run(constant, [0]).frames.any(), "the trap is still there: black without an error"
    with pytest.raises(RuntimeError, match="out-of-bounds frame index 500"):
        batch.run(build_graph(batch.shape, rows=1, threads=1, device=cpu), [0])


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


def test_several_culprits_in_one_batch_are_all_named(bt601: dict[str, list[Clip]]) -> None:
    from tests.pipelines.decode.conftest import with_member

    backend = make_backend("dali", threads=2)
    samples = [clip.sample for clip in bt601["vp9"]] * 3
    for row in (0, 4, 5):
        samples[row] = with_member(samples[row], mp4=b"not a picture" * 99)
    decoded = backend.decode(samples, [make_plan([7, 30])] * 9)
    assert set(decoded.failures) == {0, 4, 5}
    assert all("failed" in str(error) for error in decoded.failures.values())
    assert decoded.frames[[1, 2, 3, 6, 7, 8]].flatten(1).any(1).all() and not decoded.frames[[0, 4, 5]].any()


def test_an_unknown_device_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="dali decodes on cpu or cuda"):
        make_backend("dali", threads=1, device="meta")


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
