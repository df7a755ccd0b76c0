"""The control: untrained weights, the data's own batch-norm statistics, nothing else moved."""

import torch
from torch import nn

from unreel.models.evaluation.control import calibrate, low_level
from unreel.models.towers import build_tower


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())


def test_statistics_are_those_of_the_data() -> None:
    batches = [torch.randn(16, 3, 8, 8) * 3 + shift for shift in (0.0, 2.0, 7.0)]
    module = calibrate(network(), batches)
    with torch.no_grad():
        maps = [module[0](batch) for batch in batches]
    norm = module[1]
    torch.testing.assert_close(norm.running_mean, torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0))
    assert norm.momentum == 0.1
    again = calibrate(module, batches[:1])
    torch.testing.assert_close(again[1].running_mean, maps[0].mean((0, 2, 3)))
    assert not any(child.training for child in module.modules())


def test_deeper_layers_see_normalised_activations() -> None:
    batches = [torch.randn(8, 3, 48, 48) * 5 + 10 for _ in range(2)]
    twin = calibrate(build_tower("frame", "tiny"), batches)
    norms = [module for module in twin.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: list[torch.Tensor] = []
    for norm in norms:
        norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        twin(torch.cat(batches))
    assert len(seen) == len(norms) > 1
    for output in seen:
        assert output.mean().abs() < 0.05 and abs(float(output.std()) - 1) < 0.1


def test_low_level_is_the_mean_of_each_cell() -> None:
    picture = torch.zeros(1, 1, 16, 16)
    picture[0, 0, :2, 2:4] = 1.0
    cells = low_level(picture)
    assert cells.shape == (1, 64)
    assert cells[0, 1] == 1.0 and cells.sum() == 1.0
