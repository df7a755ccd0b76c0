"""Run the cases of an audit: decode, show the artefact, probe, with the guard on and off."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from unreel.models.evaluation import Estimate
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import FailurePolicy, Loader
from unreel.pipelines.pretext.task import TrainableTask
from unreel.shards.catalogue import Catalogue
from unreel.tools.audit.artefacts import Artefact
from unreel.tools.audit.cases import Case
from unreel.tools.audit.findings import Finding, Side
from unreel.tools.audit.probe import Evidence, probe
from unreel.tools.audit.worlds import prepare

__all__ = ["audit_cases", "gather"]

_ROWS: Final = 64

Say = Callable[[str], None]


def audit_cases(
    cases: Iterable[Case],
    *,
    folder: Path,
    data: Catalogue | None = None,
    passes: int = 8,
    workers: int = 1,
    say: Say = lambda _: None,
) -> Iterator[Finding]:
    """Findings of `cases`, as they are there.

    Args:
        folder: where generated media lie; they are made where they are not there.
        data: shards in the place of the generated ones.
        passes: how often each clip is drawn.
        workers: processes that generate and build.
        say: hears what is being done.
    """
    seen: dict[tuple[object, ...], tuple[float, Estimate]] = {}
    for case in cases:
        began = time.monotonic()
        say(f"{case.guard}: making media")
        catalogue = data or prepare(case.world, folder, workers=workers)
        say(f"{case.guard}: {case.artefact}")
        for task in (case.task, case.unguarded):
            # Several forms of a guard stand against the same task without it.
            if (asked := (case.world, task, case.show)) not in seen:
                evidence = gather(catalogue, task, case.show, passes=passes)
                seen[asked] = evidence.chance, probe(evidence)
        chance, on = seen[case.world, case.task, case.show]
        yield Finding(
            guard=case.guard,
            threat=case.threat,
            artefact=case.artefact,
            task=case.task.name,
            data=str(catalogue.folder) if data else case.world,
            chance=chance,
            off=Side(
                settings=case.unguarded.guards[case.guard],
                accuracy=seen[case.world, case.unguarded, case.show][1],
            ),
            on=Side(settings=case.task.guards[case.guard], accuracy=on),
            known=case.known,
            seconds=round(time.monotonic() - began, 1),
        )


def gather(catalogue: Catalogue, task: TrainableTask, show: Artefact, *, passes: int) -> Evidence:
    """What a probe sees of `passes` draws of each clip. Raises ValueError when no clip suits the task."""
    with Loader(
        catalogue,
        task,
        batch_size=math.lcm(_ROWS, task.needs.aligned),
        seed=0,
        split=None,
        backend="packets",
        failures=FailurePolicy(share=1.0, run=10**9),
    ) as loader:
        steps = math.ceil(passes * loader.samples / loader.batch_size)
        parts = []
        for step in range(steps):
            media = loader.media(step)
            parts.append(show(media, task.build(media, Draws.of(0, task.name, media.positions))))
        return Evidence.join(parts)
