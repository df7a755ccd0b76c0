"""What the numbers of a run depend on beside its recipe: device, threads, versions, CPU capability."""

import platform
from importlib.metadata import version

import msgspec
import torch

from unreel.models.training.config import TrainConfig
from unreel.pipelines.ops.views import kernel_of

__all__ = ["Environment", "differences", "record_environment", "resolve"]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Resumed under an equal environment, a run on CPU repeats its losses to the last bit."""

    unreel: str
    python: str
    torch: str
    torchvision: str
    device: str
    """`cpu`, or the name of the GPU."""
    kernels: str
    """What makes the views: implementations agree to the bit in geometry, and to 1e-5 in colours."""
    cpu_capability: str
    """Vector instructions that torch uses, such as `AVX512`."""
    threads: int
    interop_threads: int
    ranks: int
    """Processes that trained together: sums over them round otherwise than those of one."""


def record_environment(device: torch.device, *, ranks: int = 1) -> Environment:
    """The environment of this process."""
    return Environment(
        unreel=version("unreel"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        torchvision=version("torchvision"),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        kernels=_kernels(device),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        interop_threads=torch.get_num_interop_threads(),
        ranks=ranks,
    )


def _kernels(device: torch.device) -> str:
    name = kernel_of(device)
    return name if name == "reference" else f"{name} {version(name)}"


def differences(saved: Environment, present: Environment) -> list[str]:
    """Each field that differs, as `threads: 2 saved, 1 now`."""
    pairs = ((name, getattr(saved, name), getattr(present, name)) for name in saved.__struct_fields__)
    return [f"{name}: {before} saved, {now} now" for name, before, now in pairs if before != now]


def resolve(config: TrainConfig) -> TrainConfig:
    """The same settings with `device` and `amp` decided for this machine.

    Raises:
        ValueError: the device is not there, or fp16 is asked for on a CPU.
    """
    device = _device(config.device)
    amp = config.amp
    if amp == "auto":
        amp = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "off"
    if amp == "fp16" and device.type != "cuda":
        raise ValueError("train.amp 'fp16' needs a CUDA device: choose 'off', 'bf16' or 'auto'")
    return msgspec.structs.replace(config, device=str(device), amp=amp)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"train.device {name!r}: choose 'auto', 'cpu', 'cuda' or 'cuda:N'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"train.device {name!r}: torch finds no CUDA device here; `unreel doctor` says why")
    return device
