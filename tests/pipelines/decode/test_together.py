"""Several tasks from one decode: what each gets is what it gets alone, bit for bit, also where samples are damaged."""

import random

import numpy as np
import pytest
import torch

from tests.pipelines.decode.conftest import FRAMES, WINDOW, Clip, Damage, make_plan, with_member
from tests.pipelines.decode.test_still_pictures import jpeg, still
from unreel.pipelines.decode import Decoded, available, make_backend
from unreel.pipelines.decode.backend import DecodeBackend, TogetherBackend
from unreel.pipelines.decode.isolated import Isolated
from unreel.pipelines.decode.together import decode_together
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.plans import cost_of
from unreel.shards.reader import EncodedSample

Wanted = list[list[Plan | None]]

PAINTERS = dict.fromkeys(("decord", "torchcodec"), "paints over damage, by what it decoded before")


def plans_of_three(rows: int, seed: int = 0) -> Wanted:
    """Pictures; one picture through another window and sound; other sound. Some rows are missing for some tasks."""
    rng = random.Random(seed)
    many, one, sound = [], [], []
    for _ in range(rows):
        many.append(make_plan([*rng.choices(range(FRAMES), k=4), 7]))
        window = Window(2 * rng.randrange(4), 2 * rng.randrange(4), 32, 40)
        one.append(
            make_plan([rng.randrange(FRAMES)], window=window, start=rng.randrange(60_000), length=6_000)
        )
        sound.append(Plan(sound=Span(rng.randrange(70_000), 3_000)))
    wanted: Wanted = [many, one, sound]
    wanted[0][1] = wanted[1][2] = wanted[2][1] = None
    return wanted


def alone(
    backend: DecodeBackend, samples: list[EncodedSample], plans: list[Plan | None], pixels: str = "rgb"
) -> Decoded:
    rows = [row for row, plan in enumerate(plans) if plan is not None]
    return backend.decode([samples[row] for row in rows], [plans[row] for row in rows], pixels=pixels)


def check_same(
    backend: DecodeBackend, samples: list[EncodedSample], wanted: Wanted, pixels: str = "rgb"
) -> list[Decoded]:
    together = decode_together(backend, samples, wanted, pixels=pixels)
    for found, plans in zip(together, wanted, strict=True):
        rows = [row for row, plan in enumerate(plans) if plan is not None]
        empty = [row for row, plan in enumerate(plans) if plan is None]
        expected = alone(backend, samples, plans, pixels)
        assert {row: str(error) for row, error in found.failures.items()} == {
            rows[place]: str(error) for place, error in expected.failures.items()
        }
        for one, other in zip(found.tensors, expected.tensors, strict=True):
            assert torch.equal(one[rows], other) and not one[empty].any()
    return together


@pytest.fixture
def samples(clips: list[Clip]) -> list[EncodedSample]:
    return [clip.sample for clip in (clips * 3)[:7]]


def test_each_task_gets_what_it_gets_alone(backend: DecodeBackend, samples: list[EncodedSample]) -> None:
    assert isinstance(backend, TogetherBackend), "every backend of ours shares"
    for seed in range(3):
        found = check_same(backend, samples, plans_of_three(len(samples), seed))
        assert not any(decoded.failures for decoded in found)
        assert found[0].frames.shape == (7, 5, WINDOW.height, WINDOW.width, 3) and found[0].audio is None
        assert found[1].frames.shape == (7, 1, 32, 40, 3) and found[1].audio.shape == (7, 1, 6_000)
        assert found[2].frames is None and found[2].audio.shape == (7, 1, 3_000)


def test_damage_costs_each_task_what_it_costs_it_alone(
    backend: DecodeBackend, samples: list[EncodedSample], damage: Damage
) -> None:
    if backend.name in PAINTERS and "overwritten" in damage.__name__:
        pytest.skip(PAINTERS[backend.name])
    samples[3], samples[4] = damage(samples[3]), with_member(samples[4], flac=b"")
    found = check_same(backend, samples, plans_of_three(len(samples)))
    assert [set(decoded.failures) for decoded in found] == [{3}, {3, 4}, {4}]


def test_damage_that_one_task_does_not_meet_is_not_its_failure(
    backend: DecodeBackend, samples: list[EncodedSample]
) -> None:
    if backend.name in PAINTERS or backend.name == "dali":
        pytest.skip(PAINTERS.get(backend.name, "DALI's decoders look at the whole member"))
    video = samples[0].sidecar.video
    start, stop = int(video.packets.offsets[32]), int(video.packets.offsets[33])
    data = bytearray(samples[0].members["mp4"])
    data[start + 8 : stop] = b"\xa5" * (stop - start - 8)
    samples[0] = with_member(samples[0], mp4=bytes(data))
    wanted: Wanted = [[make_plan([33, 2])] * 7, [make_plan([3, 5])] * 7]
    found = check_same(backend, samples, wanted)
    assert set(found[0].failures) == {0} and not found[1].failures and found[1].frames[0].any()


