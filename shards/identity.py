"""Builder identity: everything that the bytes of a shard depend on besides its sources."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import av
import imageio_ffmpeg
import PIL
from PIL import features

from unreel.shards.making.profiles import Profile

__all__ = ["builder_identity", "differences"]

# Decoders and resamplers choose their code by these; x264 and swscale are told to give the same numbers on all.
_X86_LEVELS: Final = (
    ("x86_64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    ("x86_64-v3", {"avx2", "bmi2", "fma"}),
    ("x86_64-v2", {"sse4_2", "popcnt"}),
)


def builder_identity(profile: Profile) -> dict[str, str]:
    """Equal identities and equal sources give equal bytes; anything else may not be mixed in one folder."""
    libraries = av.library_versions
    encoder = ".".join(map(str, libraries["libavcodec"]))
    return {
        "unreel": version("unreel"),
        "profile": f"{profile.name} {profile.digest}",
        "ffmpeg": _ffmpeg_version(),
        "encoder": f"PyAV {av.__version__}, libavcodec {encoder}",
        "pictures": f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "cpu": _cpu_family(),
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """What differs between two identities, in words."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return "; ".join(f"{name} is {found.get(name)!r} there and {expected.get(name)!r} here" for name in names)


@lru_cache
def _ffmpeg_version() -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-version"]
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
    return text.split()[2]


@lru_cache
def _cpu_family() -> str:
    machine = platform.machine()
    if machine != "x86_64":
        return machine
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    return next((name for name, needed in _X86_LEVELS if needed <= flags), "x86_64-v1")
