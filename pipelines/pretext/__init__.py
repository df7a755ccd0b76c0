"""Pretext tasks, by name: what a sample must have, what is decoded of it, and the batch that is made on the device."""

import difflib
import typing
from collections.abc import Collection
from dataclasses import fields
from typing import Any, Final

import msgspec

from unreel.pipelines.pretext.arrow_of_time import ArrowOfTime
from unreel.pipelines.pretext.clip_order import ClipOrder
from unreel.pipelines.pretext.colourisation import Colourisation
from unreel.pipelines.pretext.correspondence import Correspondence
from unreel.pipelines.pretext.dense_prediction import DensePrediction
from unreel.pipelines.pretext.future_frames import FutureFrames
from unreel.pipelines.pretext.jigsaw import Jigsaw
from unreel.pipelines.pretext.misalignment import Misalignment
from unreel.pipelines.pretext.odd_one_out import OddOneOut
from unreel.pipelines.pretext.rotation import Rotation
from unreel.pipelines.pretext.sequence_sorting import SequenceSorting
from unreel.pipelines.pretext.shuffle_and_learn import ShuffleAndLearn
from unreel.pipelines.pretext.sync_offset import SyncOffset
from unreel.pipelines.pretext.synchronisation import Synchronisation
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch, PretextTask, TrainableTask
from unreel.pipelines.pretext.time_contrast import TimeContrast

__all__ = [
    "TASKS",
    "ArrowOfTime",
    "ClipOrder",
    "Colourisation",
    "Correspondence",
    "DensePrediction",
    "FutureFrames",
    "Jigsaw",
    "Look",
    "Misalignment",
    "Needs",
    "OddOneOut",
    "PretextBatch",
    "PretextTask",
    "Rotation",
    "SequenceSorting",
    "ShuffleAndLearn",
    "SyncOffset",
    "Synchronisation",
    "TimeContrast",
    "TrainableTask",
    "make_task",
]

TASKS: Final[dict[str, type[TrainableTask]]] = {
    "arrow_of_time": ArrowOfTime,
    "colourisation": Colourisation,
    "clip_order": ClipOrder,
    "correspondence": Correspondence,
    "dense_prediction": DensePrediction,
    "future_frames": FutureFrames,
    "jigsaw": Jigsaw,
    "rotation": Rotation,
    "odd_one_out": OddOneOut,
    "sequence_sorting": SequenceSorting,
    "shuffle_and_learn": ShuffleAndLearn,
    "misalignment": Misalignment,
    "sync_offset": SyncOffset,
    "synchronisation": Synchronisation,
    "time_contrast": TimeContrast,
}
"""Name → task; `unreel.models.objectives.OBJECTIVES` has the same names."""


def make_task(name: str, **settings: Any) -> TrainableTask:
    """The task `name` with `settings` for its fields; the other fields keep their defaults.

    Raises ValueError for an unknown name or field, and for a value of a wrong type or out of its range.
    """
    if name not in TASKS:
        raise ValueError(f"task {name!r}: {_suggest(name, TASKS)}")
    task = TASKS[name]
    kinds = typing.get_type_hints(task)
    known = [field.name for field in fields(task)]  # type: ignore[arg-type]
    for unknown in sorted(set(settings) - set(known)):
        raise ValueError(f"task {name} has no setting {unknown!r}: {_suggest(unknown, known)}")
    return task(**{key: _typed(key, value, kinds[key]) for key, value in settings.items()})


def _typed(key: str, value: object, kind: Any) -> object:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key} = {value!r}: {error}") from error


def _suggest(name: str, choices: Collection[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"choose one of {', '.join(sorted(choices))}"
