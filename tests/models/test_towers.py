"""Towers: shapes, published sizes, stages and their maps, what they refuse, and that each can learn one batch by heart."""

import functools
import inspect
import typing
from collections.abc import Callable

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as torchvision_models

from unreel.models.towers import TOWERS, InputSpec, Tower, build_tower, tower_builder
from unreel.models.towers.preset import preset
from unreel.models.towers.tower import Inputs, Pooling, embedding
from unreel.models.towers.vit import positions

SMALL = {
    "frame": (64, 64),
    "video": (8, 32, 32),
    "audio": (64, 64),
    "waveform": (4096,),
}
ALL = [(kind, name) for kind, names in TOWERS.items() for name in names]
TINY = [(kind, name) for kind, name in ALL if name.endswith("tiny")]


def make_input(tower: Tower, rows: int, *, published: bool = False) -> Inputs:
    """Noise of a small size that the tower takes, or of the published one; a pair for a fusion tower."""
    tensors = [
        torch.randn(rows, spec.channels, *(spec.size if published else small_size(spec)))
        for spec in tower.inputs
    ]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def small_size(spec: InputSpec) -> tuple[int, ...]:
    least = spec.minimum or (1,) * len(spec.axes)
    return tuple(max(a, b) for a, b in zip(SMALL[spec.kind], least, strict=True))


@functools.cache
def build_meta(kind: str, name: str, **settings: object) -> Tower:
    """A tower without numbers: shapes and counts of the largest ones cost nothing."""
    with torch.device("meta"):
        return build_tower(kind, name, **settings).eval()


def meta_activations(tower: Tower, *, more: tuple[tuple[int, ...], ...] = ()) -> dict[str, Tensor]:
    """Activations at the published size, or at one that is larger by `more`."""
    grown = more or tuple((0,) * len(spec.size) for spec in tower.inputs)
    tensors = tuple(
        torch.empty(1, spec.channels, *(a + b for a, b in zip(spec.size, extra, strict=True)), device="meta")
        for spec, extra in zip(tower.inputs, grown, strict=True)
    )
    with torch.no_grad():
        return tower.activations(tensors[0] if len(tensors) == 1 else tensors)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def trunk(tower: Tower) -> int:
    return parameters(tower) - parameters(tower.stages["embed"])


