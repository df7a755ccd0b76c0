"""What a run came from: code, data, machine and libraries of each session that trained it, in `RUN/provenance.json`."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec
import torch

from unreel.shards.files import write_atomic
from unreel.tools.data import Shards, open_data
from unreel.tools.findings import usable_memory

__all__ = [
    "CodeState",
    "DataState",
    "Machine",
    "Provenance",
    "Session",
    "git_state",
    "note_session",
    "read_provenance",
]

_LIBRARIES: Final = ("unreel", "torch", "torchvision", "torchaudio", "numpy", "numba", "av", "imageio-ffmpeg")
_OPTIONAL: Final = ("nvidia-dali-cuda130", "torchcodec", "decord", "ray", "triton")

_MOST_FILES: Final = 20
"""Changed files that are named."""

_GIT_SECONDS: Final = 20


class CodeState(msgspec.Struct, frozen=True, kw_only=True):
    """The git state of a folder."""

    what: str
    """`unreel`, or `working folder`: where the recipe and what calls unreel may lie."""
    commit: str = ""
    """Empty where git does not know the folder; `note` says why."""
    changed: int = 0
    """Files that differ from the commit, new ones included."""
    files: tuple[str, ...] = ()
    """The first of them."""
    note: str = ""

    @property
    def words(self) -> str:
        if not self.commit:
            return self.note
        return f"commit {self.commit[:12]}, " + (f"{self.changed} files changed" if self.changed else "clean")


class DataState(msgspec.Struct, frozen=True, kw_only=True):
    """One data set of a run."""

    shards: str
    digest: str
    """Over name, count and SHA-256 of all shards, in order: equal digests are equal bytes."""
    samples: int
    bytes: int
    used: int
    """Samples that training uses of it."""
    held_out: int
    """Samples that validation uses of it."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of machine; it is not named."""

    system: str
    processor: str
    cores: int
    """That this process may use."""
    memory_gib: float
    gpus: tuple[str, ...] = ()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a run."""

    started: str
    """UTC, ISO 8601."""
    command: tuple[str, ...]
    from_step: int
    """Of the checkpoint that it went on from; 0 began anew."""
    ranks: int
    code: tuple[CodeState, ...]
    data: tuple[DataState, ...]
    machine: Machine
    libraries: dict[str, str]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """`provenance.json`."""

    sessions: tuple[Session, ...] = ()


def note_session(
    path: Path, shards: Shards, used: Sequence[int], held_out: Sequence[int], *, from_step: int, ranks: int
) -> None:
    """Add this start to the file at `path`.

    Args:
        shards: the recipe's `data.shards`.
        used, held_out: samples that training and validation use of each data set.
    """
    session = Session(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),
        from_step=from_step,
        ranks=ranks,
        code=(_code_of_unreel(), git_state("working folder", Path.cwd())),
        data=tuple(_data(shards, used, held_out)),
        machine=_machine(),
        libraries=_libraries(),
    )
    found = Provenance(sessions=(*read_provenance(path).sessions, session))
    write_atomic(path, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def read_provenance(path: Path) -> Provenance:
    """What is noted; nothing where the file is not there. Raises ValueError where it cannot be read."""
    if not path.exists():
        return Provenance()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Provenance)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not the provenance of a run ({error})") from error


def _data(shards: Shards, used: Sequence[int], held_out: Sequence[int]) -> list[DataState]:
    names = [shards] if isinstance(shards, str) else list(shards)
    return [
        DataState(
            shards=name,
            digest=catalogue.digest,
            samples=len(catalogue),
            bytes=catalogue.total_bytes,
            used=used[number],
            held_out=held_out[number] if held_out else 0,
        )
        for number, (name, catalogue) in enumerate(zip(names, open_data(shards).catalogues, strict=True))
    ]


def _machine() -> Machine:
    gpus = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    return Machine(
        system=f"{platform.system()} {platform.release()} on {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(usable_memory() / 2**30, 1),
        gpus=tuple(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus),
    )


def _processor() -> str:
    """The model of the processor; its architecture where the system does not say."""
    text = Path("/proc/cpuinfo").read_text(errors="replace") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in (*_LIBRARIES, *_OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _code_of_unreel() -> CodeState:
    """Of the checkout that this file belongs to; installed into some other checkout it is not part of that."""
    folder = Path(__file__).resolve().parent
    if not _git(folder, "ls-files", "--error-unmatch", "__init__.py"):
        return CodeState(
            what="unreel", note=f"version {version('unreel')}, installed without its git checkout"
        )
    return git_state("unreel", folder)


def git_state(what: str, folder: Path) -> CodeState:
    """What git says of the checkout around `folder`."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return CodeState(what=what, note="not in a git checkout, or git is not installed")
    # Without the locks and refreshed index that `status` would write: a run leaves the user's checkout alone.
    changed = _git(folder, "--no-optional-locks", "status", "--porcelain").splitlines()
    names = tuple(line[3:] for line in changed[:_MOST_FILES])
    return CodeState(what=what, commit=commit, changed=len(changed), files=names)


def _git(folder: Path, *words: str) -> str:
    """What git says; empty where it is not there or refuses."""
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True, text=True, timeout=_GIT_SECONDS, check=False, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""
