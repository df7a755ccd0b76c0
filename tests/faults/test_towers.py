"""Every tower of published size learns one batch by heart; their tiny forms do in tests/models/test_towers.py."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unreel.models.towers import TOWERS, InputSpec, build_tower

SMALL = {"frame": (64, 64), "video": (8, 32, 32), "audio": (64, 64), "waveform": (4096,)}
LARGE = [(kind, name) for kind, names in TOWERS.items() for name in names if not name.endswith("tiny")]


@pytest.mark.drill
@pytest.mark.parametrize(("kind", "name"), LARGE)
def test_learns_a_batch_by_heart(kind: str, name: str) -> None:
    torch.manual_seed(0)
    tower = build_tower(kind, name)
    model = nn.ModuleList([tower, nn.Linear(tower.embed_dim, 2)])
    # A transformer of full width without warm-up learns at a rate that convolutions find slow.
    rate = 1e-4 if "patches" in tower.stages else 1e-3
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    parts = [torch.randn(6, spec.channels, *small_size(spec)) for spec in tower.inputs]
    x, y = (parts[0] if len(parts) == 1 else tuple(parts)), torch.arange(6) % 2
    for _ in range(60):
        loss = functional.cross_entropy(model[1](tower(x)), y)
        if loss < 0.02:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.02


def small_size(spec: InputSpec) -> tuple[int, ...]:
    least = spec.minimum or (1,) * len(spec.axes)
    return tuple(max(a, b) for a, b in zip(SMALL[spec.kind], least, strict=True))
