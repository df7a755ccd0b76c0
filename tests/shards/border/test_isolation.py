"""Programs without a network: refused by the kernel, for them and for what they start, and for nobody else."""

import platform
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from unreel.shards.border.isolation import network_barrier, start_without_network

CONNECT = "import socket; socket.create_connection(('127.0.0.1', int({port})), timeout=5)"


def run(code: str) -> str:
    process = start_without_network([sys.executable, "-c", code], stderr=subprocess.PIPE)
    return process.communicate()[1].decode()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_program_reaches_nobody(port: int) -> None:
    code = CONNECT.format(port=port)
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "PermissionError" in run(code)


def test_nor_does_what_it_starts(port: int) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CONNECT.format(port=port)!r}])"
    assert "PermissionError" in run(code)


def test_this_process_keeps_its_network(port: int) -> None:
    run("pass")
    socket.create_connection(("127.0.0.1", port)).close()


def test_barrier_needs_no_privileges_on_the_usual_machines() -> None:
    expected = "seccomp" if platform.machine() in ("x86_64", "aarch64") else "namespace"
    assert network_barrier() == expected
