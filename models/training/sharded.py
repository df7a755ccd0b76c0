"""Tensors that lie in parts on several ranks: whole ones of them, parts of whole ones, and their files.

The files are those of `torch.distributed.checkpoint` with its safetensors storage: one a rank, each of which says in its JSON
header where its parts belong. They are read at any number of ranks. (Its own default storage would be a pickle.) While it
saves, its ranks send each other plans in pickles: a transport between processes of one run, of which nothing is stored.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from unreel.models.training.ranks import Ranks

__all__ = ["divided", "is_divided", "load_parts", "save_parts", "whole"]


def is_divided(tensors: Mapping[str, Tensor]) -> bool:
    """Whether any of them lies in parts."""
    return any(isinstance(tensor, DTensor) for tensor in tensors.values())


def whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """All of each tensor; every rank calls it, and those that do not `keep` them get none.

    One tensor at a time is whole on every rank; those that are kept lie in host memory.
    """
    found = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = full.detach().cpu() if isinstance(tensor, DTensor) else full
    return found


def divided(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors, laid as those of the same name in `like` are; every rank calls it."""
    return {name: _divided(tensor, like.get(name)) for name, tensor in tensors.items()}


def _divided(tensor: Tensor, like: Tensor | None) -> Tensor:
    if not isinstance(like, DTensor) or tensor.shape != like.shape or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def save_parts(folder: Path, tensors: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Write the parts of all ranks into `folder`; every rank calls it."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    save(dict(tensors), storage_writer=writer, process_group=ranks.group)


def load_parts(folder: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `save_parts` wrote; a tensor `NAME/KEY` is laid as `like[NAME]` where both have one shape, and else whole."""
    reader = HuggingFaceStorageReader(str(folder))
    found = {
        name: _room(entry, like.get(name.rpartition("/")[0]))
        for name, entry in reader.read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    alone = not dist.is_initialized()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(found, storage_reader=reader, no_dist=alone)
    return found


def _room(entry: TensorStorageMetadata, like: Tensor | None) -> Tensor:
    if isinstance(like, DTensor) and entry.size == like.shape:
        return torch.empty_like(like, dtype=entry.properties.dtype, requires_grad=False)
    return torch.empty(entry.size, dtype=entry.properties.dtype)
