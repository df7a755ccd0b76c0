"""What every backend promises, asked of each one that works on this machine."""

import numpy as np
import pytest
import torch

from tests.pipelines.decode.conftest import (
    FRAMES,
    WINDOW,
    Clip,
    Damage,
    crop,
    float_rgb,
    make_plan,
    make_sample,
    with_member,
)
from unreel.pipelines.decode import BACKENDS, Decoded, make_backend
from unreel.pipelines.decode.backend import DecodeBackend
from unreel.pipelines.plan import Window

BOUND = {"bt709": (1.5, 4.0), "smpte170m": (1.6, 10.0)}
"""Mean and largest distance from the float reference, in steps of 8 bits. DALI interpolates chroma, the others repeat it."""


def distance(decoded: Decoded, row: int, clip: Clip, frames: list[int], matrix: str) -> np.ndarray:
    reference = crop(float_rgb(clip.yuv, matrix))[frames]
    return np.abs(decoded.frames[row].numpy() - reference)


def test_pictures_are_near_the_float_reference(backend: DecodeBackend, clips: list[Clip]) -> None:
    frames = [[0, 1, 2, 3], [16, 25, 30, 39], [5, 21, 22, 36]]
    decoded = backend.decode([clip.sample for clip in clips[:3]], [make_plan(row) for row in frames])
    assert not decoded.failures
    assert decoded.frames.dtype == torch.uint8
    assert decoded.frames.shape == (3, 4, WINDOW.height, WINDOW.width, 3)
    for row, clip in enumerate(clips[:3]):
        matrix = clip.sample.sidecar.video.matrix
        error = distance(decoded, row, clip, frames[row], matrix)
        assert error.mean() <= BOUND[matrix][0] and error.max() <= BOUND[matrix][1]
        other = {"bt709": "smpte170m", "smpte170m": "bt709"}[matrix]
        assert distance(decoded, row, clip, frames[row], other).mean() > 4, (
            "the two matrices must differ here"
        )


def test_rows_do_not_depend_on_their_batch(backend: DecodeBackend, clips: list[Clip]) -> None:
    samples = [clip.sample for clip in clips[:3]]
    plans = [make_plan([row, 20 + row, 33], start=100 * row) for row in range(3)]
    together = backend.decode(samples, plans)
    for row in (2, 0):
        alone = backend.decode(samples[row : row + 1], plans[row : row + 1])
        assert torch.equal(alone.frames[0], together.frames[row])
        assert torch.equal(alone.audio[0], together.audio[row])


def test_frames_come_in_the_order_of_the_plan(backend: DecodeBackend, clips: list[Clip]) -> None:
    sample = clips[0].sample
    everything = backend.decode([sample], [make_plan(list(range(FRAMES)))]).frames[0]
    frames = [39, 0, 5, 5, 17, 16, 5, 38]
    assert torch.equal(backend.decode([sample], [make_plan(frames)]).frames[0], everything[frames])


def test_sound_is_exact(backend: DecodeBackend, clips: list[Clip]) -> None:
    starts = [0, 12_345, len(clips[2].sound) - 4_000]
    decoded = backend.decode(
        [clip.sample for clip in clips[:3]], [make_plan([], start=start) for start in starts]
    )
    assert decoded.frames is None and not decoded.failures
    assert decoded.audio.shape == (3, 1, 4_000) and decoded.audio.dtype == torch.float32
    for row, start in enumerate(starts):
        expected = clips[row].sound[start : start + 4_000].astype(np.float32) / 32768
        assert np.array_equal(decoded.audio[row, 0].numpy(), expected)


def test_a_damaged_sample_fails_alone(backend: DecodeBackend, clips: list[Clip], damage: Damage) -> None:
    samples = [clip.sample for clip in clips[:3]]
    plans = [make_plan([3, 20, 38], start=100) for _ in samples]
    right = backend.decode(samples, plans)
    decoded = backend.decode([samples[0], damage(samples[1]), samples[2]], plans)
    assert set(decoded.failures) == {1}
    assert f"test.tar, sample {samples[1].sidecar.key}, {backend.name}" in str(decoded.failures[1])
    for got, expected in ((decoded.frames, right.frames), (decoded.audio, right.audio)):
        assert torch.equal(got[[0, 2]], expected[[0, 2]])
        assert not got[1].any()
    assert torch.equal(backend.decode(samples, plans).frames, right.frames)


def test_damaged_sound_fails_its_row(backend: DecodeBackend, clips: list[Clip]) -> None:
    samples = [clip.sample for clip in clips[:2]]
    samples[0] = with_member(samples[0], flac=bytes(samples[0].members["flac"][:3_000]))
    decoded = backend.decode(samples, [make_plan([1], start=60_000) for _ in samples])
    assert set(decoded.failures) == {0}
    assert not decoded.frames[0].any() and decoded.frames[1].any() and decoded.audio[1].any()


def test_all_rows_may_fail(backend: DecodeBackend, clips: list[Clip], damage: Damage) -> None:
    decoded = backend.decode([damage(clips[0].sample)] * 3, [make_plan([3, 38])] * 3)
    assert set(decoded.failures) == {0, 1, 2} and not decoded.frames.any()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (make_plan([0, FRAMES]), f"it has {FRAMES}"),
        (make_plan([-1, 0]), "-1"),
        (make_plan([0, 1], window=Window(30, 30, WINDOW.height, WINDOW.width)), "does not fit"),
    ],
)
def test_a_plan_beyond_the_sample_is_refused_and_not_black(
    backend: DecodeBackend, clips: list[Clip], plan, reason: str
) -> None:
    clip = min(clips, key=lambda clip: clip.sample.sidecar.video.width)
    decoded = backend.decode([clip.sample] * 2, [plan, make_plan([0, 1])])
    assert set(decoded.failures) == {0}
    assert reason in str(decoded.failures[0])


def test_a_missing_member_fails_its_row(backend: DecodeBackend, clips: list[Clip]) -> None:
    picture_only = make_sample("mute", {"mp4": b""}, clips[0].sample.sidecar.video, 0)
    decoded = backend.decode([picture_only, clips[0].sample], [make_plan([], start=0)] * 2)
    assert set(decoded.failures) == {0} and "has none" in str(decoded.failures[0])


def test_rows_that_are_no_batch_are_a_mistake_of_the_caller(
    backend: DecodeBackend, clips: list[Clip]
) -> None:
    sample = clips[0].sample
    for plans in (
        [make_plan([1]), make_plan([1, 2])],
        [make_plan([1]), make_plan([1], start=0)],
        [make_plan([1])],
        [],
    ):
        with pytest.raises(ValueError, match=r"one plan a sample|rows of one batch differ"):
            backend.decode([sample, sample], plans)


def test_a_backend_names_itself_and_its_libraries(backend: DecodeBackend) -> None:
    assert isinstance(backend, DecodeBackend)
    assert backend.name in BACKENDS
    assert any(character.isdigit() for character in backend.version)


def test_no_threads_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="threads 0"):
        make_backend("packets", threads=0)
