"""What a pretext task is: what it needs, what it decodes of one sample, and the batch it makes of many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan
from unreel.shards.sample import Sidecar

__all__ = ["Look", "Needs", "PretextBatch", "PretextTask", "TrainableTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a task asks of the samples it is given; samples that cannot give it are not selected.

    Attributes:
        video, audio: which members a sample must have.
        image: a still picture. No sample has both a video and a still picture, so with `video` either will do.
        min_seconds: shortest sample that the task can plan on.
        min_scene_seconds: shortest longest scene, for tasks whose windows may not reach over a cut. Samples whose scenes
            were not measured meet it.
        min_size: (height, width) in pixels of the smallest stored picture that the task's window fits in.
        min_motion: smallest motion peak (see `SampleRow.motion`) that is worth a plan.
        min_sound: smallest share of a sample, in [0, 1], that must not be silent.
        group: rows are paired only inside consecutive aligned groups of this many positions; 1 pairs none.
        distinct_sources: no two rows of a batch over all ranks show one source, or, with `source_pairs`, no two pairs.
            It goes before once an epoch: a clip whose source the batch has already gives way to another one.
        source_pairs: rows 2 i and 2 i + 1 show one source: two of its clips, or one twice where its shard has no other.
            The first of each pair come once an epoch.
    """

    video: bool = False
    audio: bool = False
    image: bool = False
    min_seconds: float = 0.0
    min_scene_seconds: float = 0.0
    min_size: tuple[int, int] = (0, 0)
    min_motion: float = 0.0
    min_sound: float = 0.0
    group: int = 1
    distinct_sources: bool = False
    source_pairs: bool = False

    @property
    def aligned(self) -> int:
        """Rows that belong together: a rank has a multiple of them."""
        return lcm(self.group, 2 if self.source_pairs else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a tower of one kind sees a sample in a task, without augmentation: what probes take features of.

    Attributes:
        crop: side of the square of the stored picture, in pixels; 0 for a tower of sound.
        size: side of the tower's input, in pixels.
        frames: frames that the tower takes at once: 1 for a tower of frames.
        step_seconds: time from one of them to the next.
        grey: whether pictures lose their colours.
        seconds: length of the sound; 0 for a tower of pictures.
        features: how sound is shown, see `FEATURES`.
        clip: the tower takes clips, even where they are of one frame.
        differences: the frames are differences, each of one more frame and the one before it.
    """

    crop: int = 0
    size: int = 0
    frames: int = 1
    step_seconds: float = 0.0
    grey: bool = False
    seconds: float = 0.0
    features: str = "logmel"
    clip: bool = False
    differences: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PretextBatch:
    """What a task gives to its objective.

    Attributes:
        inputs: tensors by the name of the tower that takes them, or by a name that the objective knows.
        targets: what the objective should predict; first dimension B.
        valid: bool `[B]`; objectives leave the other rows out of loss and accuracy.
        positions: i64 `[B]`, positions in the order of the run.
        keys: the sample of each row.
        sources: the source of each row; intervals are taken over sources.
        facts: what an audit may try to cheat with, each `[B, ...]`, on the host.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    valid: Tensor
    positions: NDArray[np.int64]
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    facts: Mapping[str, NDArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        shapes = {name: tuple(value.shape) for name, value in self.inputs.items()}
        return f"PretextBatch({shapes}, targets {tuple(self.targets.shape)}, valid {int(self.valid.sum())})"

    def to(self, device: torch.device | str) -> "PretextBatch":
        """The same batch with its tensors on `device`."""
        return PretextBatch(
            inputs={name: value.to(device) for name, value in self.inputs.items()},
            targets=self.targets.to(device),
            valid=self.valid.to(device),
            positions=self.positions,
            keys=self.keys,
            sources=self.sources,
            facts=self.facts,
        )


@runtime_checkable
class PretextTask(Protocol):
    """A pretext task: a frozen dataclass whose fields are its published or chosen parameters.

    `plan` and `build` are pure: equal arguments give equal results, on any host, in any order.
    """

    name: ClassVar[str]

    @property
    def needs(self) -> Needs:
        """What a sample must have."""

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """Choose frames, window and sound of one sample; `draws` has one row.

        Raises:
            PlanImpossible: this sample cannot give what the task needs.
        """

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Make inputs and targets of a whole batch on the device that `media` is on; `draws` has B rows."""


@runtime_checkable
class TrainableTask(PretextTask, Protocol):
    """A task that `TASKS` lists: beside what a loader needs it says what its towers see and how its guards stand."""

    @property
    def guards(self) -> Mapping[str, str]:
        """Guard → how it stands, in words; one that is switched off says so with `off`."""

    def look(self, kind: str) -> Look:
        """How the tower of `kind` sees a sample. Raises ValueError for a kind that the task has no input for."""
