"""What an ability is shown with: a run, towers that nobody trained, and held-out samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from unreel.models.evaluation import Estimate
from unreel.models.training import LoadedRun, PretextModel
from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext.task import PretextTask

__all__ = ["Ability", "Examined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What was found.

    Attributes:
        figures: quantity, with its unit → contestant → estimate over held-out sources. `trained` is the run; others are
            what it is held against.
        picture: written to `RUN/eval.png`; None for none.
        about: what the picture shows and the figures mean, in a sentence.
    """

    figures: Mapping[str, Mapping[str, Estimate]]
    picture: Image.Image | None
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A run whose ability is asked for.

    Attributes:
        loaded: the run.
        held_out: opens held-out samples for a task; the caller closes the loader.
        untrained: the run's model before training, its batch norm calibrated on training samples.
    """

    loaded: LoadedRun
    held_out: Callable[[PretextTask], Loader]
    untrained: Callable[[], PretextModel]
