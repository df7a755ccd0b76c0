"""A trained run on held-out sources: opens what the run was trained on and fills one record, `eval.json`."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from torch import Tensor

from unreel.models.evaluation import (
    Encoder,
    Features,
    Finding,
    PretextScore,
    calibrate,
    encode,
    evaluate,
    find_knowledge,
    low_level,
    still_batches,
)
from unreel.models.training import LoadedRun, build_model, load_run
from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext.task import PretextTask
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue
from unreel.tools.twin import transplant, with_settings

__all__ = [
    "LOW_LEVEL",
    "TRAINED",
    "UNTRAINED",
    "Evaluation",
    "Knowledge",
    "evaluate_run",
    "read_evaluation",
    "write_evaluation",
]

TRAINED: Final = "trained"
UNTRAINED: Final = "untrained"
LOW_LEVEL: Final = "low-level"
"""The encoders: the run's tower, the same tower with its first weights and calibrated batch norm, an 8x8 grid of means."""

_CLIPS: Final = 64
"""Rows of a batch, a multiple of the usual groups."""

_CALIBRATION: Final = 256
"""Clips by which the untrained tower's batch norm is calibrated."""

_MOMENTS: Final = 8
"""Frames of each clip that features are taken of."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the features of one tower know.

    Attributes:
        tower: its kind, `frame` or `audio`.
        train_clips, test_clips: clips that probes learn from and that they are tested on.
        failures: clips on either side that could not be decoded.
        findings: one entry for each factor and method.
    """

    tower: str
    train_clips: int
    test_clips: int
    failures: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `unreel eval` found of a run.

    Attributes:
        run, data, twin: folders.
        step: of the checkpoint.
        task: its name.
        pretext: the task on held-out sources, half of the decisions of each class.
        on_twin: the same on the object-less twin; None without one.
        knowledge: probes and neighbours, a tower each.
        seconds: that the evaluation took.
    """

    run: str
    data: str
    twin: str | None
    step: int
    task: str
    pretext: PretextScore
    on_twin: PretextScore | None
    knowledge: tuple[Knowledge, ...]
    seconds: float


def evaluate_run(
    run: Path,
    *,
    data: Path | None = None,
    twin: Path | None = None,
    passes: int = 8,
    say: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Evaluate the newest checkpoint of `run`.

    Args:
        data: shards; by default those that the run was trained on.
        twin: shards of the same clips without their objects.
        passes: how often each held-out clip is drawn for the task, each time at other moments.
        say: hears what is being done.

    Raises:
        ValueError: there is no run or no checkpoint in `run`, or nothing in the data suits it.
    """
    begun = time.perf_counter()
    loaded = load_run(run)
    catalogue = Catalogue.open(data or loaded.recipe.data.shards)
    return Evaluation(
        run=str(run),
        data=str(catalogue.folder),
        twin=None if twin is None else str(twin),
        step=loaded.step,
        task=loaded.task.name,
        pretext=_score(loaded, catalogue, loaded.task, passes, say),
        on_twin=None if twin is None else _score_twin(loaded, catalogue, twin, passes, say),
        knowledge=tuple(_knowledge(loaded, catalogue, kind, say) for kind in loaded.towers),
        seconds=time.perf_counter() - begun,
    )


def read_evaluation(path: Path) -> Evaluation:
    """Read `eval.json`. Raises ValueError when the file is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not an evaluation ({error}); write it anew with `unreel eval`") from error


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write `eval.json`; numbers that are not known are null."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")


def _score(
    loaded: LoadedRun, catalogue: Catalogue, task: PretextTask, passes: int, say: Callable[[str], None]
) -> PretextScore:
    say(f"{loaded.task.name} on held-out sources of {catalogue.folder}")
    # Half of the decisions of each class: the published mix is for training.
    with _open(loaded, catalogue, with_settings(task, positive=0.5), split="val") as loader:
        steps = math.ceil(passes * len(loader.selection) / loader.batch_size)
        return evaluate(loaded.objective, loaded.towers, map(loader.batch, range(steps)))


def _score_twin(
    loaded: LoadedRun, catalogue: Catalogue, twin: Path, passes: int, say: Callable[[str], None]
) -> PretextScore:
    task = transplant(with_settings(loaded.task, positive=0.5), catalogue.folder)
    return _score(loaded, Catalogue.open(twin), task, passes, say)


def _knowledge(loaded: LoadedRun, catalogue: Catalogue, kind: str, say: Callable[[str], None]) -> Knowledge:
    """Probe one tower: features of training sources teach the probe, those of held-out sources test it."""
    say(f"what the {kind} tower knows")
    stills = _stills(loaded.task, kind)
    with _open(loaded, catalogue, stills, split="train") as loader:
        encoders = _encoders(loaded, kind, loader)
        train = _features(loader, encoders, kind)
    with _open(loaded, catalogue, stills, split="val") as loader:
        test = _features(loader, encoders, kind)
    return Knowledge(
        tower=kind,
        train_clips=len(train),
        test_clips=len(test),
        failures=train.failures + test.failures,
        findings=tuple(find_knowledge(train, test, trained=TRAINED)),
    )


def _stills(task: PretextTask, kind: str) -> Stills:
    """Moments as the tower saw them in training, but without augmentation."""
    settings: Any = task
    if kind == "audio":
        return Stills(frames=0, seconds=settings.audio_seconds, sound=settings.features)
    return Stills(frames=_MOMENTS, crop=(settings.crop, settings.crop), size=(settings.size, settings.size))


def _encoders(loaded: LoadedRun, kind: str, loader: Loader) -> dict[str, Encoder]:
    """The run's tower beside its controls, all of which see the same stills."""
    untrained = build_model(loaded.recipe).towers[kind]
    calibrate(untrained, _tower_inputs(loader, kind))
    return {TRAINED: loaded.towers[kind], UNTRAINED: untrained, LOW_LEVEL: low_level}


def _tower_inputs(loader: Loader, kind: str) -> Iterator[Tensor]:
    """What a tower of `kind` takes, from the first clips of `loader`."""
    for media, batch in still_batches(loader, min(_CALIBRATION, len(loader.selection))):
        x = batch.inputs[kind][media.valid]
        yield x.flatten(0, 1) if kind == "frame" else x


def _features(loader: Loader, encoders: dict[str, Encoder], kind: str) -> Features:
    return encode(loader, encoders, clips=len(loader.selection), modality=kind)


def _open(loaded: LoadedRun, catalogue: Catalogue, task: PretextTask, *, split: str) -> Loader:
    recipe = loaded.recipe
    return Loader(
        catalogue,
        task,
        batch_size=math.lcm(_CLIPS, task.needs.group),
        seed=recipe.train.seed,
        split=split,
        holdout=recipe.data.holdout,
        backend=recipe.loader.backend,
        threads=recipe.loader.threads,
    )
