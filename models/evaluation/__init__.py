"""What was learned: pretext accuracy beside its control, and what frozen features know, with intervals by source."""

from unreel.models.evaluation.control import Thumbnail, calibrate, low_level
from unreel.models.evaluation.features import Encoder, Features, encode, still_batches
from unreel.models.evaluation.frozen import teach_objective
from unreel.models.evaluation.intervals import Estimate, bootstrap
from unreel.models.evaluation.knn import knn_predict
from unreel.models.evaluation.pretext import PretextScore, evaluate
from unreel.models.evaluation.probe import Examples, classify, regress
from unreel.models.evaluation.readout import Frozen, evaluate_readouts
from unreel.models.evaluation.scores import auc, balanced_accuracy, difference, r_squared
from unreel.models.evaluation.transfer import Finding, find_knowledge

__all__ = [
    "Encoder",
    "Estimate",
    "Examples",
    "Features",
    "Finding",
    "Frozen",
    "PretextScore",
    "Thumbnail",
    "auc",
    "balanced_accuracy",
    "bootstrap",
    "calibrate",
    "classify",
    "difference",
    "encode",
    "evaluate",
    "evaluate_readouts",
    "find_knowledge",
    "knn_predict",
    "low_level",
    "r_squared",
    "regress",
    "still_batches",
    "teach_objective",
]