def test_a_plan_that_does_not_fit_fails_its_own_task(
    backend: DecodeBackend, samples: list[EncodedSample]
) -> None:
    wanted = plans_of_three(len(samples))
    wanted[0][4] = make_plan([0, 1, 2, 3, FRAMES])
    found = check_same(backend, samples, wanted)
    assert set(found[0].failures) == {4} and not found[1].failures and not found[2].failures


def test_a_task_without_a_single_row_is_a_mistake_of_the_caller(
    backend: DecodeBackend, samples: list[EncodedSample]
) -> None:
    for second in ([None] * 7, [make_plan([1])] * 3):
        with pytest.raises(ValueError, match="one plan a sample"):
            decode_together(backend, samples, [[make_plan([1])] * 7, second])


@pytest.mark.parametrize("native", [True, False])
def test_packets_decodes_each_picture_once(
    mixed: list[Clip], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr("unreel.pipelines.decode.packets.why_not", lambda: "on purpose")
    backend = make_backend("packets", threads=2)
    samples, wanted = [clip.sample for clip in mixed[:7]], plans_of_three(7, seed=5)
    costs = [cost_of(list(plans), sample.sidecar) for sample, *plans in zip(samples, *wanted, strict=True)]
    before = backend.produced
    decode_together(backend, samples, wanted)
    assert backend.produced - before == sum(cost.decoded for cost in costs)
    assert sum(cost.decoded for cost in costs) < sum(sum(cost.alone) for cost in costs)
    check_same(backend, samples, wanted)
    backend.close()


@pytest.mark.parametrize("native", [True, False])
def test_planes_are_shared_too(mixed: list[Clip], native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr("unreel.pipelines.decode.packets.why_not", lambda: "on purpose")
    backend = make_backend("packets", threads=2)
    samples = [clip.sample for clip in mixed[:5]]
    even = [make_plan([1, 30, 1], window=Window(4, 6, 48, 56)) for _ in samples]
    other = [make_plan([row], window=Window(0, 2, 32, 32), start=100) for row in range(5)]
    found = check_same(backend, samples, [even, other], pixels="yuv420")
    assert found[0].yuv.luma.shape == (5, 3, 48, 56) and found[1].yuv.chroma.shape == (5, 1, 2, 16, 16)
    odd = [make_plan([1], window=Window(1, 0, 32, 32)) for _ in samples]
    found = check_same(backend, samples, [even, odd], pixels="yuv420")
    assert not found[0].failures and len(found[1].failures) == 5
    backend.close()


def test_dali_shares_still_pictures() -> None:
    if available()["dali"] is not None:
        pytest.skip(available()["dali"])
    backend = make_backend("dali", threads=1)
    samples = [still(f"s{seed}", jpeg("4:2:0", 96, 64, seed), 96, 64) for seed in range(5)]
    wanted: Wanted = [[make_plan([0, 0]) for _ in samples], [make_plan([0], window=Window(1, 2, 30, 40))] * 5]
    wanted[1][3] = None
    samples[1] = with_member(samples[1], jpg=b"")
    found = check_same(backend, samples, wanted)
    assert [set(decoded.failures) for decoded in found] == [{1}, {1}]
    backend.close()


def test_loops_agree(mixed: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    samples, wanted = [clip.sample for clip in mixed], plans_of_three(len(mixed), seed=9)
    even = [[make_plan([1, 30, 1], window=Window(4, 6, 48, 56)) for _ in samples]]
    found = []
    for native in (True, False):
        if not native:
            monkeypatch.setattr("unreel.pipelines.decode.packets.why_not", lambda: "on purpose")
        backend = make_backend("packets", threads=2)
        found.append(decode_together(backend, samples, wanted))
        found[-1] += decode_together(backend, samples, even, pixels="yuv420")
        backend.close()
    for one, other in zip(*found, strict=True):
        assert one.tensors and all(map(np.array_equal, one.tensors, other.tensors))


def test_a_backend_of_ones_own_need_not_share(mixed: list[Clip]) -> None:
    class Plain:
        """Only what the protocol asks of every backend."""

        name, version = "plain", "1"

        def __init__(self) -> None:
            self._inner = make_backend("packets", threads=1)
            self.declines, self.decode, self.close = (
                self._inner.declines,
                self._inner.decode,
                self._inner.close,
            )

    backend = Plain()
    assert isinstance(backend, DecodeBackend) and not isinstance(backend, TogetherBackend)
    check_same(backend, [clip.sample for clip in mixed[:7]], plans_of_three(7))
    backend.close()


def test_processes_of_their_own_share_too(mixed: list[Clip]) -> None:
    backend = Isolated(make_backend("packets", threads=1), workers=1)
    try:
        assert isinstance(backend, TogetherBackend)
        samples, wanted = [clip.sample for clip in mixed[:7]], plans_of_three(7)
        samples[3] = with_member(samples[3], flac=b"")
        found = check_same(backend, samples, wanted)
        assert [set(decoded.failures) for decoded in found] == [set(), {3}, {3}]
        even = [make_plan([1, 30, 1], window=Window(4, 6, 48, 56)) for _ in samples]
        check_same(backend, samples, [even, wanted[2]], pixels="yuv420")
    finally:
        backend.close()