@pytest.mark.parametrize(("kind", "name"), TINY)
def test_a_row_becomes_an_embedding_and_maps(kind: str, name: str) -> None:
    tower = build_tower(kind, name).eval()
    x = make_input(tower, 2)
    with torch.no_grad():
        embeddings, activations = tower(x), tower.activations(x)
        maps = {stage: tower.map(x, stage) for stage in tower.channels}
        assert torch.equal(tower.map(x), list(maps.values())[-1])
    assert tower.kind == kind and embeddings.shape == (2, tower.embed_dim)
    assert list(activations) == list(tower.stages) and torch.equal(activations["embed"], embeddings)
    assert all(torch.equal(value, activations[stage]) for stage, value in maps.items())


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_stages_have_the_channels_and_strides_that_they_name(kind: str, name: str) -> None:
    tower = build_meta(kind, name)
    steps = tuple(largest_stride(tower, spec) for spec in tower.inputs)
    small, large = meta_activations(tower), meta_activations(tower, more=steps)
    assert list(tower.channels) == list(tower.stride) == list(small)[: len(tower.channels)]
    assert small["embed"].shape == (1, tower.embed_dim)
    for stage, strides in tower.stride.items():
        more = next(step for step in steps if len(step) == len(strides))
        grown = [b - a for a, b in zip(small[stage].shape[2:], large[stage].shape[2:], strict=True)]
        assert small[stage].shape[1] == tower.channels[stage]
        assert grown == [step // stride for step, stride in zip(more, strides, strict=True)], stage


def largest_stride(tower: Tower, spec: InputSpec) -> tuple[int, ...]:
    """The stride of the last stage whose map has the axes of `spec`."""
    return next(stride for stride in reversed(tower.stride.values()) if len(stride) == len(spec.axes))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_smallest_input_leaves_each_stage_a_cell_and_a_smaller_one_is_refused(
    kind: str, name: str
) -> None:
    tower = build_meta(kind, name)
    least = [spec.minimum or (1,) * len(spec.axes) for spec in tower.inputs]
    x = tuple(
        torch.empty(1, spec.channels, *size, device="meta")
        for spec, size in zip(tower.inputs, least, strict=True)
    )
    maps = tower.activations(x[0] if len(x) == 1 else x)
    assert all(value.numel() for value in maps.values())
    for spec, size in zip(tower.inputs, least, strict=True):
        smaller = torch.empty(1, spec.channels, *(length - 1 for length in size), device="meta")
        with pytest.raises(
            ValueError, match=f"{spec.axes[0]} is {size[0] - 1}, it has to be {size[0]} or more"
        ):
            spec.check(smaller)


def test_a_map_runs_no_later_stage() -> None:
    tower, seen = build_tower("frame", "resnet_tiny"), []
    for name, stage in tower.stages.items():
        stage.register_forward_hook(lambda *_, name=name: seen.append(name))
    tower.map(torch.randn(2, 3, 32, 32), "layer2")
    assert seen == ["stem", "layer1", "layer2"]


def test_a_fusion_tower_hears_from_merge_on() -> None:
    tower = build_tower("fusion", "tiny").eval()
    clip, sound = make_input(tower, 2)
    with torch.no_grad():
        first, second = tower.activations((clip, sound)), tower.activations((clip, 0.1 * sound))
    equal = {name for name in first if torch.equal(first[name], second[name])}
    assert equal == {"clip_conv1", "clip_layer2"}


@pytest.mark.parametrize(
    ("kind", "name", "x", "message"),
    [
        ("frame", "tiny", torch.zeros(2, 8, 8, 3), r"\[2, 8, 8, 3\]: the tower takes \[B, 3, height, width\]"),
        ("video", "tiny", torch.zeros(2, 3, 8, 8), r"the tower takes \[B, 3, time, height, width\]"),
        ("audio", "tiny", torch.zeros(2, 1, 8, 8).byte(), "uint8: the tower takes floats, a log spectrogram"),
        ("audio", "l3", torch.zeros(2, 1, 64, 7), "columns is 7, it has to be 8 or more"),
        ("video", "vit_tiny", torch.zeros(1, 3, 4, 32, 40), "width is 40, it has to be 16 or more and a multiple of 16"),
        ("waveform", "tiny", torch.zeros(1, 2, 800), r"the tower takes \[B, 1, samples\]"),
        ("fusion", "tiny", torch.zeros(1, 3, 4, 8, 8), "1 inputs: a fusion tower takes 2, video"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_named(kind: str, name: str, x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_tower(kind, name)(x)


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize(("kind", "name"), TINY)
def test_rows_do_not_see_each_other_without_batch_norm(kind: str, name: str, norm: str) -> None:
    tower = build_tower(kind, name, norm=norm)
    x = make_input(tower, 3)
    first = x[:1] if isinstance(x, Tensor) else tuple(part[:1] for part in x)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in tower.modules())
    with torch.no_grad():
        assert torch.allclose(tower(x)[:1], tower(first), atol=1e-3)


@pytest.mark.parametrize(("kind", "name"), TINY)
def test_a_seed_gives_the_weights_and_they_travel_as_a_state_dict(kind: str, name: str) -> None:
    first, second, third = (seeded(kind, name, seed) for seed in (1, 1, 2))
    x = make_input(first, 2)
    with torch.no_grad():
        assert torch.equal(first(x), second(x)) and not torch.equal(first(x), third(x))
        third.load_state_dict(first.state_dict())
        assert torch.equal(first(x), third(x))


def seeded(kind: str, name: str, seed: int) -> Tower:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_tower(kind, name).eval()


# s3dg_tiny has all that s3d_tiny has.
@pytest.mark.parametrize(("kind", "name"), [pair for pair in TINY if pair != ("video", "s3d_tiny")])
def test_learns_a_batch_by_heart(kind: str, name: str) -> None:
    torch.manual_seed(0)
    tower = build_tower(kind, name)
    model = nn.ModuleList([tower, nn.Linear(tower.embed_dim, 2)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = make_input(tower, 6), torch.arange(6) % 2
    for _ in range(60):
        loss = functional.cross_entropy(model[1](tower(x)), y)
        if loss < 0.02:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.02


PUBLISHED = [
    # torchvision's `num_params` of its weights, less the classifier.
    ("frame", "resnet18", 11_689_512 - 513 * 1000),
    ("frame", "resnet50", 25_557_032 - 2_049 * 1000),
    ("audio", "resnet18", 11_689_512 - 513 * 1000 - 2 * 64 * 49),
    ("video", "r2plus1d_18", 31_505_325 - 513 * 400),
    ("video", "r3d_18", 33_371_472 - 513 * 400),
    ("video", "mc3_18", 11_695_440 - 513 * 400),
    ("video", "s3d", 8_320_048 - 1_025 * 400),
    # ViT-B/16: 86,567,656, less the classifier, the class token and the 197 learned positions.
    ("frame", "vit_b", 86_567_656 - 769 * 1000 - 768 - 197 * 768),
    # ViT-S/16 in timm's documentation: 22,050,664, less the same.
    ("frame", "vit_s", 22_050_664 - 385 * 1000 - 384 - 197 * 384),
    # Caffe's reference CaffeNet: 60,965,224, less fc8 and fc7; batch norm has twice as many numbers as biases.
    ("frame", "caffenet", 60_965_224 - 4097 * 1000 - 4097 * 4096 + 96 + 256 + 384 + 384 + 256 + 4096),
    # VGG-M by the layer list of its paper: 102,908,520, less fc8 and fc7.
    ("frame", "vgg_m", 102_908_520 - 4097 * 1000 - 4097 * 4096 + 96 + 256 + 3 * 512 + 4096),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "published"), PUBLISHED)
def test_published_parameter_counts(kind: str, name: str, published: int) -> None:
    assert trunk(build_meta(kind, name)) == published


@pytest.mark.parametrize(
    ("kind", "name", "head", "millions"),
    [
        # Totals as model zoos and papers quote them, from memory; the layer lists were read in the authors' code.
        # Slow 8x8 R50 of PySlowFast and PyTorchVideo, with 400 classes.
        ("video", "slow_only", 2_049 * 400, 32.45),
        # S3D-G as MIL-NCE trains it.
        ("video", "s3dg", 0, 9.1),
        # DPC with its predictor of two 1x1 convolutions on 256 channels.
        ("video", "resnet2d3d_18", 2 * 257 * 256, 14.2),
        ("video", "resnet2d3d_34", 2 * 257 * 256, 32.6),
        # R(2+1)D-34 with 400 classes.
        ("video", "r2plus1d_34", 513 * 400, 63.7),
    ],
)
def test_parameter_counts_that_were_published_in_millions(
    kind: str, name: str, head: int, millions: float
) -> None:
    places = len(str(millions).split(".")[1])
    assert round((trunk(build_meta(kind, name)) + head) / 1e6, places) == millions


@pytest.mark.parametrize(
    ("kind", "name", "weights"),
    [
        ("frame", "resnet18", torchvision_models.ResNet18_Weights),
        ("frame", "resnet50", torchvision_models.ResNet50_Weights),
        ("video", "r2plus1d_18", torchvision_models.video.R2Plus1D_18_Weights),
        ("video", "r3d_18", torchvision_models.video.R3D_18_Weights),
        ("video", "mc3_18", torchvision_models.video.MC3_18_Weights),
    ],
)
def test_as_many_operations_as_torchvision_counts(kind: str, name: str, weights: type) -> None:
    tower = build_meta(kind, name, embed_dim=0, grid=1)
    with FlopCounterMode(display=False) as counter:
        meta_activations(tower)
    # torchvision counts the classifier too: 0.2 to 2 million multiply-adds.
    assert counter.get_total_flops() / 2e9 == pytest.approx(weights.DEFAULT.meta["_ops"], abs=0.003)


@pytest.mark.parametrize(
    ("kind", "name", "build"),
    [
        ("frame", "resnet18", torchvision_models.resnet18),
        ("frame", "resnet50", torchvision_models.resnet50),
        ("video", "r2plus1d_18", torchvision_models.video.r2plus1d_18),
        ("video", "r3d_18", torchvision_models.video.r3d_18),
        ("video", "mc3_18", torchvision_models.video.mc3_18),
    ],
)
def test_stages_take_torchvisions_weights(kind: str, name: str, build: Callable[..., nn.Module]) -> None:
    with torch.device("meta"):
        theirs = {key: value.shape for key, value in build(weights=None).state_dict().items()}
    ours = {key: value.shape for key, value in build_meta(kind, name).stages.state_dict().items()}
    layers = {key: shape for key, shape in theirs.items() if key.startswith("layer")}
    assert {key: shape for key, shape in ours.items() if key.startswith("layer")} == layers
    stem = [shape for key, shape in theirs.items() if not key.startswith(("layer", "fc"))]
    assert [shape for key, shape in ours.items() if key.startswith("stem")] == stem


@pytest.mark.parametrize(
    ("kind", "name", "stage", "shape"),
    [
        ("frame", "caffenet", "conv1", (96, 27, 27)),  # 55x55 before the pooling
        ("frame", "caffenet", "conv5", (256, 6, 6)),
        ("frame", "vgg_m", "conv5", (512, 6, 6)),
        ("frame", "resnet50", "layer4", (2048, 7, 7)),
        ("frame", "vit_b", "block12", (768, 14, 14)),
        ("video", "r2plus1d_34", "layer4", (512, 2, 7, 7)),  # the paper's table 1, for 16 frames
        ("video", "slow_only", "layer4", (2048, 8, 7, 7)),
        ("video", "s3d", "mixed5", (1024, 8, 7, 7)),  # 64 frames, as the paper's figure of I3D
        ("video", "resnet2d3d_18", "layer4", (256, 2, 4, 4)),  # DPC: 128 px / 32, 5 frames / 4
        ("video", "vit_b", "block12", (768, 8, 14, 14)),  # VideoMAE: 1,568 tokens
        ("audio", "ast", "block12", (768, 12, 101)),  # AST: 1,212 patches
        ("waveform", "multisensory", "layer4", (256, 86)),
        ("fusion", "multisensory", "merge", (128, 32, 28, 28)),
        ("fusion", "multisensory", "layer5", (512, 16, 7, 7)),
    ],
)
def test_maps_have_the_published_sizes(kind: str, name: str, stage: str, shape: tuple[int, ...]) -> None:
    assert meta_activations(build_meta(kind, name))[stage].shape[1:] == shape


def test_l3_is_the_published_stack() -> None:
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = [layer for layer in build_meta("audio", "l3").modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == widths
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}


@pytest.mark.parametrize(
    ("kind", "stride", "last_map"),
    [("frame", 1, (28, 28)), ("audio", 1, (32, 25)), ("frame", 2, (14, 14)), ("audio", 2, (16, 12))],
)
def test_l3_maps_have_the_published_sizes(kind: str, stride: int, last_map: tuple[int, int]) -> None:
    maps = meta_activations(build_meta(kind, "l3", stride=stride))
    assert maps["block4"].shape == (1, 512, *last_map)
    assert maps["embed"].shape == (1, 512)


def test_r2plus1d_34_has_the_middle_channels_of_the_paper() -> None:
    layers = build_meta("video", "r2plus1d_34").stages
    middles = [layers[f"layer{n}"][0].conv2[0][0].out_channels for n in (1, 2, 3, 4)]
    assert middles == [144, 288, 576, 1152]


def test_multisensory_is_the_published_stack() -> None:
    layers = [
        layer
        for layer in build_meta("fusion", "multisensory", channels=2).stages.modules()
        if isinstance(layer, nn.Conv1d | nn.Conv3d)
    ]
    kernels = [(layer.out_channels, *layer.kernel_size) for layer in layers if max(layer.kernel_size) > 1]
    cubes = [
        (n, 3, 3, 3) for n in (64, 64, 64, 64, 128, 128, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512)
    ]
    assert kernels == [
        (64, 5, 7, 7), *cubes[:4], (64, 65), *[(n, 15) for n in (128, 128, 128, 128, 256, 256)], (128, 3), *cubes[4:],
    ]  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_grid_tells_where_and_one_cell_does_not(pooling: Pooling) -> None:
    maps = torch.zeros(2, 8, 4, 4)
    maps[0, :, 0, 0] = maps[1, :, 3, 3] = 1
    for grid, told in ((4, True), (2, True), (1, False)):
        first, second = embedding(8, embed_dim=5, grid=grid, pooling=pooling).eval()[:3](maps)
        assert torch.equal(first, second) != told


def test_an_embedding_of_no_length_is_the_pooled_map() -> None:
    tower = build_tower("frame", "resnet_tiny", embed_dim=0, grid=1).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(tower(x), tower.map(x).mean(dim=(2, 3)), atol=1e-6)
    assert tower.embed_dim == tower.channels["layer4"]


def test_the_tiny_frame_tower_does_not_see_gain_and_offset() -> None:
    tower, x = build_tower("frame", "tiny").eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(tower(x), tower(3 * x + 1), atol=1e-3)


def test_a_transformer_knows_where_a_patch_lies() -> None:
    places = positions((3, 4, 5), 96, torch.device("cpu")).flatten(1)
    distances = torch.cdist(places.T, places.T) + 9 * torch.eye(60)
    assert places.shape == (96, 60) and distances.min() > 0.5
    tower, x = build_tower("frame", "vit_tiny").eval(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(tower(x), tower(x.flip(3)), atol=1e-3)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_recipe_can_write_out_every_setting(kind: str, name: str) -> None:
    builder = tower_builder(kind, name)
    hints, settings = typing.get_type_hints(builder), inspect.signature(builder).parameters
    for key, parameter in settings.items():
        written = msgspec.json.encode(parameter.default)
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert msgspec.json.encode(msgspec.json.decode(written, type=hints[key])) == written
    assert "norm" in settings and "embed_dim" in settings


def test_a_preset_shows_its_defaults_and_yields_to_settings() -> None:
    builder = tower_builder("frame", "vit_tiny")
    assert inspect.signature(builder).parameters["width"].default == 96
    assert builder(width=48).channels["block4"] == 48


def test_wrong_names_list_the_choices() -> None:
    with pytest.raises(ValueError, match="'smell': choose one of audio, frame, fusion, video, waveform"):
        build_tower("smell", "tiny")
    with pytest.raises(
        ValueError, match="'resnet': choose one of ast, ast_tiny, l3, l3_tiny, resnet18, resnet_tiny, tiny"
    ):
        build_tower("audio", "resnet")
    with pytest.raises(
        ValueError, match="stage 'embed' of a frame tower: choose one of stem, layer1, layer2"
    ):
        build_tower("frame", "resnet_tiny").map(torch.zeros(1, 3, 32, 32), "embed")
    with pytest.raises(TypeError, match="colour"):
        preset(lambda *, size: size, colour="red")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tiny", {"norm": "none"}, "norm 'none': choose one of batch, group, layer"),
        ("tiny", {"pooling": "median"}, "pooling 'median': choose one of mean, max"),
        ("resnet18", {"block": "plain"}, "block 'plain': choose one of basic, bottleneck"),
        ("resnet18", {"depths": (1, 1)}, r"depths \[1, 1\]: give the blocks of each of the 4 stages"),
        ("vit_tiny", {"heads": 7}, "heads 7: choose a number that divides width 96"),
    ],
)
def test_wrong_settings_list_the_choices(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_tower("frame", name, **settings)
