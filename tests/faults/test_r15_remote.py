"""A data set behind a URL whose server is slow, breaks off, lies, or sends elsewhere."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import ShardError
from unreel.shards.reader import Reader
from unreel.shards.remote.catalogue import RemoteCatalogue
from unreel.shards.remote.web import Patience

PATIENCE = Patience(attempts=3, pause_seconds=0.05, connect_seconds=1.0, stall_seconds=1.0, slowest=64 << 10)
BAD = "tiny-1.tar"

TROUBLE = {
    "1 KiB/s": ("drip", ""),
    "stall": ("stall", ""),
    "reset": ("reset", ""),
    "500": ("status", "500"),
    "404": ("status", "404"),
    "wrong length": ("short", ""),
    "wrong bytes": ("wrong", ""),
    "range ignored": ("whole", ""),
    "redirect to file://": ("redirect", "file:///etc/passwd"),
    "redirect to 169.254.x": ("redirect", "http://169.254.169.254/latest/"),
}


@pytest.fixture
def opened(tiny_catalogue: Catalogue, faulty_server: Any, tmp_path: Path) -> Callable[[], RemoteCatalogue]:
    shutil.copytree(tiny_catalogue.folder, faulty_server.folder, dirs_exist_ok=True)
    count = 0

    def open_anew() -> RemoteCatalogue:
        nonlocal count
        count += 1
        # Nothing but the indexes fits into the cache: each read is a request.
        catalogue = RemoteCatalogue.open(
            faulty_server.url, cache=tmp_path / f"cache-{count}", cache_bytes=20_000, patience=PATIENCE
        )
        for shard in range(len(catalogue.counts)):
            catalogue.index(shard)
        return catalogue

    return open_anew


def read_shards(
    catalogue: RemoteCatalogue, shards: list[int], expected: dict[tuple[int, int], Any]
) -> tuple[int, int, float]:
    """(right, refused, seconds) of reading all samples of these shards, begun together; a wrong one is an error."""
    reader = Reader(catalogue)
    places = [(shard, ordinal) for shard, ordinal, _ in catalogue.rows() if shard in shards]
    begun = time.monotonic()
    reader.prefetch(places)
    right = refused = 0
    for place in places:
        try:
            found = reader.read(*place)
        except ShardError:
            refused += 1
            continue
        assert dict(found.members) == expected[place], f"{place}: corrupt bytes were accepted"
        right += 1
    seconds = time.monotonic() - begun
    reader.close()
    return right, refused, seconds


def test_R15_bad_servers(
    tiny_catalogue: Catalogue,
    opened: Callable[[], RemoteCatalogue],
    faulty_server: Any,
    trouble: Any,
    full: bool,
    record: Callable[..., None],
) -> None:
    here = Reader(tiny_catalogue)
    expected = {
        (shard, ordinal): dict(here.read(shard, ordinal).members)
        for shard, ordinal, _ in tiny_catalogue.rows()
    }
    kinds = list(TROUBLE) if full else ["stall", "500", "wrong bytes", "redirect to file://"]
    rows = []
    for name in kinds:
        kind, value = TROUBLE[name]
        faulty_server.requests.clear()
        faulty_server.trouble = [trouble(kind, suffix=BAD, value=value)]
        right, refused, seconds = read_shards(opened(), [1], expected)
        most = max(faulty_server.requests.count(request) for request in set(faulty_server.requests))
        rows.append(
            {
                "trouble": name,
                "right": right,
                "refused": refused,
                "seconds": round(seconds, 1),
                "requests": most,
            }
        )
    record("R15", "one shard's server misbehaves", rows=rows, corrupt_accepted=0)
    for row in rows:
        assert row["right"] == 0 and row["refused"] == 12, row
        # Each member is asked for once more after a wrong checksum, and each request has its attempts.
        assert row["requests"] <= 2 * PATIENCE.attempts, row


@pytest.mark.drill
def test_R15_other_shards_keep_their_pace(
    tiny_catalogue: Catalogue,
    opened: Callable[[], RemoteCatalogue],
    faulty_server: Any,
    trouble: Any,
    record: Callable[..., None],
) -> None:
    """Median over repeats of the time in which the good shards come, with and without a stalling one beside them."""
    good = [(shard, ordinal) for shard, ordinal, _ in tiny_catalogue.rows() if shard != 1] * 4
    bad = [(1, ordinal) for ordinal in range(12)]
    late = trouble("late", suffix=".tar", value="0.01")
    seconds: dict[str, list[float]] = {"alone": [], "beside a stall": []}
    for _ in range(5):
        for name, times in seconds.items():
            faulty_server.trouble = [late] if name == "alone" else [trouble("stall", suffix=BAD), late]
            reader = Reader(opened())
            reader.prefetch([] if name == "alone" else bad)
            begun = time.monotonic()
            for place in good:
                reader.read(*place)
            times.append(time.monotonic() - begun)
            reader.close()
    pace = sorted(seconds["alone"])[2] / sorted(seconds["beside a stall"])[2]
    record("R15", "pace of the other shards beside a stalling one", ratio=round(pace, 2))
    assert pace >= 0.8
