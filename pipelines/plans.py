"""What is done with plans before they are decoded: starts on key frames, frame types by draw, several tasks in one decode."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unreel.pipelines.plan import Plan
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets

__all__ = ["nearest_of_kind", "shares", "snap", "unite"]


def snap(start: int, length: int, packets: Packets) -> int:
    """The key frame nearest to `start` from which `length` frames fit, the earlier of two equally near.

    A clip that starts at a key frame decodes no frame that it does not show. The price is fewer starting points:
    one a GOP, so that a task which must not know the time of a clip should not use it.

    Raises:
        PlanImpossible: not even a clip from frame 0 fits.
    """
    keys = packets.key_frames
    fitting = keys[keys + length <= len(packets.key)]
    if not len(fitting):
        raise PlanImpossible(f"a clip of {length} frames does not fit in {len(packets.key)}")
    return int(fitting[np.argmin(np.abs(fitting - start))])


def nearest_of_kind(frame: int, packets: Packets, *, key: bool) -> int:
    """The frame nearest to `frame` that is a key frame, or is none; the earlier of two equally near.

    Codecs draw key frames sharper than others, which a network can see. Draw `key` independently of the label, and
    both labels show as many key frames.

    Raises:
        PlanImpossible: the sample has no frame of this kind.
    """
    found = np.flatnonzero((np.frombuffer(packets.key, "u1") != 0) == key)
    if not len(found):
        raise PlanImpossible(f"no frame of {len(packets.key)} is {'a' if key else 'no'} key frame")
    return int(found[np.argmin(np.abs(found - frame))])


def unite(plans: Sequence[Plan]) -> Plan:
    """One plan that shows the frames of all, one task's behind the other's; `shares` takes them apart again.

    The decoder produces each frame once, however many tasks show it. Facts stay with the tasks' own plans. The number of
    frames depends only on the tasks, so that the united plans of many samples make one batch.

    Raises:
        PlanImpossible: two plans want different windows, or different sound.
    """
    windows = {plan.window for plan in plans if plan.window is not None}
    sounds = {plan.sound for plan in plans if plan.sound is not None}
    if len(windows) > 1 or len(sounds) > 1:
        raise PlanImpossible(f"plans for one decode differ: windows {windows}, sounds {sounds}")
    frames = np.concatenate([np.empty(0, np.int32), *(plan.frames for plan in plans)])
    return Plan(frames=frames, window=next(iter(windows), None), sound=next(iter(sounds), None))


def shares(plans: Sequence[Plan]) -> list[slice]:
    """Where the frames of each plan lie among those of `unite(plans)`, and so along T of what is decoded."""
    edges = np.cumsum([0, *(len(plan.frames) for plan in plans)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]
