"""Vision transformers on frames, clips (patches of space and time) and log spectrograms.

Built from PyTorch's own encoder layer: timm is no dependency, and torchvision's transformer takes square pictures of
one size only. Without a class token, as masked autoencoders are fine-tuned: each stage returns a map, and the embedding
is the mean of the last one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["vit_audio", "vit_frame", "vit_video"]

_CONVOLUTIONS: Final[Mapping[int, type[nn.Conv2d] | type[nn.Conv3d]]] = {2: nn.Conv2d, 3: nn.Conv3d}


def vit_frame(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "layer",
) -> Tower:
    """ViT (Dosovitskiy et al., ICLR 2021) on RGB frames, published at 224x224 px.

    Args:
        width: numbers a patch: 768 is ViT-B, 384 ViT-S, 192 ViT-Ti.
        depth: blocks.
        heads: of attention, which have to divide `width`; published are 64 numbers a head.
        patch: pixels along each side of a patch.
        embed_dim: length of the embedding; 0 for the pooled map itself.
        grid: cells along each side that the last map is pooled to.
        pooling: over each cell.
        norm: of the embedding; the blocks have layer norm whatever it is.
    """
    spec = _spec("frame", channels=3, size=(224, 224), patch=(patch, patch))
    maps = _maps(spec, width, depth, heads, (patch, patch), (patch, patch))
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def vit_video(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    frames: int = 2,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "layer",
) -> Tower:
    """ViT on clips, with attention over all places and times at once, as VideoMAE (Tong et al., NeurIPS 2022) has it.

    Published at 16 frames of 224x224 px. Arguments as in `vit_frame`, and `frames`, how many a patch sees.
    """
    cube = (frames, patch, patch)
    spec = _spec("video", channels=3, size=(16, 224, 224), patch=cube)
    maps = _maps(spec, width, depth, heads, cube, cube)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def vit_audio(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    stride: int = 10,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "layer",
) -> Tower:
    """AST (Gong et al., Interspeech 2021), a ViT on log spectrograms, published at 128 bands x 1024 columns.

    Arguments as in `vit_frame`, and `stride`, the bands and columns from patch to patch, which may overlap.
    """
    spec = InputSpec(kind="audio", channels=1, size=(128, 1024), minimum=(patch, patch))
    maps = _maps(spec, width, depth, heads, (patch, patch), (stride, stride))
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


class Patches(nn.Module):
    """A linear map of each patch, plus where it lies: sines and cosines of its place along each axis, for any size."""

    def __init__(self, channels: int, width: int, size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        layer = _CONVOLUTIONS[len(size)]
        self.linear = layer(channels, width, tuple(size), tuple(stride))  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """float `[B, C, *axes]` → float `[B, width, *grid]`."""
        x = self.linear(x)
        return x + positions(x.shape[2:], x.shape[1], x.device).to(x.dtype)


class Block(nn.Module):
    """A transformer block, norm first, on a map whose cells are its tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        for part in (self.layer.self_attn.in_proj_weight, self.layer.self_attn.out_proj.weight):
            nn.init.trunc_normal_(part, std=0.02)
        for linear in (self.layer.linear1, self.layer.linear2):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """float `[B, width, *grid]` → the same; neither reshape copies."""
        tokens = self.layer(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class ChannelNorm(nn.LayerNorm):
    """Layer norm of each cell's channels."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def positions(grid: Sequence[int], width: int, device: torch.device) -> Tensor:
    """Where each cell lies, float `[width, *grid]`: sines and cosines of its index along each axis.

    Each axis has an even share of the channels (what is left over is 0), half of them sines, at frequencies from 1 down
    to 1/10,000 (Vaswani et al., NIPS 2017).
    """
    share = width // (2 * len(grid))
    rates = torch.exp(-math.log(10_000) * torch.arange(share, device=device) / share)
    place = torch.zeros(width, *grid, device=device)
    for axis, length in enumerate(grid):
        angles = rates[:, None] * torch.arange(length, device=device)
        waves = torch.cat([angles.sin(), angles.cos()])
        shape = [1] * len(grid)
        shape[axis] = length
        place[2 * share * axis : 2 * share * (axis + 1)] = waves.view(-1, *shape)
    return place


def _spec(kind: str, *, channels: int, size: tuple[int, ...], patch: tuple[int, ...]) -> InputSpec:
    return InputSpec(kind=kind, channels=channels, size=size, minimum=patch, multiple=patch)


def _maps(
    spec: InputSpec, width: int, depth: int, heads: int, patch: tuple[int, ...], stride: tuple[int, ...]
) -> dict[str, Stage]:
    """`patches`, then `block1` …; the last one ends with the norm that a tower of norm-first blocks needs."""
    if width % heads:
        raise ValueError(f"heads {heads}: choose a number that divides width {width}")
    maps = {"patches": Stage(Patches(spec.channels, width, patch, stride), width, stride)}
    for number in range(1, depth + 1):
        end = [ChannelNorm(width)] if number == depth else []
        maps[f"block{number}"] = Stage(nn.Sequential(Block(width, heads), *end), width, stride)
    return maps
