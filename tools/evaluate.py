"""A trained run on held-out sources: opens what it was trained on, scores it, its twin and its controls."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor

from unreel.models.evaluation import (
    Encoder,
    Estimate,
    Features,
    Frozen,
    PretextScore,
    Thumbnail,
    calibrate,
    encode,
    evaluate,
    evaluate_readouts,
    find_knowledge,
    low_level,
    still_batches,
    teach_objective,
)
from unreel.models.objectives import OBJECTIVES
from unreel.models.training import LoadedRun, PretextModel, RunFolder, build_model, load_run
from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext.task import PretextBatch, PretextTask
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader
from unreel.tools.abilities import ABILITIES, Examined
from unreel.tools.data import only_folder
from unreel.tools.evaluation import LOW_LEVEL, TRAINED, UNTRAINED, Evaluation, Knowledge
from unreel.tools.twin import transplant, with_settings

__all__ = ["PICTURE", "evaluate_run", "evaluate_tasks"]

PICTURE: Final = "eval.png"
"""In the run folder: what its ability looks like."""

_CLIPS: Final = 64
"""Rows of a batch, a multiple of the usual groups."""

_CALIBRATION: Final = 256
"""Clips by which the untrained tower's batch norm is calibrated."""

_TEACHING_PASSES: Final = 12
"""How often each training clip may teach the head of a control, until there are enough decisions."""

_TEACHING_STEPS: Final = 100
"""Batches of `_CLIPS` rows, at most, that teach an objective whose towers stay as they are."""

_ASKED: Final = {"positive": 0.5, "hard_after": 0}
"""Settings of tasks that an evaluation has its own way: half of the decisions of each class, for the published mix is for
training, and no curriculum."""

_MOMENTS: Final = 8
"""Frames of each sample that features are taken of."""

_CLIP_MOMENTS: Final = 4
"""Short clips of each sample that features are taken of."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Batches:
    """The first batches of a loader, in which each clip is drawn `passes` times; made anew at each iteration."""

    loader: Loader
    passes: int

    def __iter__(self) -> Iterator[PretextBatch]:
        steps = math.ceil(self.passes * self.loader.samples / self.loader.batch_size)
        return map(self.loader.batch, range(steps))


def evaluate_run(run: Path, **asked: Any) -> Evaluation:
    """As `evaluate_tasks`, of a run's only task. Raises ValueError where there are several."""
    tasks = RunFolder(run).read_config().named_tasks
    if len(tasks) > 1:
        raise ValueError(f"{run}: a run of the tasks {', '.join(tasks)}; take `evaluate_tasks`")
    return next(iter(evaluate_tasks(run, **asked).values()))


def evaluate_tasks(
    run: Path,
    *,
    data: Path | None = None,
    twin: Path | None = None,
    passes: int = 8,
    by: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Evaluation]:
    """Evaluate each task of the newest checkpoint of `run`; each tower is probed once, with the first task that trains it.

    Args:
        data: shards; by default those that the run was trained on.
        twin: shards of the same clips without their objects.
        passes: how often each held-out clip is drawn for the task, each time at other moments.
        by: a label of the data set's manifest; the clips of each of its values are scored by themselves as well.
        say: hears what is being done.

    Raises:
        ValueError: there is no run or no checkpoint in `run`, nothing in the data suits it, or no clip has the label.
    """
    loaded = load_run(run)
    catalogue = Catalogue.open(data or only_folder(loaded.recipe.data.shards))
    kinds = {} if by is None else _kinds(catalogue, by)
    found: dict[str, Evaluation] = {}
    probed: set[str] = set()
    for name in loaded.tasks:
        begun, one = time.perf_counter(), loaded.of(name)
        shown = name if loaded.recipe.tasks else ""
        found[name] = Evaluation(
            run=str(run),
            data=str(catalogue.folder),
            twin=None if twin is None else str(twin),
            step=one.step,
            task=one.task.name,
            name=shown,
            pretext=_score(one, catalogue, one.task, passes, say, kinds),
            on_twin=None if twin is None else _score_twin(one, catalogue, twin, passes, say),
            controls=_score_controls(one, catalogue, passes, say),
            knowledge=tuple(
                _knowledge(one, catalogue, kind, say) for kind in one.towers if kind not in probed
            ),
            abilities=_show_ability(one, catalogue, run / (f"eval-{shown}.png" if shown else PICTURE), say),
            seconds=time.perf_counter() - begun,
        )
        probed |= set(one.towers)
    return found


def _kinds(catalogue: Catalogue, label: str) -> dict[str, str]:
    """Key → the label and its value, of all clips that have it. Raises ValueError when none does."""
    reader = Reader(catalogue)
    labels = {
        (sidecar := reader.read(shard, ordinal, members=()).sidecar).key: sidecar.labels
        for shard, ordinal, _ in catalogue.rows()
    }
    kinds = {key: f"{label} {named[label]}" for key, named in labels.items() if label in named}
    if not kinds:
        known = sorted({name for named in labels.values() for name in named})
        raise ValueError(f"label {label!r}: no clip of {catalogue.folder} has it; known are {known}")
    return kinds


