"""Towers that stand on another one, whose weights they share: clips seen frame by frame, and stills as clips of one frame."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.tower import Inputs, Tower

__all__ = ["StandingTower", "frame_by_frame", "stills"]

_TRUNK = "trunk."


class StandingTower(Tower):
    """A tower whose maps are those of another one, `trunk`, with which tasks that take another kind of input train it too.

    The trunk's weights are saved and loaded as the trunk's own, not as this tower's.

    Attributes:
        trunk: the tower that it stands on.
    """

    def __init__(
        self, trunk: Tower, vectors: Mapping[str, nn.Module], *, spec: InputSpec, embed_dim: int
    ) -> None:
        super().__init__({}, vectors, inputs=(spec,), embed_dim=embed_dim)
        self.trunk = trunk
        self.channels = trunk.channels
        self.register_state_dict_post_hook(_leave_out)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_forgive)  # type: ignore[no-untyped-call]


class _FrameByFrame(StandingTower):
    def _walk(self, x: Inputs) -> Iterator[tuple[str, Tensor]]:
        (clips,) = self.check(x)
        shape = clips.shape[0], clips.shape[2]
        for name, found in self.trunk._walk(clips.transpose(1, 2).flatten(0, 1)):
            values = found.view(*shape, *found.shape[1:]).transpose(1, 2)
            if name in self.channels:
                yield name, values
        yield "embed", self.stages["embed"](values)


class _Stills(StandingTower):
    def _walk(self, x: Inputs) -> Iterator[tuple[str, Tensor]]:
        (pictures,) = self.check(x)
        for name, found in self.trunk._walk(pictures[:, :, None]):
            yield name, found.mean(dim=2) if found.dim() == 5 else found


def frame_by_frame(trunk: Tower, /, *, hidden: int = 128, cells: int = 4, embed_dim: int = 128) -> Tower:
    """A clip tower that stands on a frame tower: each frame's embedding, then a convolution over their times.

    The trunk never sees two frames at once; what happens in time is told from how its embeddings change. So tasks of frames
    and tasks of clips train one trunk, on inputs of one kind.

    Args:
        trunk: a frame tower.
        hidden: channels of the convolution over 3 frames.
        cells: spans of a clip that its embedding keeps apart; 1 says what happens and not when.
        embed_dim: length of the embedding.

    Raises:
        ValueError: the trunk is of another kind.
    """
    spec = _spec_of(trunk, "frame")
    layers = nn.Sequential(
        nn.Conv1d(trunk.embed_dim, hidden, 3, padding=1, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool1d(cells),
        nn.Flatten(),
        nn.Linear(hidden * cells, embed_dim, bias=False),
        nn.BatchNorm1d(embed_dim),
        nn.ReLU(),
    )
    minimum, multiple = ((1, *(least or (1, 1))) for least in (spec.minimum, spec.multiple))
    clips = InputSpec(
        kind="video", channels=spec.channels, size=(16, *spec.size), minimum=minimum, multiple=multiple
    )
    tower = _FrameByFrame(trunk, {"embed": layers}, spec=clips, embed_dim=embed_dim)
    tower.stride = {name: (1, *stride) for name, stride in trunk.stride.items()}
    return tower


def stills(trunk: Tower, /) -> Tower:
    """A frame tower that is a clip tower on clips of one frame; it has no weights of its own.

    Convolutions over time then see one frame and their padding, so that batch norm, which counts stills and clips together,
    suits neither: choose `norm` "group" or "layer" for the trunk.

    Args:
        trunk: a clip tower that takes clips of one frame.

    Raises:
        ValueError: the trunk is of another kind, or needs more frames.
    """
    spec = _spec_of(trunk, "video")
    least = (spec.minimum or (1, 1, 1)), (spec.multiple or (1, 1, 1))
    if max(part[0] for part in least) > 1:
        raise ValueError(
            f"stills: the trunk takes clips of {max(part[0] for part in least)} frames or more, and not of one"
        )
    pictures = InputSpec(
        kind="frame",
        channels=spec.channels,
        size=spec.size[1:],
        minimum=least[0][1:],
        multiple=least[1][1:],
    )
    tower = _Stills(trunk, {}, spec=pictures, embed_dim=trunk.embed_dim)
    tower.stride = {name: stride[1:] for name, stride in trunk.stride.items()}
    return tower


def _spec_of(trunk: Tower, kind: str) -> InputSpec:
    if trunk.kind != kind:
        raise ValueError(f"the trunk is of kind {trunk.kind!r}: this tower stands on one of kind {kind!r}")
    return trunk.inputs[0]


def _leave_out(module: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    for name in [name for name in state if name.startswith(prefix + _TRUNK)]:
        del state[name]


def _forgive(module: nn.Module, incompatible: Any) -> None:
    """The trunk's weights are loaded, and missed, under its own name."""
    missing = incompatible.missing_keys
    missing[:] = [name for name in missing if f".{_TRUNK}" not in f".{name}"]
