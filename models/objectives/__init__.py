"""Objectives: the head and the loss that learn from a pretext task's batch, by the task's name."""

from typing import Final

from unreel.models.objectives.arrow_of_time import ArrowOfTime
from unreel.models.objectives.clip_order import ClipOrder
from unreel.models.objectives.colourisation import Colourisation
from unreel.models.objectives.correspondence import Correspondence
from unreel.models.objectives.dense_prediction import DensePrediction
from unreel.models.objectives.future_frames import FutureFrames
from unreel.models.objectives.jigsaw import Jigsaw
from unreel.models.objectives.misalignment import Misalignment
from unreel.models.objectives.objective import Objective
from unreel.models.objectives.odd_one_out import OddOneOut
from unreel.models.objectives.outcome import METRICS, Decisions, Errors, Outcome, Rankings
from unreel.models.objectives.rotation import Rotation
from unreel.models.objectives.sequence_sorting import SequenceSorting
from unreel.models.objectives.shuffle_and_learn import ShuffleAndLearn
from unreel.models.objectives.sync_offset import SyncOffset
from unreel.models.objectives.synchronisation import Synchronisation
from unreel.models.objectives.time_contrast import TimeContrast

__all__ = [
    "METRICS",
    "OBJECTIVES",
    "ArrowOfTime",
    "ClipOrder",
    "Colourisation",
    "Correspondence",
    "Decisions",
    "DensePrediction",
    "Errors",
    "FutureFrames",
    "Jigsaw",
    "Misalignment",
    "Objective",
    "OddOneOut",
    "Outcome",
    "Rankings",
    "Rotation",
    "SequenceSorting",
    "ShuffleAndLearn",
    "SyncOffset",
    "Synchronisation",
    "TimeContrast",
]

OBJECTIVES: Final[dict[str, type[Objective]]] = {
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
"""Task → objective; the names are those of `unreel.pipelines.pretext.TASKS`."""
