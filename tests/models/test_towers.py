"""Towers: shapes, published sizes, stages, and that each can learn one batch by heart."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unreel.models.towers import TOWERS, Tower, build_tower
from unreel.models.towers.tower import Pooling, embedding

INPUTS = {"frame": (3, 64, 64), "video": (3, 8, 32, 32), "audio": (1, 64, 50)}
ALL = [(kind, name) for kind, names in TOWERS.items() for name in names]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def trunk(tower: Tower) -> int:
    return parameters(tower) - parameters(tower.stages["embed"])


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_row_becomes_an_embedding(kind: str, name: str) -> None:
    tower = build_tower(kind, name).eval()
    x = torch.randn(2, *INPUTS[kind])
    with torch.no_grad():
        embeddings, stages = tower(x), tower.activations(x)
    assert tower.kind == kind
    assert embeddings.shape == (2, tower.embed_dim)
    assert list(stages) == list(tower.stages)
    assert torch.equal(stages["embed"], embeddings)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_maps_are_the_activations_of_their_stage(kind: str, name: str) -> None:
    tower, x = build_tower(kind, name).eval(), torch.randn(1, *INPUTS[kind])
    with torch.no_grad():
        activations = tower.activations(x)
        maps = {stage: tower.map(x, stage) for stage in tower.channels}
        assert torch.equal(tower.map(x), list(maps.values())[-1])
    assert list(tower.channels) == list(tower.stride) == list(tower.stages)[: len(maps)]
    for stage, value in maps.items():
        assert torch.equal(value, activations[stage])
        assert value.shape[1] == tower.channels[stage] and value.dim() == x.dim()
    with pytest.raises(ValueError, match=f"stage 'embed' of a {kind} tower: choose one of {', '.join(maps)}"):
        tower.map(x, "embed")


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_map_grows_by_one_cell_a_stride(kind: str, name: str) -> None:
    with torch.device("meta"):
        tower = build_tower(kind, name).eval()
        small, large = (
            tower.activations(torch.empty(1, tower.input.channels, *(n + more for n in tower.input.size)))
            for more in (0, 64)
        )
    for stage, strides in tower.stride.items():
        grown = [b - a for a, b in zip(small[stage].shape[2:], large[stage].shape[2:], strict=True)]
        assert grown == [64 // stride for stride in strides]


def test_a_map_runs_no_later_stage() -> None:
    tower, seen = build_tower("frame", "resnet18"), []
    for name, stage in tower.stages.items():
        stage.register_forward_hook(lambda *_, name=name: seen.append(name))
    tower.map(torch.randn(2, 3, 32, 32), "layer2")
    assert seen == ["stem", "layer1", "layer2"]


@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        (
            "frame",
            torch.zeros(2, 8, 8, 3),
            r"frame input \[2, 8, 8, 3\]: the tower takes \[B, 3, height, width\]",
        ),
        ("video", torch.zeros(2, 3, 8, 8), r"the tower takes \[B, 3, time, height, width\]"),
        ("audio", torch.zeros(2, 1, 8, 8).byte(), "torch.uint8: the tower takes floats, a log spectrogram"),
        ("audio", torch.zeros(2, 1, 64, 7), "columns is 7, it has to be 8 or more"),
    ],
)
def test_a_wrong_input_is_named(kind: str, x: torch.Tensor, message: str) -> None:
    name = "l3" if "columns" in message else "tiny"
    with pytest.raises(ValueError, match=message):
        build_tower(kind, name)(x)


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_rows_do_not_see_each_other_without_batch_norm(kind: str, name: str, norm: str) -> None:
    tower, x = build_tower(kind, name, norm=norm), torch.randn(3, *INPUTS[kind])
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in tower.modules())
    with torch.no_grad():
        assert torch.allclose(tower(x)[:1], tower(x[:1]), atol=1e-4)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_learns_a_batch_by_heart(kind: str, name: str) -> None:
    tower = build_tower(kind, name)
    model = nn.Sequential(tower, nn.Linear(tower.embed_dim, 2))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randn(6, *INPUTS[kind]), torch.arange(6) % 2
    for _ in range(40):
        loss = functional.cross_entropy(model(x), y)
        if loss < 0.02:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.02


@pytest.mark.parametrize(
    ("kind", "name", "published"),
    [
        # torchvision's documentation, less the classifier (512 features to 1000 or 400 classes).
        ("frame", "resnet18", 11_689_512 - 513_000),
        ("audio", "resnet18", 11_689_512 - 513_000 - 2 * 64 * 49),
        ("video", "r2plus1d_18", 31_505_325 - 513 * 400),
    ],
)
def test_published_parameter_counts(kind: str, name: str, published: int) -> None:
    assert trunk(build_tower(kind, name)) == published


def test_l3_is_the_published_stack() -> None:
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = [layer for layer in build_tower("audio", "l3").modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == widths
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}


@pytest.mark.parametrize(
    ("kind", "stride", "shape", "last_map"),
    [
        ("frame", 1, (3, 224, 224), (28, 28)),
        ("audio", 1, (1, 257, 200), (32, 25)),
        ("frame", 2, (3, 224, 224), (14, 14)),
        ("audio", 2, (1, 257, 200), (16, 12)),
    ],
)
def test_l3_maps_have_the_published_sizes(
    kind: str, stride: int, shape: tuple[int, ...], last_map: tuple[int, int]
) -> None:
    with torch.device("meta"):
        maps = build_tower(kind, "l3", stride=stride).eval().activations(torch.empty(1, *shape))
    assert maps["block4"].shape == (1, 512, *last_map)
    assert maps["embed"].shape == (1, 512)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_grid_tells_where_and_one_cell_does_not(pooling: Pooling) -> None:
    maps = torch.zeros(2, 8, 4, 4)
    maps[0, :, 0, 0] = maps[1, :, 3, 3] = 1
    for grid, told in ((4, True), (2, True), (1, False)):
        first, second = embedding(8, embed_dim=5, grid=grid, pooling=pooling).eval()[:3](maps)
        assert torch.equal(first, second) != told


def test_the_tiny_frame_tower_does_not_see_gain_and_offset() -> None:
    tower, x = build_tower("frame", "tiny").eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(tower(x), tower(3 * x + 1), atol=1e-3)


def test_wrong_names_list_the_choices() -> None:
    with pytest.raises(ValueError, match="'smell': choose one of audio, frame, video"):
        build_tower("smell", "tiny")
    with pytest.raises(ValueError, match="'resnet': choose one of l3, resnet18, tiny"):
        build_tower("frame", "resnet")
    with pytest.raises(ValueError, match="norm 'none': choose one of batch, group, layer"):
        build_tower("frame", "tiny", norm="none")
    with pytest.raises(ValueError, match="pooling 'median'"):
        build_tower("frame", "tiny", pooling="median")
