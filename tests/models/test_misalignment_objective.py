"""The fusion trunk: its loss by hand, one pass of the picture for both sounds, and that it learns a batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from unreel.models.objectives import Misalignment
from unreel.models.objectives.misalignment import FusionTrunk
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch

MakeBatch = Callable[..., PretextBatch]


def towers() -> dict[str, Tower]:
    small = {"channels": (8, 16), "embed_dim": 0, "grid": 2}
    return {kind: build_tower(kind, "tiny", **small) for kind in ("video", "audio")}


@pytest.fixture
def batch(sound_batch: MakeBatch) -> PretextBatch:
    """Each row's frame as a clip, with the sound of its own brightness and with another one, in either order."""
    made = sound_batch(0)
    right = made.inputs["audio"][1::2]
    second = torch.arange(8) % 2 == 1
    wrong = right.roll(9, 2)
    sounds = torch.stack([right, wrong], 1)
    sounds[second] = sounds[second].flip(1)
    targets = torch.stack([~second, second], 1).long()
    video = made.inputs["frame"][1::2, :, None].repeat(1, 1, 8, 1, 1)
    return replace(
        made,
        inputs={"video": video, "audio": sounds},
        targets=targets,
        valid=made.valid[:8],
        positions=made.positions[:8],
        keys=made.keys[:8],
        sources=made.sources[:8],
    )


@torch.no_grad()
def test_loss_is_the_cross_entropy_of_a_sigmoid(batch: PretextBatch) -> None:
    nets = {kind: tower.eval() for kind, tower in towers().items()}
    objective = Misalignment(nets, hidden=16).eval()
    outcome = objective(nets, batch)
    total = 0.0
    for row in range(8):
        seen = nets["video"].map(batch.inputs["video"][row : row + 1])
        for slot in range(2):
            logit = objective.trunk(seen, nets["audio"].map(batch.inputs["audio"][row : row + 1, slot]))
            p = 1 / (1 + (-logit).exp())
            y = batch.targets[row, slot]
            total -= float(y * p.log() + (1 - y) * (1 - p).log())
    assert outcome.loss.item() == pytest.approx(total / 16, rel=1e-4)
    assert outcome.rows.tolist() == [row for row in range(8) for _ in range(2)]


def test_frames_pass_their_tower_once(batch: PretextBatch) -> None:
    nets = towers()
    seen: list[int] = []
    nets["video"].stages["conv1"].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    Misalignment(nets, hidden=16)(nets, batch)
    assert seen == [8]


def test_the_order_of_the_sounds_changes_nothing(batch: PretextBatch) -> None:
    nets = {kind: tower.eval() for kind, tower in towers().items()}
    objective = Misalignment(nets, hidden=16).eval()
    there = objective(nets, batch).logits.unflatten(0, (8, 2))
    turned = replace(batch, inputs={**batch.inputs, "audio": batch.inputs["audio"].flip(1)})
    assert torch.allclose(there, objective(nets, turned).logits.unflatten(0, (8, 2)).flip(1), atol=1e-5)


def test_sound_meets_the_clip_at_its_time() -> None:
    trunk = FusionTrunk(4, 4, hidden=8).eval()
    seen = torch.randn(1, 4, 6, 4, 4)
    heard = torch.zeros(1, 4, 8, 24)
    merged: list[torch.Tensor] = []
    trunk.merge.register_forward_hook(lambda *call: merged.append(call[2]))
    for columns in (slice(0, 4), slice(20, 24)):
        struck = heard.clone()
        struck[..., columns] = 9
        trunk(seen, struck)
    changed = (merged[0] - merged[1]).abs().sum((0, 1, 3, 4)) > 0
    assert changed.tolist() == [True, False, False, False, False, True]


def test_learns_a_batch_by_heart(batch: PretextBatch) -> None:
    nets = towers()
    objective = Misalignment(nets, hidden=32)
    parameters = [p for module in (*nets.values(), objective) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(200):
        outcome = objective(nets, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    assert torch.equal(outcome.logits.argmax(1), outcome.targets)


def test_failed_rows_count_for_nothing(batch: PretextBatch) -> None:
    nets = towers()
    objective = Misalignment(nets, hidden=16)
    broken = {name: value.clone() for name, value in batch.inputs.items()}
    for value in broken.values():
        value[2] = float("nan")
    valid = torch.arange(8) != 2
    outcome = objective(nets, replace(batch, inputs=broken, valid=valid))
    assert outcome.loss.isfinite() and 2 not in outcome.rows.tolist() and len(outcome.rows) == 14


def test_a_stage_that_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match="stage 'embed' of a video tower: choose one of conv1, conv2"):
        Misalignment(towers(), video_stage="embed")