def _score(
    loaded: LoadedRun,
    catalogue: Catalogue,
    task: PretextTask,
    passes: int,
    say: Callable[[str], None],
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> PretextScore:
    say(f"{loaded.task.name} on held-out sources of {catalogue.folder}")
    with _open(loaded, catalogue, with_settings(task, **_ASKED), split="val") as loader:
        return evaluate(loaded.objective, loaded.towers, _Batches(loader, passes), kinds=kinds)


def _score_twin(
    loaded: LoadedRun, catalogue: Catalogue, twin: Path, passes: int, say: Callable[[str], None]
) -> PretextScore:
    task = transplant(with_settings(loaded.task, **_ASKED), catalogue.folder)
    return _score(loaded, Catalogue.open(twin), task, passes, say)


def _score_controls(
    loaded: LoadedRun, catalogue: Catalogue, passes: int, say: Callable[[str], None]
) -> dict[str, PretextScore]:
    """What the task's head learns by itself, from towers that do not."""
    say(f"{loaded.task.name} with towers that nobody trained")
    task = with_settings(loaded.task, **_ASKED)
    with (
        _open(loaded, catalogue, task, split="train") as train,
        _open(loaded, catalogue, task, split="val") as test,
    ):
        teaching, asked = _Batches(train, _TEACHING_PASSES), _Batches(test, passes)
        if loaded.objective.readout == "head":
            return evaluate_readouts(_untrained(loaded, teaching), train=teaching, test=asked)
        return {UNTRAINED: _score_whole(loaded, teaching, asked)}


def _score_whole(
    loaded: LoadedRun, teaching: Iterable[PretextBatch], asked: Iterable[PretextBatch]
) -> PretextScore:
    """What all but the towers learns by itself; thumbnails have no maps, and are left out."""
    model = build_model(loaded.recipe)
    _calibrate(model, loaded, teaching)
    towers = dict(model.towers.items())
    steps = min(loaded.recipe.train.steps, _TEACHING_STEPS)
    objective = teach_objective(model.objective_of(loaded.name), towers, teaching, steps=steps)
    return evaluate(objective, towers, asked)


def _untrained(loaded: LoadedRun, batches: Iterable[PretextBatch]) -> dict[str, Frozen]:
    """Encoder → what a run has before training, but for batch norm, which knows the data; and thumbnails."""
    model = build_model(loaded.recipe)
    _calibrate(model, loaded, batches)
    towers = dict(model.towers.items())
    thumbnails = {kind: Thumbnail(kind) for kind in towers}
    settings = loaded.recipe.named_objectives[loaded.name]
    objective = OBJECTIVES[loaded.task.name](thumbnails, **settings)
    return {
        UNTRAINED: Frozen(model.objective_of(loaded.name), towers),
        LOW_LEVEL: Frozen(objective.eval(), thumbnails),
    }


def _show_ability(
    loaded: LoadedRun, catalogue: Catalogue, picture: Path, say: Callable[[str], None]
) -> Mapping[str, Mapping[str, Estimate]]:
    """What the towers can do beyond the question, and its picture; empty for a task or data that show nothing."""
    show = ABILITIES.get(loaded.task.name)
    if show is None:
        return {}
    say(f"what the towers of {loaded.task.name} can do")
    ability = show(
        Examined(
            loaded=loaded,
            held_out=lambda task: _open(loaded, catalogue, task, split="val"),
            untrained=lambda: _calibrated(loaded, catalogue),
        )
    )
    if ability is not None and ability.picture is not None:
        ability.picture.save(picture)
    return {} if ability is None else ability.figures


def _calibrated(loaded: LoadedRun, catalogue: Catalogue) -> PretextModel:
    """The run's model before training, but for batch norm, which knows the data."""
    model = build_model(loaded.recipe)
    with _open(loaded, catalogue, loaded.task, split="train") as train:
        _calibrate(model, loaded, _Batches(train, 1))
    return model


def _calibrate(model: PretextModel, loaded: LoadedRun, batches: Iterable[PretextBatch]) -> None:
    calibrate(model, islice(batches, _CALIBRATION // _CLIPS), run=lambda batch: model(batch, loaded.name))


def _knowledge(loaded: LoadedRun, catalogue: Catalogue, kind: str, say: Callable[[str], None]) -> Knowledge:
    """Probe one tower: features of training sources teach the probe, those of held-out sources test it."""
    say(f"what the {kind} tower knows")
    if not _names_factors(catalogue):
        return Knowledge(tower=kind, train_clips=0, test_clips=0, failures=0, findings=())
    look = loaded.look(kind)
    stills = Stills.of(look, moments=_MOMENTS if look.frames == 1 else _CLIP_MOMENTS)
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


def _names_factors(catalogue: Catalogue) -> bool:
    """Whether the manifest named a label or a track; the first sample of each shard tells."""
    reader = Reader(catalogue)
    shards = range(len(catalogue.counts))
    firsts = (reader.read(shard, 0, members=()).sidecar for shard in shards)
    return any(sidecar.labels or sidecar.tracks for sidecar in firsts)


def _encoders(loaded: LoadedRun, kind: str, loader: Loader) -> dict[str, Encoder]:
    """The run's tower beside its controls, all of which see the same stills."""
    untrained = build_model(loaded.recipe).towers[kind]
    calibrate(untrained, _tower_inputs(loader, kind))
    return {TRAINED: loaded.towers[kind], UNTRAINED: untrained, LOW_LEVEL: low_level}


def _tower_inputs(loader: Loader, kind: str) -> Iterator[Tensor]:
    """What a tower of `kind` takes, from the first clips of `loader`."""
    for media, batch in still_batches(loader, min(_CALIBRATION, loader.samples)):
        x = batch.inputs[kind][media.valid]
        yield x if kind == "audio" else x.flatten(0, 1)


def _features(loader: Loader, encoders: dict[str, Encoder], kind: str) -> Features:
    return encode(loader, encoders, clips=loader.samples, modality=kind)


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
