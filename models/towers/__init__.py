"""Towers: encoders of frames, clips and sound, by kind and name."""

from collections.abc import Callable, Mapping
from typing import Final

from unreel.models.towers.alexnet import caffenet, vgg_m
from unreel.models.towers.fusion import multisensory_fusion
from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.l3 import l3_audio, l3_frame
from unreel.models.towers.preset import preset
from unreel.models.towers.resnet import resnet_audio, resnet_frame
from unreel.models.towers.s3d import s3d
from unreel.models.towers.slow import resnet2d3d, slow_only
from unreel.models.towers.standing import StandingTower, frame_by_frame, stills
from unreel.models.towers.tiny import tiny_audio, tiny_frame, tiny_video
from unreel.models.towers.tower import Tower
from unreel.models.towers.video_resnet import mc3, r2plus1d, r3d
from unreel.models.towers.vit import vit_audio, vit_frame, vit_video
from unreel.models.towers.waveform import multisensory_waveform

__all__ = [
    "STANDING",
    "TOWERS",
    "InputSpec",
    "StandingTower",
    "Tower",
    "build_tower",
    "tower_builder",
    "trunk_of",
]

_34_LAYERS: Final = (3, 4, 6, 3)
_FOUR_BLOCKS: Final = (1, 1, 1, 1)
_SMALL_VIT: Final = {"width": 384, "heads": 6}
_TINY_VIT: Final = {"width": 96, "depth": 4, "heads": 3, "embed_dim": 128}

TOWERS: Final[Mapping[str, Mapping[str, Callable[..., Tower]]]] = {
    "frame": {
        "caffenet": caffenet,
        "caffenet_tiny": preset(caffenet, divisor=8, fc6=128, embed_dim=128, grid=2),
        "l3": l3_frame,
        "l3_tiny": preset(l3_frame, divisor=8, stride=2),
        "resnet18": resnet_frame,
        "resnet50": preset(resnet_frame, block="bottleneck", depths=_34_LAYERS),
        "resnet_tiny": preset(resnet_frame, depths=_FOUR_BLOCKS, divisor=4, embed_dim=128),
        "tiny": tiny_frame,
        "vgg_m": vgg_m,
        "vgg_m_tiny": preset(vgg_m, divisor=8, fc6=128, embed_dim=128, grid=2),
        "vit_b": vit_frame,
        "vit_s": preset(vit_frame, **_SMALL_VIT),
        "vit_tiny": preset(vit_frame, **_TINY_VIT),
    },
    "video": {
        "mc3_18": mc3,
        "r2plus1d_18": r2plus1d,
        "r2plus1d_34": preset(r2plus1d, depths=_34_LAYERS, published_middles=True),
        "r2plus1d_tiny": preset(r2plus1d, depths=_FOUR_BLOCKS, divisor=8, embed_dim=128),
        "r3d_18": r3d,
        "r3d_tiny": preset(r3d, depths=_FOUR_BLOCKS, divisor=8, embed_dim=128),
        "resnet2d3d_18": resnet2d3d,
        "resnet2d3d_34": preset(resnet2d3d, depths=_34_LAYERS),
        "resnet2d3d_tiny": preset(resnet2d3d, depths=_FOUR_BLOCKS, divisor=4, embed_dim=128),
        "s3d": s3d,
        "s3d_tiny": preset(s3d, divisor=8, embed_dim=128),
        "s3dg": preset(s3d, gating=True),
        "s3dg_tiny": preset(s3d, gating=True, divisor=8, embed_dim=128),
        "slow_only": slow_only,
        "slow_only_tiny": preset(slow_only, depths=_FOUR_BLOCKS, divisor=8, embed_dim=128),
        "tiny": tiny_video,
        "vit_b": vit_video,
        "vit_s": preset(vit_video, **_SMALL_VIT),
        "vit_tiny": preset(vit_video, **_TINY_VIT),
    },
    "audio": {
        "ast": vit_audio,
        "ast_tiny": preset(vit_audio, **_TINY_VIT, stride=16),
        "l3": l3_audio,
        "l3_tiny": preset(l3_audio, divisor=8, stride=2),
        "resnet18": resnet_audio,
        "resnet_tiny": preset(resnet_audio, depths=_FOUR_BLOCKS, divisor=4, embed_dim=128),
        "tiny": tiny_audio,
    },
    "waveform": {
        "multisensory": multisensory_waveform,
        "tiny": preset(multisensory_waveform, divisor=4, embed_dim=128),
    },
    "fusion": {
        "multisensory": multisensory_fusion,
        "tiny": preset(multisensory_fusion, divisor=8, embed_dim=128),
    },
}
"""Kind → name → builder, whose keyword arguments are the tower's settings."""

STANDING: Final[Mapping[str, Mapping[str, tuple[str, Callable[..., Tower]]]]] = {
    "frame": {"stills": ("video", stills)},
    "video": {"frame_by_frame": ("frame", frame_by_frame)},
}
"""Kind → name → the kind of the tower that it stands on, and the builder, which takes that tower first."""


def trunk_of(kind: str, name: str) -> str:
    """The kind of the tower that tower `name` of `kind` stands on; empty for one that stands by itself."""
    return STANDING.get(kind, {}).get(name, ("",))[0]


def tower_builder(kind: str, name: str) -> Callable[..., Tower]:
    """The builder of tower `name` of `kind`. Raises ValueError with the choices when there is none."""
    if kind not in TOWERS:
        raise ValueError(f"tower kind {kind!r}: choose one of {', '.join(sorted(TOWERS))}")
    standing = STANDING.get(kind, {})
    if name in standing:
        return standing[name][1]
    if name not in TOWERS[kind]:
        choices = sorted({*TOWERS[kind], *standing})
        raise ValueError(f"{kind} tower {name!r}: choose one of {', '.join(choices)}")
    return TOWERS[kind][name]


def build_tower(kind: str, name: str, *trunk: Tower, **settings: object) -> Tower:
    """A new tower with weights from torch's global generator; `settings` are its builder's keyword arguments.

    `trunk`: the tower that it stands on, for those in `STANDING`.
    """
    return tower_builder(kind, name)(*trunk, **settings)
