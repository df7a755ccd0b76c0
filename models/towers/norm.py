"""Which statistics a tower normalises by: those of the batch, or those of each row alone."""

from typing import Final, Literal, TypeVar, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Norm", "renormalise"]

Norm = Literal["batch", "group", "layer", "minibatch"]

_GROUPS: Final = 32
"""Groups of channels at most (Wu and He, "Group normalization", ECCV 2018)."""

M = TypeVar("M", bound=nn.Module)


def renormalise(module: M, norm: Norm) -> M:
    """Replace, in place, every batch norm of `module` by `norm`; `batch` leaves all as it is.

    Batch norm lets each row see the others, by which some pretext tasks can be solved, and its statistics differ from
    rank to rank; `torch.nn.SyncBatchNorm` evens that out, but does not run on a CPU. `minibatch` is batch norm that keeps no
    running statistics: in evaluation as well it normalises by the batch at hand, as dense predictive coding was
    pretrained. The two others treat each row by
    itself: `group` by groups of channels, at most 32, and `layer` by all channels and places at once. A vector is a
    single group in both, since a group of few numbers would be left with nothing to say.

    Raises:
        ValueError: for a norm that does not exist.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"norm {norm!r}: choose one of {', '.join(get_args(Norm))}")
    if norm == "minibatch":
        for child in module.modules():
            if isinstance(child, _BatchNorm):
                _forget(child)
    elif norm != "batch":
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                    setattr(parent, name, _row_norm(child, norm))
    return module


def _groups(channels: int) -> int:
    """At most: two channels a group or more, as the paper has it at the fewest, so that a map of one cell is left."""
    return min(_GROUPS, max(1, channels // 2))


def _forget(norm: _BatchNorm) -> None:
    norm.track_running_stats = False
    norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def _row_norm(old: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, norm: Norm) -> nn.GroupNorm:
    channels = old.num_features
    alone = norm == "layer" or isinstance(old, nn.BatchNorm1d)
    groups = 1 if alone else max(n for n in range(1, _groups(channels) + 1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps=old.eps, affine=old.affine)
