"""Filesystems behind URLs, opened with care: schemes by name, no redirect to elsewhere, every wait has an end."""

import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from unreel.shards.errors import Unreachable

# Only who fetches pays for their import.
if TYPE_CHECKING:
    import aiohttp
    from fsspec.spec import AbstractFileSystem

__all__ = ["SCHEMES", "Patience", "filesystem", "is_url", "patiently", "split_url"]

Answer = TypeVar("Answer")

SCHEMES: Final = ("http", "https", "s3", "gs", "memory")
"""What a data set or a source may lie behind. `memory` is fsspec's own, of this process; no scheme runs a command."""

_FINAL_STATUS: Final = frozenset({400, 401, 403, 404, 405, 410, 416})
_LIBRARIES: Final = ("aiobotocore", "aiohttp", "botocore", "gcsfs")
_INSTALL: Final = {"s3": "pip install 'unreel[cloud]'", "gs": "pip install 'unreel[cloud]'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a remote place is waited for. The defaults are ours.

    Attributes:
        attempts: requests for one range before it counts as unreachable; refusals by name (404, 403) are not repeated.
        pause_seconds: wait before the second attempt; it doubles with each further one.
        connect_seconds: longest wait for a connection.
        stall_seconds: longest wait for the next bytes.
        slowest: bytes per second below which a request is given up.
        rest_seconds: how long a file that used up its attempts is not asked for again.
    """

    attempts: int = 4
    pause_seconds: float = 0.25
    connect_seconds: float = 10.0
    stall_seconds: float = 10.0
    slowest: int = 32 << 10
    rest_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 5:
            raise ValueError(f"attempts {self.attempts}: allowed are 1 to 5")

    def seconds_for(self, size: int) -> float:
        """Longest time in which `size` bytes must have come."""
        return self.connect_seconds + self.stall_seconds + size / self.slowest


def is_url(text: str) -> bool:
    """Whether a user's word is a URL of any scheme and not a path."""
    return "://" in text


def split_url(url: str) -> tuple[str, str]:
    """(scheme, address of the host or bucket with its path).

    Raises:
        ValueError: the scheme is none of `SCHEMES`, or the address has no host.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        raise ValueError(f"URL {url!r}: scheme {scheme!r}, allowed are {', '.join(SCHEMES)}")
    if not rest.strip("/"):
        raise ValueError(f"URL {url!r}: names no host or bucket")
    return scheme.lower(), rest


def patiently(
    target: str,
    patience: Patience,
    ask: Callable[[], Answer],
    *,
    given_up: Callable[[], None] = lambda: None,
) -> Answer:
    """What `ask` returns, asked again with growing pauses while the way to `target` fails.

    Args:
        given_up: called when all attempts have failed, and not where asking again does not help.

    Raises:
        Unreachable: it failed in every attempt, or in a way that asking again does not change.
    """
    reason = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.pause_seconds * 2 ** (attempt - 1))
        try:
            return ask()
        except (FileNotFoundError, PermissionError, Unreachable) as error:
            raise Unreachable(target, _words(error)) from error
        except Exception as error:
            if not _is_of_the_way(error):
                raise
            reason = _words(error)
            if getattr(error, "status", None) in _FINAL_STATUS:
                raise Unreachable(target, reason) from error
    given_up()
    raise Unreachable(target, f"{reason} ({patience.attempts} attempts)")


def _is_of_the_way(error: Exception) -> bool:
    """Whether an error came from the network or a store's library, and not from a bug: each library has its own root."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _LIBRARIES


def _words(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error) or type(error).__name__


@lru_cache
def filesystem(scheme: str, patience: Patience) -> "AbstractFileSystem":
    """The fsspec filesystem of a scheme; for http(s) with guarded redirects, bounded waits and checked ranges.

    Raises:
        ValueError: its library is not installed.
    """
    import fsspec

    try:
        if scheme in ("http", "https"):
            return fsspec.filesystem(
                "http",
                get_client=_client,
                client_kwargs={"patience": patience},
                headers={"Accept-Encoding": "identity"},
                skip_instance_cache=True,
            )
        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise ValueError(f"{scheme}:// needs a library: {_INSTALL.get(scheme, error)}") from error


async def _client(*, patience: Patience, loop: Any = None) -> "aiohttp.ClientSession":
    import aiohttp

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(
            sock_connect=patience.connect_seconds, sock_read=patience.stall_seconds
        ),
        trace_configs=[trace],
        connector=aiohttp.TCPConnector(socket_factory=_socket),
        raise_for_status=_check_answer,
    )


def _socket(address: "aiohttp.AddrInfoType") -> socket.socket:
    """A socket to anywhere but link-local addresses, where clouds keep a machine's keys, whatever name led there."""
    family, kind, protocol, _, place = address
    if _reach([str(place[0])]) == 0:
        raise Unreachable(str(place[0]), f"{place[0]} is a link-local address")
    return socket.socket(family, kind, protocol)


async def _check_redirect(
    _session: object, _context: object, redirect: "aiohttp.TraceRequestRedirectParams"
) -> None:
    """A redirect may not leave the web, and not lead from the open net into a private one or to a machine's own service."""
    from yarl import URL

    target = redirect.url.join(URL(redirect.response.headers.get("Location", "")))
    if target.scheme not in ("http", "https") or target.host is None:
        raise Unreachable(str(redirect.url), f"redirects to {target}, which is not http(s)")
    if target.host != redirect.url.host:
        before, after = await _addresses(redirect.url.host or ""), await _addresses(target.host)
        if _reach(after) < _reach(before) or _reach(after) == 0:
            raise Unreachable(str(redirect.url), f"redirects to {target}, inside a private network")


async def _addresses(host: str) -> set[str]:
    import asyncio

    infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return {str(info[4][0]) for info in infos}


def _reach(addresses: Collection[str]) -> int:
    """How open the most private address is: 0 link-local (the metadata of a cloud), 1 private or loopback, 2 global."""
    parsed = [ipaddress.ip_address(address) for address in addresses]
    return min(0 if ip.is_link_local else 2 if ip.is_global else 1 for ip in parsed)


async def _check_answer(response: "aiohttp.ClientResponse") -> None:
    """A range must come as asked for: a server that ignores it would send a whole shard into memory."""
    response.raise_for_status()
    asked = response.request_info.headers.get("Range")
    if asked is None:
        return
    first, _, last = asked.removeprefix("bytes=").partition("-")
    expected = int(last) - int(first) + 1
    if response.status != 206 or response.content_length != expected:
        found = f"status {response.status}, {response.content_length} bytes"
        raise Unreachable(
            str(response.url), f"asked for {asked} ({expected} bytes), the server offers {found}"
        )
