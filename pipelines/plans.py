"""What is done with plans before they are decoded: starts on key frames, frame types by draw, several tasks in one decode."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.plan import Plan, Span, decode_cost
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets, Sidecar

__all__ = ["Cost", "cost_of", "heard_span", "nearest_of_kind", "shown_frames", "snap"]


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


def shown_frames(plans: Sequence[Plan]) -> NDArray[np.int32]:
    """The frames that any of the plans shows, each once and ascending: what one decode for all of them has to give."""
    return np.unique(np.concatenate([np.empty(0, np.int32), *(plan.frames for plan in plans)]))


def heard_span(spans: Sequence[Span]) -> Span:
    """The shortest stretch of sound that holds all of `spans`, of which there is at least one."""
    start = min(span.start for span in spans)
    return Span(start, max(span.start + span.length for span in spans) - start)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the plans of one or more tasks cost, known before anything is decoded.

    Attributes:
        shown: pictures that each task is shown.
        alone: pictures that a decoder must produce for each task alone.
        decoded: pictures that it must produce for all of them together.
    """

    shown: tuple[int, ...]
    alone: tuple[int, ...]
    decoded: int

    @classmethod
    def sum(cls, costs: Sequence["Cost"], *, tasks: int) -> "Cost":
        """Of several samples and `tasks` tasks."""
        shown, alone = (
            tuple(sum(getattr(cost, name)[task] for cost in costs) for task in range(tasks))
            for name in ("shown", "alone")
        )
        return cls(shown, alone, sum(cost.decoded for cost in costs))


def cost_of(plans: Sequence[Plan | None], sidecar: Sidecar) -> Cost:
    """The cost of the plans for one sample, one a task; None plans nothing. A still picture is one picture.

    A decoder starts at the nearest key frame, so that frames of one run of packets come out of it once for all tasks.
    """
    wanted = [np.empty(0, np.int32) if plan is None else plan.frames for plan in plans]
    shown = tuple(len(frames) for frames in wanted)
    if sidecar.video is None:
        alone = tuple(min(count, 1) for count in shown)
        return Cost(shown, alone, max(alone, default=0))
    packets = sidecar.video.packets
    alone = tuple(decode_cost(frames, packets) for frames in wanted)
    return Cost(shown, alone, alone[0] if len(alone) == 1 else decode_cost(np.concatenate(wanted), packets))
