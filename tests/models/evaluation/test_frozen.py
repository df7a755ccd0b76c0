"""Teaching all but the towers: the towers keep every weight, and what is not a tower learns."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from unreel.models.evaluation import teach_objective
from unreel.models.objectives import Decisions
from unreel.models.objectives.objective import decide
from unreel.pipelines.pretext.task import PretextBatch


class Read(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        rows = torch.arange(len(batch))
        logits = self.layer(towers["frame"](batch.inputs["frame"]))
        return decide(logits, batch.targets, rows=rows, valid=batch.valid, class_weights="none")


def batch_of(seed: int) -> PretextBatch:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(seed))
    return PretextBatch(
        inputs={"frame": x},
        targets=(x[:, 0] > 0).long(),
        valid=torch.ones(64, dtype=torch.bool),
        positions=np.arange(64),
        keys=("k",) * 64,
        sources=("s",) * 64,
    )


def test_only_what_is_no_tower_learns() -> None:
    torch.manual_seed(0)
    tower, objective = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), Read(8)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    asked = batch_of(1000)
    untaught = objective({"frame": tower.eval()}, asked).loss.item()
    taught = teach_objective(objective, {"frame": tower}, map(batch_of, range(200)), steps=200)
    assert taught({"frame": tower}, asked).loss.item() < 0.9 * untaught
    assert not taught.training
    for name, value in tower.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_objective_without_parameters_comes_back_as_it_is() -> None:
    assert not teach_objective(nn.Identity(), {"frame": nn.Linear(2, 2)}, [], steps=3).training
