"""Training: settings, the loop, checkpoints that resume exactly, and loading a trained run."""

from unreel.models.training.config import RunConfig
from unreel.models.training.model import PretextModel, build_model, build_task, build_tasks
from unreel.models.training.progress import TrainingResult
from unreel.models.training.ranks import Ranks, joined_ranks
from unreel.models.training.run import LoadedRun, RunFolder, load_run
from unreel.models.training.trainer import Trainer

__all__ = [
    "LoadedRun",
    "PretextModel",
    "Ranks",
    "RunConfig",
    "RunFolder",
    "Trainer",
    "TrainingResult",
    "build_model",
    "build_task",
    "build_tasks",
    "joined_ranks",
    "load_run",
]
