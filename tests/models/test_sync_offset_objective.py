"""Sync offset: losses by hand, what counts as found, and a network that follows a delay that it was not told of."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.models.objectives import SyncOffset
from unreel.models.objectives.sync_offset import estimate_offset
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.pretext import PretextBatch
from unreel.pipelines.pretext import SyncOffset as Task
from unreel.shards.sample import Audio, Packets, Sidecar, Source, Video, pack_column

TASK = Task(
    frames=3,
    max_offset=4,
    windows=3,
    stride=2,
    window=16,
    crop=16,
    size=16,
    flip=0,
    shift=0,
    saturation=0,
    gain=0,
)
FRAMES, TICK = 60, 1920
"""Frames of a made-up clip, and audio samples of a frame."""


def sidecar(number: int) -> Sidecar:
    packets = Packets(
        offset=pack_column("offset", np.arange(FRAMES) * 100),
        size=pack_column("size", np.full(FRAMES, 100)),
        key=pack_column("key", np.arange(FRAMES) % 16 == 0),
    )
    video = Video(
        codec="h264",
        width=16,
        height=16,
        frames=FRAMES,
        rate=(25, 1),
        matrix="bt709",
        gop=16,
        packets=packets,
    )
    audio = Audio(codec="flac", rate=48_000, channels=1, samples=FRAMES * TICK)
    return Sidecar(
        key=f"clip-{number}", source=Source(id=f"{number:016x}", name="made up"), video=video, audio=audio
    )


def flickering(task: Task, step: int, *, rows: int = 16, late: int = 0) -> PretextBatch:
    """Pictures as bright as their sound is loud at the same frame, the sound `late` frames behind."""
    draws = Draws.of(step, task.name, np.arange(rows))
    clips = [sidecar(row) for row in range(rows)]
    plans = [task.plan(clip, draws.row(row)) for row, clip in enumerate(clips)]
    rng = np.random.default_rng(step)
    bright = rng.random((rows, FRAMES + 40)) < 0.4
    noise = 0.3 * rng.standard_normal((FRAMES + 40) * TICK, np.float32)
    loud = noise * (0.02 + bright.repeat(TICK, 1))
    begin = [plan.sound.start + (20 - late) * TICK for plan in plans]
    sound = np.stack(
        [
            wave[start : start + plan.sound.length]
            for wave, start, plan in zip(loud, begin, plans, strict=True)
        ]
    )
    shown = np.stack([seen[20 + plan.frames] for seen, plan in zip(bright, plans, strict=True)])
    frames = np.broadcast_to(40 + 160 * shown[:, :, None, None, None], (*shown.shape, 16, 16, 3))
    media = MediaBatch(
        frames=torch.from_numpy(frames.astype(np.uint8)),
        audio=torch.from_numpy(sound).float()[:, None],
        audio_rate=48_000,
        valid=torch.ones(rows, dtype=torch.bool),
        positions=draws.positions,
        keys=tuple(clip.key for clip in clips),
        sources=tuple(clip.source.id for clip in clips),
        plans=tuple(plans),
        sidecars=tuple(clips),
    )
    return task.build(media, draws)


def towers() -> dict[str, Tower]:
    return {
        "video": build_tower("video", "tiny", channels=(8, 16), embed_dim=32, grid=1),
        "audio": build_tower("audio", "tiny", channels=(8, 16), embed_dim=32, grid=4, pooling="mean"),
    }


Trained = tuple[SyncOffset, dict[str, Tower]]


@pytest.fixture(scope="module")
def trained() -> Iterator[Trained]:
    """A network that knows flicker from hiss."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nets = towers()
    objective = SyncOffset(nets, hidden=32)
    parameters = [p for module in (*nets.values(), objective) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=5e-3)
    for step in range(40):
        optimiser.zero_grad()
        objective(nets, flickering(TASK, step, rows=12)).loss.backward()
        optimiser.step()
    for module in (objective, *nets.values()):
        module.eval()
    yield objective, nets
    torch.set_num_threads(threads)


@torch.no_grad()
def test_the_estimate_moves_by_the_delay_of_the_sound(trained: Trained) -> None:
    objective, nets = trained
    for late in (-3, -1, 0, 2, 4):
        batch = flickering(replace(TASK, any_offset=False), 1000, rows=32, late=late)
        index, confidence = estimate_offset(objective.distances(nets, batch))
        right = (index - TASK.max_offset - late).abs() <= 1
        assert right.float().mean() > 0.85, late
        assert confidence[right].mean() > 0.1


