"""Start programs that cannot reach the network, whatever they are made to do by the file that they read."""

import ctypes
import os
import platform
import struct
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

__all__ = ["network_barrier", "start_without_network"]

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWNET: Final = 0x40000000
# Classic BPF of linux/bpf_common.h: load a word of the call's description, compare and jump, return.
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
# Of linux/audit.h, and the calls refused: socket, io_uring_setup (which can open sockets too), ptrace, process_vm_writev.
_CALLS: Final = {
    "x86_64": (0xC000003E, (41, 425, 101, 311)),
    "aarch64": (0xC00000B7, (198, 425, 117, 271)),
}
# Calls of the x32 kind have this bit, and would go around the numbers above.
_X32: Final = 0x40000000


def start_without_network(command: Sequence[str], **settings: Any) -> "subprocess.Popen[bytes]":
    """`subprocess.Popen`, from a thread that has given up the network: what a thread starts inherits its barriers."""
    thread, _ = _thread(os.getpid())
    return thread.submit(lambda: subprocess.Popen[bytes](command, **settings)).result()


def network_barrier() -> str:
    """What keeps started programs from the network on this machine: `seccomp`, `namespace` or `none`.

    `seccomp` needs no privileges, Linux on x86-64 or ARM64; `namespace` needs the right to make one.
    """
    return _thread(os.getpid())[1]


@lru_cache(1)
def _thread(process: int) -> tuple[ThreadPoolExecutor, str]:
    """The thread, made anew in each process: a fork does not copy it."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="without-network")
    return thread, thread.submit(_give_up_network).result()


def _give_up_network() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if platform.machine() in _CALLS and _install(libc, _filter(*_CALLS[platform.machine()])):
        return "seccomp"
    return "namespace" if libc.unshare(_CLONE_NEWNET) == 0 else "none"


def _install(libc: ctypes.CDLL, program: bytes) -> bool:
    held = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    words = [ctypes.c_ulong(number) for number in (1, 0, 0, 0)]
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    return (
        libc.prctl(_PR_SET_NO_NEW_PRIVS, *words) == 0
        and libc.prctl(_PR_SET_SECCOMP, mode, ctypes.c_char_p(described)) == 0
    )


def _filter(machine: int, calls: Sequence[int]) -> bytes:
    """Refuse `calls`, and every call of another kind than the machine's own."""
    checks = [(_EQUAL, call) for call in calls] + [(_AT_LEAST, _X32)]
    lines = [(_LOAD, 0, 0, _MACHINE_AT), (_EQUAL, 0, len(checks) + 2, machine), (_LOAD, 0, 0, _NUMBER_AT)]
    lines += [(code, len(checks) - place, 0, value) for place, (code, value) in enumerate(checks)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
