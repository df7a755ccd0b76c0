"""A data set behind a URL reads as the local one does; damage on the way is found, and few bytes are asked for."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError, ShardError, Unreachable
from unreel.shards.reader import Reader
from unreel.shards.remote.catalogue import RemoteCatalogue
from unreel.shards.remote.web import Patience

HASTY = Patience(attempts=2, pause_seconds=0.01, connect_seconds=0.5, stall_seconds=0.3, rest_seconds=0.0)


@pytest.fixture
def served(tiny_catalogue: Catalogue, faulty_server: Any) -> Any:
    shutil.copytree(tiny_catalogue.folder, faulty_server.folder, dirs_exist_ok=True)
    return faulty_server


@pytest.fixture
def remote(served: Any, tmp_path: Path) -> RemoteCatalogue:
    return RemoteCatalogue.open(served.url, cache=tmp_path / "cache", patience=HASTY)


def places(catalogue: Catalogue) -> list[tuple[int, int]]:
    return [(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]


def test_every_sample_is_the_local_one(tiny_catalogue: Catalogue, remote: RemoteCatalogue) -> None:
    here, there = Reader(tiny_catalogue), Reader(remote)
    assert remote.digest == tiny_catalogue.digest and places(remote) == places(tiny_catalogue)
    there.prefetch(places(remote))
    for place in places(remote):
        expected, found = here.read(*place), there.read(*place)
        assert found.sidecar == expected.sidecar and found.members == expected.members
    there.close()


def asked_for(request: tuple[str, str]) -> tuple[int, int]:
    """Half-open range of a request."""
    first, last = request[1].removeprefix("bytes=").split("-")
    return int(first), int(last) + 1


def test_a_sample_is_one_request_and_comes_once(remote: RemoteCatalogue, served: Any) -> None:
    row = remote.index(0).samples[1]
    before = len(served.requests)
    for _ in range(3):
        Reader(remote).read(0, 1)
    (asked,) = served.requests[before:]
    last = row.members[-1]
    assert asked_for(asked) == (row.members[0].offset - 512, last.offset + last.size)


def test_sidecar_alone_is_a_few_kilobytes(remote: RemoteCatalogue, served: Any) -> None:
    remote.index(0)
    before = len(served.requests)
    sample = Reader(remote).read(0, 0, members=())
    (asked,) = served.requests[before:]
    first, stop = asked_for(asked)
    assert list(sample.members) == ["json"] and stop - first < 20_000


def test_packets_of_one_gop_are_fetched_alone(tiny_catalogue: Catalogue, remote: RemoteCatalogue) -> None:
    sample = Reader(remote).packets(0, 0, [(16, 20)])
    whole = Reader(tiny_catalogue).read(0, 0)
    video = whole.sidecar.video
    assert video is not None
    held, expected = np.frombuffer(sample.members["mp4"], "u1"), np.frombuffer(whole.members["mp4"], "u1")
    for packet, (offset, size) in enumerate(zip(video.packets.offsets, video.packets.sizes, strict=True)):
        span = slice(int(offset), int(offset) + int(size))
        inside = 16 <= packet < 20
        assert np.array_equal(held[span], expected[span]) if inside else not held[span].any()


@pytest.mark.parametrize("kind", ["wrong", "short", "stall", "reset", "whole"])
def test_no_corrupt_byte_is_accepted(remote: RemoteCatalogue, served: Any, trouble: Any, kind: str) -> None:
    remote.index(0)
    served.trouble = [trouble(kind, suffix=".tar")]
    with pytest.raises(ShardError, match="tiny-0"):
        Reader(remote).read(0, 0)
    served.trouble = []
    assert Reader(remote).read(0, 0).members["mp4"]


def test_one_flipped_bit_on_the_way_is_asked_for_again(
    tiny_catalogue: Catalogue, remote: RemoteCatalogue, served: Any, trouble: Any
) -> None:
    remote.index(0)
    served.trouble = [trouble("wrong", suffix=".tar", times=1)]
    assert Reader(remote).read(0, 0).members == Reader(tiny_catalogue).read(0, 0).members


def test_damage_in_the_cache_is_asked_for_again(
    tiny_catalogue: Catalogue, remote: RemoteCatalogue, tmp_path: Path
) -> None:
    Reader(remote).read(0, 0)
    for path in (tmp_path / "cache" / "bytes").rglob("tar-*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert Reader(remote).read(0, 0).members == Reader(tiny_catalogue).read(0, 0).members


def test_index_that_is_not_the_catalogues_is_refused(remote: RemoteCatalogue, served: Any) -> None:
    path = served.folder / "tiny-1.index.json"
    path.write_bytes(path.read_bytes().replace(b'"frames":', b'"framez":', 1))
    with pytest.raises(ShardError, match="CRC32"):
        remote.index(1)


def test_folder_without_a_catalogue_is_named(served: Any, tmp_path: Path) -> None:
    (served.folder / "catalogue.json").write_text("{}")
    with pytest.raises(CatalogueError, match="not a catalogue"):
        RemoteCatalogue.open(served.url, cache=tmp_path / "c", patience=HASTY)
    with pytest.raises(Unreachable, match=r"catalogue\.json"):
        RemoteCatalogue.open(served.url + "/nowhere", cache=tmp_path / "c", patience=HASTY)


def test_newer_catalogue_at_the_same_place_is_seen(
    served: Any, tmp_path: Path, remote: RemoteCatalogue
) -> None:
    from unreel.shards.catalogue import compile_catalogue

    (served.folder / "tiny-2.index.json").unlink()
    compile_catalogue(served.folder, identity=remote.identity, profile=remote.profile)
    again = RemoteCatalogue.open(served.url, cache=tmp_path / "cache", patience=HASTY)
    assert (len(again.counts), len(remote.counts)) == (2, 3)
