"""What `unreel doctor` looks at: one function a subject, each giving findings with what to do about them."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from unreel.tools.trial import Trial

__all__ = ["Finding", "find_all", "find_backends", "find_ffmpeg", "find_gpu", "find_machine", "usable_memory"]

_NEEDED_ENCODERS: Final = ("libx264", "flac")
_TRIAL_SECONDS: Final = 120
_GIBI: Final = 2**30


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at.

    Attributes:
        subject: `machine`, `ffmpeg`, `gpu` or `decode`.
        name: what was looked at.
        status: `ok`; `absent` where it is not there and nothing needs it; `broken` where it is needed or is there
            and does not work.
        detail: what was found: versions, sizes, the reason of a failure.
        remedy: what to do about it.
        required: the main job (synth, build, train on this machine) cannot run without it.
        milliseconds: time of a trial.
    """

    subject: str
    name: str
    status: str
    detail: str
    remedy: str = ""
    required: bool = False
    milliseconds: float = 0.0


def find_all() -> Iterator[Finding]:
    """Every finding, the quick ones first."""
    yield from find_machine()
    yield from find_ffmpeg()
    yield from find_gpu()
    yield from find_backends()


def find_machine() -> Iterator[Finding]:
    """Operating system, Python, cores, memory, shared memory."""
    linux = sys.platform == "linux"
    yield Finding(
        "machine",
        "system",
        "ok" if linux else "broken",
        f"{platform.system()} {platform.release()} on {platform.machine()}",
        "" if linux else "unreel runs on Linux only",
        required=True,
    )
    yield Finding("machine", "python", "ok", platform.python_version(), required=True)
    yield Finding("machine", "cores", "ok", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")
    yield Finding("machine", "memory", "ok", f"{usable_memory() / _GIBI:.1f} GiB")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    yield Finding("machine", "free in " + tempfile.gettempdir(), "ok", f"{free / _GIBI:.1f} GiB")


def usable_memory() -> int:
    """Bytes that this process may use: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def find_ffmpeg() -> Iterator[Finding]:
    """The ffmpeg program that unreel uses, the system's, and the libraries in PyAV."""
    yield _wheel_ffmpeg()
    system = shutil.which("ffmpeg")
    detail = "not found" if system is None else f"{_version(system)}, {system}; unreel does not use it"
    yield Finding("ffmpeg", "ffmpeg of the system", "absent" if system is None else "ok", detail)
    yield _pyav()


def _wheel_ffmpeg() -> Finding:
    name, remedy = "ffmpeg in use", "pip install --force-reinstall imageio-ffmpeg"
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        encoders = _run(program, "-hide_banner", "-encoders")
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", name, "broken", str(error), remedy, required=True)
    lacking = [encoder for encoder in _NEEDED_ENCODERS if f" {encoder} " not in encoders]
    if lacking:
        detail = f"{_version(program)} has no encoder {', '.join(lacking)}"
        remedy = "unset IMAGEIO_FFMPEG_EXE, or let it name an ffmpeg that has them"
        return Finding("ffmpeg", name, "broken", detail, remedy, required=True)
    return Finding("ffmpeg", name, "ok", f"{_version(program)}, {program}", required=True)


def _pyav() -> Finding:
    try:
        import av
    except (ImportError, OSError) as error:
        return Finding(
            "ffmpeg", "PyAV", "broken", str(error), "pip install --force-reinstall av", required=True
        )
    names = ("libavcodec", "libavformat", "libswscale")
    libraries = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in names)
    return Finding("ffmpeg", "PyAV", "ok", f"{av.__version__} with {libraries}", required=True)


def _version(program: str) -> str:
    return _run(program, "-version").split(" Copyright")[0].removeprefix("ffmpeg version ")


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def find_gpu() -> Iterator[Finding]:
    """Driver, CUDA devices as torch sees them, NVDEC, nvJPEG."""
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        yield Finding(
            "gpu", "driver", "ok", driver.read_text().splitlines()[0].removeprefix("NVRM version: ")
        )
    else:
        yield Finding("gpu", "driver", "absent", "no NVIDIA driver", "training and decoding run on the CPU")
    yield from _cuda(driver.is_file())
    yield _library(
        "NVDEC", "libnvcuvid.so.1", "comes with the driver: in a container, ask for its video capability"
    )
    yield _library("nvJPEG", "libnvjpeg.so", "pip install 'unreel[dali]'")


def _cuda(has_driver: bool) -> Iterator[Finding]:
    import torch

    built = f"torch {torch.__version__}, built for CUDA {torch.version.cuda}"
    if not torch.cuda.is_available():
        status = "broken" if has_driver else "absent"
        remedy = (
            "the driver is too old for this CUDA, or the device is not visible here" if has_driver else ""
        )
        yield Finding("gpu", "CUDA", status, f"{built}: no device", remedy)
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = f"{device.total_memory / _GIBI:.0f} GiB, compute {device.major}.{device.minor}"
        yield Finding("gpu", f"cuda:{index}", "ok", f"{device.name}, {memory}; {built}")


def _library(name: str, file: str, remedy: str) -> Finding:
    """Whether a shared library loads, from the system or from NVIDIA's wheels."""
    wheels = sorted(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    copies = [str(path) for folder in wheels for path in sorted(folder.glob(f"nvidia/cu*/lib/{file}*"))]
    for candidate in (file, *copies):
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return Finding("gpu", name, "ok", f"{Path(candidate).name} loads")
    return Finding("gpu", name, "absent", f"{file} does not load", remedy)


def find_backends() -> Iterator[Finding]:
    """Each decode backend on a tiny generated clip: H.264 (VP9 for DALI on CPU) and FLAC."""
    import torch

    from unreel.pipelines.decode import BACKENDS

    trials = [(name, "cpu") for name in BACKENDS]
    if torch.cuda.is_available():
        trials.append(("dali", "cuda"))
    # Most of a trial is the import of torch, so the processes run beside each other.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda trial: _try_backend(*trial), trials)


def _try_backend(name: str, device: str) -> Finding:
    label = name if name != "dali" else f"dali on {device}"
    required = name == "packets"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "trial.json")
        command = [sys.executable, "-m", "unreel.tools.trial", name, device, str(result)]
        try:
            child = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=_TRIAL_SECONDS
            )
        except subprocess.TimeoutExpired:
            return Finding("decode", label, "broken", f"no answer in {_TRIAL_SECONDS} s", required=required)
        if not result.is_file():
            last = (child.stderr.strip().splitlines() or ["no message"])[-1]
            return Finding(
                "decode", label, "broken", f"exit code {child.returncode}: {last}", required=required
            )
        return _finding(label, msgspec.json.decode(result.read_bytes(), type=Trial), required)


def _finding(label: str, trial: Trial, required: bool) -> Finding:
    detail, _, remedy = trial.detail.partition("; ") if trial.status == "missing" else (trial.detail, "", "")
    status = {"works": "ok", "missing": "absent", "fails": "broken"}[trial.status]
    if required and status == "absent":
        status = "broken"
    if trial.codec:
        detail = f"{trial.codec} and flac: {detail}"
    return Finding("decode", label, status, detail, remedy, required, round(trial.milliseconds, 2))
