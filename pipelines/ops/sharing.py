"""Work of compiled loops shared among threads, none of which holds the GIL."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import torch

__all__ = ["share"]

logger = logging.getLogger(__name__)

_ALONE: Final = 1 << 19
"""Values up to which one thread does it all: to wake another takes about as long."""


def share(work: Callable[[int, int], object], count: int, *, values: int) -> None:
    """work(start, stop) over equal stretches of `count` items, the first of them in this thread.

    Args:
        values: numbers that are made in all, which says whether other threads are worth waking. There are as many threads
            as torch has.
    """
    if not count:
        return
    _say_first_use()
    threads = 1 if values <= _ALONE else torch.get_num_threads()
    ends = np.linspace(0, count, min(threads, count) + 1).astype(int).tolist()
    others = [_pool(os.getpid()).submit(work, *pair) for pair in pairwise(ends[1:])]
    work(0, ends[1])
    for other in others:
        other.result()


@cache
def _say_first_use() -> None:
    """Once in a process, before what may take long."""
    logger.info(
        "the CPU kernels are loaded, or compiled at their first use on this machine (some ten seconds)"
    )


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    """Of this process: a fork has none of the threads of its parent."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kernel")
