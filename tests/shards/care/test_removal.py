"""Removed is removed: no byte of a removed sample is left, the others are untouched, and a kill changes nothing of that."""

from pathlib import Path

import msgspec
import pytest

from tests.conftest import IDENTITY, tiny_sample
from unreel.shards.build import build
from unreel.shards.care import rewrite as rewrite_module
from unreel.shards.care.removal import Removal, Wanted, remove
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue, compile_catalogue
from unreel.shards.errors import CatalogueError
from unreel.shards.index import identity_text
from unreel.shards.reader import Reader, read_shard
from unreel.shards.sample import Sidecar
from unreel.shards.writer import ShardWriter


def labelled(sidecar: Sidecar) -> Sidecar:
    """Source 1 was taken under a licence and can be taken down."""
    taken = {"licence": "CC-BY", "url": "https://example.org/1", "takedown_id": "T-1"}
    source = msgspec.structs.replace(sidecar.source, **(taken if sidecar.source.id[-1] == "1" else {}))
    return msgspec.structs.replace(sidecar, source=source)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Shards s-0 (sources 0 and 1), s-1 (source 1 alone) and s-2 (source 2)."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard, numbers in enumerate([(0, 1, 2), (3,), (4, 5)]):
        with ShardWriter(folder / f"s-{shard}.tar", identity=identity_text(IDENTITY)) as writer:
            for number in numbers:
                sidecar, members = tiny_sample(number)
                writer.add(labelled(sidecar), members)
            writer.commit()
    compile_catalogue(folder, identity=IDENTITY, profile={"name": "tiny"})
    return folder


def payloads(folder: Path) -> dict[str, dict[str, bytes]]:
    catalogue = Catalogue.open(folder)
    reader = Reader(catalogue)
    samples = (reader.read(shard, ordinal) for shard, ordinal, _ in catalogue.rows())
    return {
        sample.row.key: {name: bytes(view) for name, view in sample.members.items()} for sample in samples
    }


def traces(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (path.name, needle)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes()
    ]


@pytest.mark.parametrize(
    "wanted",
    [Wanted(sources=(f"{1:016x}",)), Wanted(sources=("tiny/1.mp4",)), Wanted(takedowns=("T-1",))],
    ids=["id", "name", "takedown"],
)
def test_no_byte_is_left_and_the_others_are_as_they_were(shards: Path, wanted: Wanted) -> None:
    before = payloads(shards)
    untouched = {name: (shards / name).read_bytes() for name in ("s-2.tar", "s-2.index.json", "s-2.idx")}
    gone = [before["tiny-002"], before["tiny-003"]]
    done = remove(shards, wanted)
    assert (done.samples_removed, done.samples_left, done.shards_rewritten, done.shards_removed) == (
        2,
        4,
        1,
        1,
    )
    (source,) = done.removed
    assert (source.id, source.name, source.takedown_id) == (f"{1:016x}", "tiny/1.mp4", "T-1")
    assert (source.shards, source.samples) == (("s-0", "s-1"), 2) and not done.unmatched
    needles = [b"tiny-002", b"tiny-003", b"tiny/1.mp4", b"example.org"]
    kept = b"".join(
        view for key, members in before.items() if key[-1] not in "23" for view in members.values()
    )
    pieces = (
        view[at : at + 24] for members in gone for view in members.values() for at in range(0, len(view), 500)
    )
    needles += [piece for piece in pieces if len(set(piece)) > 8 and piece not in kept]
    assert len(needles) > 20 and traces(shards, needles) == []
    assert payloads(shards) == {
        key: value for key, value in before.items() if key not in ("tiny-002", "tiny-003")
    }
    assert {name: (shards / name).read_bytes() for name in untouched} == untouched
    assert verify(shards, mode="full").clean


def test_a_trial_says_the_same_and_changes_nothing(shards: Path) -> None:
    files = {path.name: path.read_bytes() for path in shards.iterdir() if path.name != ".lock"}
    trial = remove(shards, Wanted(takedowns=("T-1",)), dry_run=True)
    assert {path.name: path.read_bytes() for path in shards.iterdir() if path.name != ".lock"} == files
    done = remove(shards, Wanted(takedowns=("T-1",)))
    assert trial == msgspec.structs.replace(done, done=False)


def test_what_is_not_there_is_named(shards: Path) -> None:
    done = remove(shards, Wanted(sources=("tiny/9.mp4",), takedowns=("T-2", "T-1")))
    assert done.unmatched == ("tiny/9.mp4", "T-2") and done.samples_removed == 2
    with pytest.raises(ValueError, match="name at least one"):
        remove(shards, Wanted())


@pytest.mark.parametrize("after", [0, 1])
def test_killed_between_shards_the_same_call_does_the_rest(
    shards: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done = rewrite_module.rewrite_shard, []

    def killed(*arguments: object) -> object:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        return whole(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(rewrite_module, "rewrite_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(shards, Wanted(takedowns=("T-1",)))
    again = remove(shards, Wanted(takedowns=("T-1",)))
    assert again.unmatched == () and again.samples_left == 4
    assert verify(shards, mode="full").clean and traces(shards, [b"tiny-002", b"tiny-003"]) == []
    assert remove(shards, Wanted(takedowns=("T-1",))).samples_removed == 0


def test_everything_can_be_removed(shards: Path) -> None:
    done = remove(shards, Wanted(sources=tuple(f"{number:016x}" for number in range(3))))
    assert (done.samples_left, done.shards_removed) == (0, 3)
    assert not list(shards.glob("*.tar")) and not (shards / "catalogue.json").exists()


def test_tars_of_others_are_not_touched(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (shards / "s-1.tar").rename(tmp_path / "elsewhere" / "s-1.tar")
    (shards / "s-1.tar").symlink_to(tmp_path / "elsewhere" / "s-1.tar")
    with pytest.raises(CatalogueError, match=r"s-1\.tar: this tar belongs to another folder"):
        remove(shards, Wanted(takedowns=("T-1",)))
    assert len(list(read_shard(shards / "s-0.tar"))) == 3


def test_a_resumed_build_does_not_bring_it_back(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build([clips], out, shard_bytes=1)
    assert (first.done, first.samples) == (2, 2)
    done: Removal = remove(out, Wanted(sources=("b.mp4",)))
    assert (done.samples_removed, done.shards_removed) == (1, 1)
    assert traces(out, [b"b.mp4"]) == []
    again = build([clips], out, shard_bytes=1)
    assert (again.done, again.skipped, again.samples) == (1, 1, 1) and again.reasons == {
        "skipped: removed": 1
    }
    assert verify(out, mode="full").clean


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.shards.conftest import run_ffmpeg

    folder = tmp_path_factory.mktemp("clips")
    for name, pattern in (("a", "testsrc2"), ("b", "testsrc")):
        run_ffmpeg(
            "-f", "lavfi", "-i", f"{pattern}=s=96x64:r=25:d=1.2", "-c:v", "libx264", folder / f"{name}.mp4"
        )
    return folder
