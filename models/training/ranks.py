"""The processes that train one model together: which of them this one is, and what they tell each other."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

from unreel.pipelines.errors import StateMismatch, UnreelError

__all__ = ["ALONE", "Ranks", "joined_ranks", "launched"]

_NEEDED: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its run; all methods but the attributes are called by every rank, in the same order.

    Attributes:
        rank: its number, in [0, `size`).
        size: how many there are; 1 trains alone and sends nothing.
        local: its number on its machine, and the number of its CUDA device.
        group: of torch's processes, through which they speak; None is the one of all.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    group: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that logs and saves."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this rank, where `name` is that of the run's settings.

        Raises:
            ValueError: one CUDA device is named for several ranks.
        """
        if self.size > 1 and name.startswith("cuda:"):
            raise ValueError(f"train.device {name!r} with {self.size} ranks: say 'cuda', each takes its own")
        return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, without a gradient; of the shape, the dtype and on the device of `values`."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total, group=self.group)
        return total

    def gather(self, value: Any) -> list[Any]:
        """What each rank gave, in their order, on every rank; anything that JSON holds."""
        if self.size == 1:
            return [value]
        # As JSON in a tensor: `all_gather_object` would pickle.
        mine = torch.frombuffer(bytearray(msgspec.json.encode(value)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self.group)
        longest = max(int(size) for size in sizes)
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(texts, torch.nn.functional.pad(mine, (0, longest - len(mine))), group=self.group)
        return [
            msgspec.json.decode(text[: int(size)].numpy().tobytes())
            for text, size in zip(texts, sizes, strict=True)
        ]

    def led(self, work: Callable[[], Any]) -> Any:
        """What `work` gives on rank 0, on every rank; only rank 0 does it.

        Raises:
            ValueError, UnreelError, OSError: what `work` raises, on rank 0.
            StateMismatch: with the same words, on the others, which would else wait for a rank that is gone.
        """
        if self.size == 1:
            return work()
        found: dict[str, Any] = {}
        failure: Exception | None = None
        if self.leads:
            try:
                found = {"value": work()}
            except (ValueError, UnreelError, OSError) as error:
                failure, found = error, {"error": f"{type(error).__name__}: {error}"}
        found = self.gather(found)[0]
        if failure is not None:
            raise failure
        if "error" in found:
            raise StateMismatch(f"rank 0 stopped: {found['error']}")
        return found["value"]

    def aside(self) -> "Ranks":
        """The same ranks through a group of their own, for a thread whose messages must not meet those of training."""
        return self if self.size == 1 else replace(self, group=dist.new_group(backend="gloo"))


ALONE: Final = Ranks()
"""One process that trains by itself."""


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher such as torchrun started this process as one of several, or of one, ranks."""
    return "WORLD_SIZE" in environment


@contextmanager
def joined_ranks(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, for as long as the block lasts; without a launcher this process is alone.

    CPU tensors go by gloo, CUDA tensors by NCCL. A process group that is there already, such as that of Ray Train, is
    used and left as it is.

    Raises:
        ValueError: the launcher's variables are incomplete, or the process group that is there has no gloo.
    """
    if int(environment.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    missing = [name for name in _NEEDED if name not in environment]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']} and {', '.join(missing)} not set: start ranks with torchrun"
        )
    rank, size, local = (int(environment[name]) for name in _NEEDED[:3])
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local % torch.cuda.device_count())
    with _process_group(cuda):
        yield Ranks(rank, size, local)


@contextmanager
def _process_group(cuda: bool) -> Iterator[None]:
    if dist.is_initialized():
        if "cpu:gloo" not in dist.get_backend_config():
            raise ValueError(
                f"the process group has {dist.get_backend_config()}: make it with 'cpu:gloo,cuda:nccl', or 'gloo'"
            )
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