@torch.no_grad()
def test_hits_are_counted_within_one_step_and_chance_is_what_guessing_gives(trained: Trained) -> None:
    objective, nets = trained
    batch = flickering(TASK, 2000, rows=64)
    outcome = objective(nets, batch)
    index, _ = estimate_offset(objective.distances(nets, batch))
    assert torch.equal(outcome.hits, ((index - batch.targets).abs() <= 1).float())
    assert outcome.hits.mean() > 0.85
    edge = (batch.targets == 0) | (batch.targets == 8)
    assert torch.allclose(outcome.chances, torch.where(edge, 2 / 9, 3 / 9))


@pytest.mark.parametrize(("loss", "bar"), [("multiway", 0.15), ("contrastive", 0.05)])
def test_learns_a_batch_by_heart(loss: str, bar: float) -> None:
    torch.manual_seed(0)
    nets, batch = towers(), flickering(TASK, 5, rows=4)
    objective = SyncOffset(nets, loss=loss, hidden=32)  # type: ignore[arg-type]
    parameters = [p for module in (*nets.values(), objective) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=5e-3)
    for _ in range(150):
        outcome = objective(nets, batch)
        if outcome.loss < bar:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < bar
    assert outcome.hits.min() == 1


@torch.no_grad()
def test_losses_by_hand() -> None:
    nets = {kind: tower.eval() for kind, tower in towers().items()}
    batch = flickering(TASK, 3, rows=4)
    for loss in ("multiway", "contrastive"):
        objective = SyncOffset(nets, loss=loss, margin=1.2, hidden=16).eval()  # type: ignore[arg-type]
        distances = objective.distances(nets, batch).double()
        total = 0.0
        for row, target in enumerate(batch.targets.tolist()):
            for window in range(3):
                d = distances[row, window]
                wrong = [c for c in range(9) if abs(c - target) > 1]
                if loss == "multiway":
                    logits = {
                        c: float(objective.scale) * (1 - float(d[c]) ** 2 / 2) for c in [target, *wrong]
                    }
                    total += float(np.log(np.sum(np.exp(list(logits.values()))))) - logits[target]
                else:
                    total += (
                        float(d[target]) ** 2 + np.mean([max(1.2 - float(d[c]), 0) ** 2 for c in wrong])
                    ) / 2
        assert objective(nets, batch).loss.item() == pytest.approx(total / 12, rel=1e-3)


@torch.no_grad()
def test_distances_are_those_of_the_embeddings() -> None:
    nets = {kind: tower.eval() for kind, tower in towers().items()}
    objective, batch = SyncOffset(nets, hidden=16).eval(), flickering(TASK, 4, rows=2)
    found = objective.distances(nets, batch)
    for window, candidate in ((0, 0), (1, 3), (2, 8)):
        sound = batch.inputs["candidates"][1, window, candidate]
        seen, heard = objective.project(
            nets["video"](batch.inputs["video"][1:, window]), nets["audio"](batch.inputs["audio"][1:, sound])
        )
        assert torch.allclose(found[1, window, candidate], (seen - heard).norm(), atol=1e-4)


def test_estimate_and_confidence_by_hand() -> None:
    distances = torch.tensor([[[1.0, 0.2, 0.9, 0.8, 0.7], [1.0, 0.4, 0.9, 0.6, 0.7]]])
    index, confidence = estimate_offset(distances)
    assert index.tolist() == [1] and confidence.item() == pytest.approx(0.7 - 0.3)


def test_failed_rows_count_for_nothing() -> None:
    nets = towers()
    objective, batch = SyncOffset(nets, hidden=16), flickering(TASK, 5, rows=4)
    broken = {name: value.clone() for name, value in batch.inputs.items()}
    for name in ("video", "audio"):
        broken[name][1] = float("nan")
    outcome = objective(nets, replace(batch, inputs=broken, valid=torch.arange(4) != 1))
    assert outcome.loss.isfinite() and outcome.rows.tolist() == [0, 2, 3]


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="loss 'triplet': choose one of multiway, contrastive"):
        SyncOffset(towers(), loss="triplet")  # type: ignore[arg-type]
