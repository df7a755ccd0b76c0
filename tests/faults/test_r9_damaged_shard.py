"""R9: a damaged shard is found whatever is wrong with it, counted to the sample, and no part of a sample gets through."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.shards.conftest import IDENTITY, plain_sample
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue, compile_catalogue, identity_text, read_index
from unreel.shards.errors import ShardError, UnreelError
from unreel.shards.reader import Reader
from unreel.shards.writer import ShardWriter

SAMPLES = 8
BLOCK = 512


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of eight samples; the first is what is broken."""
    folder = tmp_path_factory.mktemp("r9")
    for name in ("a", "b"):
        with ShardWriter(folder / f"{name}.tar", identity=identity_text(IDENTITY)) as writer:
            for number in range(SAMPLES):
                writer.add(*plain_sample(f"{name}-{number}"))
            writer.commit()
    compile_catalogue(folder, identity=IDENTITY, profile={})
    return folder


def faults(folder: Path, full: bool) -> Iterator[tuple[str, Callable[[Path], None], int]]:
    """(what is broken, how, samples of shard a that are then lost)."""
    index = read_index(folder / "a.tar")
    ends = [row.members[-1].offset + row.members[-1].size for row in index.samples]
    step = 1 if full else 4
    for cut in range(0, index.bytes, step * BLOCK):
        lost = sum(end > cut for end in ends)
        yield f"cut at {cut}", lambda path, cut=cut: os.truncate(path, cut), lost
    rng = np.random.default_rng(9)
    for row in index.samples if full else index.samples[:2]:
        for member in row.members:
            bit, place = int(rng.integers(8)), int(rng.integers(member.size))
            yield f"bit in {row.key}.{member.name}", flip(member.offset + place, bit), 1
            yield (
                f"bit in the header of {row.key}.{member.name}",
                flip(member.offset - BLOCK + place % 160, bit),
                1,
            )
    yield (
        "a header of random bytes",
        overwrite(index.samples[3].members[0].offset - BLOCK, rng.bytes(BLOCK)),
        1,
    )
    yield "empty", lambda path: os.truncate(path, 0), SAMPLES
    yield "missing", Path.unlink, SAMPLES
    yield (
        "swapped with another",
        lambda path: shutil.copyfile(path.with_name("b.tar"), path) and None,
        SAMPLES,
    )
    yield "bytes after its end", lambda path: path.write_bytes(path.read_bytes() + b"x" * BLOCK) and None, 0


def flip(offset: int, bit: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[offset] ^= 1 << bit
        path.write_bytes(data)

    return change


def overwrite(offset: int, block: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[:offset] + block + data[offset + len(block) :])

    return change


def yielded(folder: Path, whole: dict[str, dict[str, bytes]]) -> tuple[int, int]:
    """(samples that a reader gives, those of them that are not whole)."""
    catalogue = Catalogue.open(folder)
    reader, given, partial = Reader(catalogue), 0, 0
    for ordinal in range(SAMPLES):
        try:
            sample = reader.read(0, ordinal)
        except ShardError:
            continue
        given += 1
        partial += {name: bytes(view) for name, view in sample.members.items()} != whole[sample.row.key]
    return given, partial


def test_R9_every_damage_is_found_and_counted(
    pristine: Path, tmp_path: Path, full: bool, record: Callable[..., None]
) -> None:
    reader = Reader(Catalogue.open(pristine))
    samples = [reader.read(0, ordinal) for ordinal in range(SAMPLES)]
    whole = {one.row.key: {name: bytes(view) for name, view in one.members.items()} for one in samples}
    counts = dict.fromkeys(("faults", "found", "named", "counted", "strict_stops", "given", "partial"), 0)
    missed = []
    for number, (what, damage, lost) in enumerate(faults(pristine, full)):
        folder = Path(shutil.copytree(pristine, tmp_path / str(number)))
        damage(folder / "a.tar")
        found = verify(folder, mode="full", share=0)
        given, partial = yielded(folder, whole)
        stops = stopped_by(folder)
        counts["faults"] += 1
        counts["found"] += not found.clean
        counts["named"] += found.condemned == ("a",) and all(
            "xpected" in part.detail for part in found.damage
        )
        counts["counted"] += (found.samples, found.lost) == (2 * SAMPLES, lost)
        counts["strict_stops"] += "a.tar" in stops and f"of {SAMPLES} samples" in stops
        counts["given"] += given
        counts["partial"] += partial
        if found.clean or found.lost != lost:
            missed.append((what, found.lost, lost))
        shutil.rmtree(folder)
    record("R9", "a shard cut, flipped, emptied, swapped, gone", **counts)
    assert not missed
    assert (
        counts["found"] == counts["named"] == counts["counted"] == counts["strict_stops"] == counts["faults"]
    )
    assert counts["partial"] == 0 and counts["faults"] >= (100 if full else 30)


def stopped_by(folder: Path) -> str:
    """The error with which the strict mode stops; empty where it does not."""
    try:
        verify(folder, mode="full", share=0, strict=True)
    except UnreelError as error:
        return str(error)
    return ""
