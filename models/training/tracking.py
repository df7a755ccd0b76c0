"""Trackers that a run reports to beside its own files: Weights & Biases, and MLflow; each imported where a recipe names it."""

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from unreel.models.training.config import RunConfig
from unreel.models.training.log import Listener, Row
from unreel.models.training.run import settings_by_name

__all__ = ["TRACKERS", "Mlflow", "Wandb", "open_tracker"]

_PROJECT: Final = "unreel"
_IDENTITIES: Final = "tracking.json"
"""Tracker → what it calls this run, so that a resumed run goes on in the same place."""

_MOST_PENDING: Final = 64
"""Rows that wait to be sent."""

_MOST_WORDS: Final = 500
"""Characters of a setting's value that every MLflow store takes."""


class Wandb:
    """Rows as W&B's metrics `SPLIT/NAME` over `step`; settings as its config.

    `WANDB_MODE=offline` writes below the run folder and `wandb sync` sends it later; `WANDB_PROJECT`, `WANDB_ENTITY`
    and the rest of its environment hold, too. A resumed run sends the rows again that it repeats.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        import wandb

        known = _identities(folder)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=folder.resolve().name,
            id=known.get("wandb"),
            resume="allow",
            dir=str(folder),
            config=settings_by_name(config),
            # What a terminal shows is a progress bar, and no log.
            settings=wandb.Settings(console="off", silent=True),
        )
        _remember(folder, "wandb", self._run.id)
        self._run.define_metric("*", step_metric="step")

    def row(self, row: Row) -> None:
        self._run.log({"step": row.step, **_named(row)})

    def warn(self, text: str) -> None:
        import wandb

        self._run.alert(title="unreel", text=text, level=wandb.AlertLevel.WARN)

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """Rows as MLflow's metrics `SPLIT/NAME` by step, sent by a thread of MLflow's own; settings as its parameters.

    Without `MLFLOW_TRACKING_URI` they are kept in `RUN/mlflow.db` (`mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db`).
    `MLFLOW_EXPERIMENT_NAME` holds, too. A resumed run sends the rows again that it repeats.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        from mlflow import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self._client = MlflowClient(tracking_uri=uri)
        known = _identities(folder).get("mlflow")
        self._run: str = known or self._create(folder, config)
        self._pending: deque[Any] = deque()
        self._client.update_run(self._run, status="RUNNING")
        _remember(folder, "mlflow", self._run)

    def row(self, row: Row) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, row.step) for name, value in _named(row).items()]
        self._pending.append(self._client.log_batch(self._run, metrics=metrics, synchronous=False))
        if len(self._pending) > _MOST_PENDING:
            self._pending.popleft().wait()

    def warn(self, text: str) -> None:
        self._client.set_tag(self._run, "warning", text[:_MOST_WORDS])

    def close(self) -> None:
        while self._pending:
            self._pending.popleft().wait()
        self._client.set_terminated(self._run)

    def _create(self, folder: Path, config: RunConfig) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, run_name=folder.resolve().name).info.run_id
        settings = settings_by_name(config).items()
        self._client.log_batch(run, params=[Param(key, str(value)[:_MOST_WORDS]) for key, value in settings])
        return run


TRACKERS: Final[Mapping[str, Callable[[Path, RunConfig], Listener]]] = {"wandb": Wandb, "mlflow": Mlflow}
"""Name in `train.log` → the listener that reports to it."""


class _Guarded:
    """A tracker that ends where it fails, with a warning: it costs its rows and not the run."""

    def __init__(self, name: str, tracker: Listener) -> None:
        self._name, self._tracker, self._failed = name, tracker, False

    def row(self, row: Row) -> None:
        self._attempt(lambda: self._tracker.row(row))

    def warn(self, text: str) -> None:
        self._attempt(lambda: self._tracker.warn(text))

    def close(self) -> None:
        self._attempt(self._tracker.close)

    def _attempt(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - said here; what talks to servers can raise anything
            self._failed = True
            what = f"{self._name}: {type(error).__name__}: {error}"
            warnings.warn(f"{what}. It hears no more of this run; metrics.jsonl has all rows", stacklevel=2)


def open_tracker(name: str, folder: Path, config: RunConfig) -> Listener:
    """The tracker of this name for the run in `folder`, as it is set up by its own environment variables.

    Raises:
        ValueError: its library is not installed, or it does not begin.
    """
    try:
        return _Guarded(name, TRACKERS[name](folder, config))
    except ImportError as error:
        raise ValueError(
            f"train.log names {name!r}: {error}; `pip install {name}`, or leave it out"
        ) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"train.log: {name} does not begin, {what}. Mend its settings, or leave it out"
        ) from error


def _named(row: Row) -> dict[str, float]:
    return {f"{row.split}/{name}": value for name, value in row.numbers.items()}


def _identities(folder: Path) -> dict[str, str]:
    path = folder / _IDENTITIES
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}


def _remember(folder: Path, name: str, identity: str) -> None:
    known = {**_identities(folder), name: identity}
    draft = folder / f"{_IDENTITIES}.draft"
    draft.write_bytes(msgspec.json.encode(known) + b"\n")
    draft.replace(folder / _IDENTITIES)
