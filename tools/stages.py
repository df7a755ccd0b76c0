"""The folder of a demo: where each stage writes, and a log of which stages are done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from unreel.shards.files import write_atomic

__all__ = ["DemoFolder", "DemoLog", "StageRecord"]


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The paths of a demo."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "demo.json"

    @property
    def world(self) -> Path:
        return self.path / "world"

    @property
    def shards(self) -> Path:
        return self.path / "shards"

    @property
    def twin_world(self) -> Path:
        return self.path / "twin-world"

    @property
    def twin_shards(self) -> Path:
        return self.path / "twin-shards"

    @property
    def sheets(self) -> Path:
        return self.path / "sheets"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def run(self, task: str) -> Path:
        """The run folder of a task."""
        return self.path / "runs" / task

    def sheet(self, task: str) -> Path:
        """The contact sheet of a task."""
        return self.sheets / f"{task}.png"


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a demo."""

    name: str
    status: Literal["done", "skipped"]
    seconds: float = 0.0
    """Wall time, of the session that finished it."""
    detail: str = ""
    """What came out in a few words, or why the stage was left out."""


class DemoLog(msgspec.Struct, kw_only=True):
    """`demo.json`: what the demo is of and which stages are done, so that one that was stopped goes on there."""

    media: str | None = None
    """The user's folder; None for the generated world."""
    fast: bool = False
    stages: dict[str, StageRecord] = {}

    @classmethod
    def open(cls, path: Path, *, media: str | None, fast: bool) -> "DemoLog":
        """The log at `path`, or a new one.

        Raises:
            ValueError: the file is no log, or that of another demo.
        """
        if not path.exists():
            return cls(media=media, fast=fast)
        try:
            log = msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: not the log of a demo ({error}); choose another folder") from error
        if (log.media, log.fast) != (media, fast):
            raise ValueError(
                f"{path.parent} holds {log.title}, not {cls(media=media, fast=fast).title}: choose another folder"
            )
        return log

    @property
    def title(self) -> str:
        """What the demo is of, in words."""
        return f"a {'fast' if self.fast else 'full'} demo of {self.media or 'the generated world'}"

    def run(self, path: Path, name: str, work: Callable[[], str]) -> tuple[StageRecord, bool]:
        """Do `work`, which returns what came out in a few words, unless the log at `path` says that it is done.

        Returns:
            the stage's record, and whether it was done now.
        """
        known = self.stages.get(name)
        if known is not None and known.status == "done":
            return known, False
        begun = time.perf_counter()
        detail = work()
        record = StageRecord(name=name, status="done", seconds=time.perf_counter() - begun, detail=detail)
        self._put(path, record)
        return record, True

    def skip(self, path: Path, name: str, why: str) -> StageRecord:
        """Note that a stage is left out, and why."""
        record = StageRecord(name=name, status="skipped", detail=why)
        if self.stages.get(name) != record:
            self._put(path, record)
        return record

    def skipped(self, kind: str) -> dict[str, str]:
        """Name → reason of the stages called `KIND NAME` that were left out."""
        return {
            stage.name.removeprefix(f"{kind} "): stage.detail
            for stage in self.stages.values()
            if stage.status == "skipped" and stage.name.startswith(f"{kind} ")
        }

    def _put(self, path: Path, record: StageRecord) -> None:
        self.stages[record.name] = record
        write_atomic(path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
