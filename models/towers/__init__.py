"""Towers: encoders of frames, clips and sound, by kind and name."""

from collections.abc import Callable, Mapping
from typing import Final

from unreel.models.towers.l3 import l3_audio, l3_frame
from unreel.models.towers.resnet import r2plus1d_18_video, resnet18_audio, resnet18_frame
from unreel.models.towers.tiny import tiny_audio, tiny_frame, tiny_video
from unreel.models.towers.tower import Tower

__all__ = ["TOWERS", "Tower", "build_tower", "tower_builder"]

TOWERS: Final[Mapping[str, Mapping[str, Callable[..., Tower]]]] = {
    "frame": {"l3": l3_frame, "resnet18": resnet18_frame, "tiny": tiny_frame},
    "video": {"r2plus1d_18": r2plus1d_18_video, "tiny": tiny_video},
    "audio": {"l3": l3_audio, "resnet18": resnet18_audio, "tiny": tiny_audio},
}
"""Kind → name → builder, whose keyword arguments are the tower's settings."""


def tower_builder(kind: str, name: str) -> Callable[..., Tower]:
    """The builder of tower `name` of `kind`. Raises ValueError with the choices when there is none."""
    if kind not in TOWERS:
        raise ValueError(f"tower kind {kind!r}: choose one of {', '.join(sorted(TOWERS))}")
    if name not in TOWERS[kind]:
        raise ValueError(f"{kind} tower {name!r}: choose one of {', '.join(sorted(TOWERS[kind]))}")
    return TOWERS[kind][name]


def build_tower(kind: str, name: str, **settings: object) -> Tower:
    """A new tower with weights from torch's global generator; `settings` are its builder's keyword arguments."""
    return tower_builder(kind, name)(**settings)
