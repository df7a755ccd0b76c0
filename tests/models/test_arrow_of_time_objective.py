"""The arrow of time: the published head against its formula, and that each head learns a batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from unreel.models.objectives import ArrowOfTime
from unreel.models.objectives.arrow_of_time import LateMaps
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch

SETTINGS = {"hidden": 16, "dropout": 0.0}


def towers_of() -> dict[str, Tower]:
    return {"video": build_tower("video", "tiny", channels=(8, 16), embed_dim=32)}


def make(columns: Callable, rows: int = 8) -> PretextBatch:
    """A bright bar that moves to the right, or, in every other row, to the left."""
    generator = torch.Generator().manual_seed(0)
    clips = 0.3 * torch.randn(rows, 8, 3, 32, 32, generator=generator)
    for time in range(8):
        clips[:, time, :, :, 4 * time : 4 * time + 4] += 2
    targets = torch.arange(rows) % 2
    clips[targets == 0] = clips[targets == 0].flip(1)
    video = clips.unflatten(1, (2, 4)).transpose(2, 3)
    return PretextBatch(inputs={"video": video}, targets=targets, **columns(0, rows))


@pytest.mark.parametrize("head", ["maps", "embeddings"])
def test_learns_a_batch_by_heart(head: str, columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    objective = ArrowOfTime(towers, head=head, **SETTINGS)
    parameters = [*towers["video"].parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(100):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    assert torch.equal(outcome.logits.argmax(1), batch.targets)


def test_the_map_head_by_hand(columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    objective = ArrowOfTime(towers, **SETTINGS).eval()
    towers["video"].eval()
    maps = torch.cat(
        [towers["video"].map(batch.inputs["video"][:, group]).mean(2) for group in range(2)], dim=1
    )
    for layer in objective.head.convolutions:
        maps = functional.conv2d(maps, layer[0].weight, padding=1) / (1 + 1e-5) ** 0.5
        maps = maps.clamp(min=0)
    logits = maps.mean((2, 3)) @ objective.head.classes.weight.T + objective.head.classes.bias
    outcome = objective(towers, batch)
    assert torch.allclose(outcome.logits, logits, atol=1e-5)
    # A two-way softmax is the published sigmoid of the difference of both logits.
    loss = functional.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], batch.targets.float())
    assert torch.allclose(outcome.loss, loss, atol=1e-6)


def test_the_activation_map_has_the_logits_as_its_mean() -> None:
    torch.manual_seed(0)
    head, maps = LateMaps(6, hidden=4, dropout=0.5).eval(), torch.randn(3, 6, 5, 5)
    logits = head(maps)
    assert torch.allclose(head.activation(maps).mean((1, 2)), logits[:, 1] - logits[:, 0], atol=1e-5)


def test_failed_rows_count_for_nothing(columns: Callable) -> None:
    towers, batch = towers_of(), make(columns)
    objective = ArrowOfTime(towers, **SETTINGS)
    broken = batch.inputs["video"].clone()
    broken[[1, 4]] = float("nan")
    valid = ~torch.isin(torch.arange(8), torch.tensor([1, 4]))
    outcome = objective(towers, replace(batch, inputs={"video": broken}, valid=valid))
    assert outcome.loss.isfinite() and outcome.rows.tolist() == [0, 2, 3, 5, 6, 7]


def test_wrong_choices_are_told(columns: Callable) -> None:
    towers = towers_of()
    with pytest.raises(ValueError, match="head 'deep': choose 'maps' or 'embeddings'"):
        ArrowOfTime(towers, head="deep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="groups = 4: the task gives 2; set both alike"):
        ArrowOfTime(towers, groups=4, **SETTINGS)(towers, make(columns))
