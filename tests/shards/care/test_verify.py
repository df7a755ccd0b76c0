"""Verify finds what is broken, names it, counts what is lost, and says nothing of a sound data set."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.conftest import IDENTITY, tiny_sample
from unreel.shards.care.verify import Verification, verify, verify_shard
from unreel.shards.catalogue import Catalogue, compile_catalogue, read_index
from unreel.shards.commit import index_path
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.index import ShardIndex, identity_text, write_index
from unreel.shards.sample import Sidecar, pack_column
from unreel.shards.writer import ShardWriter


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of two clips each that really decode."""
    folder = tmp_path_factory.mktemp("verify")
    for shard in range(2):
        with ShardWriter(folder / f"s-{shard}.tar", identity=identity_text(IDENTITY)) as writer:
            for number in range(2 * shard, 2 * shard + 2):
                writer.add(*tiny_sample(number))
            writer.commit()
    compile_catalogue(folder, identity=IDENTITY, profile={"name": "tiny"})
    return folder


@pytest.fixture
def shards(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "shards"))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def checks(found: Verification) -> set[str]:
    return {damage.check for damage in found.damage}


def reissue(path: Path, change: Callable[[Sidecar], Sidecar]) -> None:
    """Write a shard anew whose sidecars are wrong, everything else agreeing with them."""
    samples = [tiny_sample(number) for number in range(2)]
    with ShardWriter(path, identity=identity_text(IDENTITY)) as writer:
        for sidecar, members in samples:
            writer.add(change(sidecar), members)
        writer.commit()


def test_a_sound_data_set_is_clean(pristine: Path) -> None:
    for mode in ("quick", "full"):
        found = verify(pristine, mode=mode)
        assert (found.clean, found.damage, found.condemned) == (True, (), ())
        assert (found.shards, found.samples, found.intact, found.lost) == (2, 4, 4, 0)
        assert found.decoded == (4 if mode == "full" else 0)


def test_workers_find_the_same(shards: Path) -> None:
    flip(shards / "s-1.tar", 700)
    assert verify(shards, mode="full", workers=2) == verify(shards, mode="full")


def test_a_share_of_the_samples_is_decoded_and_always_the_same(pristine: Path) -> None:
    decoded = [verify(pristine, mode="full", share=share).decoded for share in (0, 0.6, 0.6, 1)]
    assert decoded[0] == 0 and decoded[3] == 4 and decoded[1] == decoded[2]
    with pytest.raises(ValueError, match="share 2: allowed is 0 to 1"):
        verify(pristine, share=2)


def test_a_bit_in_a_payload_is_found_by_full_and_costs_one_sample(shards: Path) -> None:
    row = read_index(shards / "s-0.tar").samples[1]
    flip(shards / "s-0.tar", row.members[1].offset + 50)
    assert verify(shards).clean
    found = verify(shards, mode="full")
    assert checks(found) == {"sha256", "checksum"} and found.condemned == ("s-0",)
    assert (found.samples, found.intact, found.lost) == (4, 3, 1)
    (damage,) = (damage for damage in found.damage if damage.key)
    assert (damage.shard, damage.key) == ("s-0", row.key) and "mp4: expected CRC32" in damage.detail


def test_a_bit_in_a_header_is_found_by_quick(shards: Path) -> None:
    row = read_index(shards / "s-0.tar").samples[0]
    flip(shards / "s-0.tar", row.members[1].offset - 400)
    found = verify(shards)
    assert checks(found) == {"header"} and (found.intact, found.lost) == (3, 1)


def test_a_cut_tar_counts_what_is_whole(shards: Path) -> None:
    path, index = shards / "s-0.tar", read_index(shards / "s-0.tar")
    path.write_bytes(path.read_bytes()[: index.samples[1].members[1].offset])
    found = verify(shards)
    assert "size" in checks(found) and (found.intact, found.lost) == (3, 1)
    assert f"expected 2 samples in {index.bytes} bytes" in found.damage[0].detail


def test_bytes_after_the_end_are_found(shards: Path) -> None:
    path = shards / "s-0.tar"
    path.write_bytes(path.read_bytes() + b"x" * 512)
    assert {"size", "layout"} <= checks(verify(shards))


def test_missing_and_uncommitted_shards_are_named(shards: Path) -> None:
    (shards / "s-0.tar").unlink()
    index_path(shards / "s-1.tar").unlink()
    (shards / "extra.tar").write_bytes(b"")
    found = verify(shards)
    assert {(damage.shard, damage.check) for damage in found.damage} == {
        ("s-0", "missing"),
        ("s-1", "index"),
        ("extra", "uncommitted"),
    }
    assert (found.samples, found.intact, found.lost) == (4, 0, 4)


def test_swapped_shards_are_found_by_quick(shards: Path) -> None:
    (shards / "s-0.tar").rename(shards / "t")
    (shards / "s-1.tar").rename(shards / "s-0.tar")
    (shards / "t").rename(shards / "s-1.tar")
    found = verify(shards)
    assert found.condemned == ("s-0", "s-1") and found.intact == 0


def test_the_catalogue_is_held_against_the_indexes(shards: Path) -> None:
    index = read_index(shards / "s-0.tar")
    index_path(shards / "s-0.tar").write_bytes(write_index(index) + b" ")
    assert "the catalogue expects index_crc32" in verify(shards).damage[0].detail
    (shards / "catalogue.json").unlink()
    found = verify(shards)
    assert checks(found) == {"catalogue"} and found.condemned == () and found.lost == 0


def test_the_index_for_dali_is_held_against_the_index(shards: Path) -> None:
    (shards / "s-1.idx").write_bytes(b"v1.2 0\n")
    assert checks(verify(shards)) == {"wds-index"}


def test_what_killed_programs_left_is_named(shards: Path) -> None:
    (shards / ".s-0.tar.partial").write_bytes(b"x")
    (shards / ".s-0.index.json.intent").write_bytes(b"")
    assert checks(verify(shards)) == {"leftover", "unsettled"}


def test_sidecars_that_lie_are_found_although_every_checksum_holds(shards: Path) -> None:
    reissue(
        shards / "s-0.tar",
        lambda sidecar: msgspec.structs.replace(
            sidecar, facts=msgspec.structs.replace(sidecar.facts, motion=pack_column("motion", [1.0]))
        ),
    )
    found = verify_shard(shards / "s-0.tar")
    assert [damage.check for damage in found.damage] == ["contract", "contract"] and found.intact == 0


def test_a_packet_table_that_lies_is_found_by_decoding(shards: Path) -> None:
    def lie(sidecar: Sidecar) -> Sidecar:
        assert sidecar.video is not None
        offsets = sidecar.video.packets.offsets.copy()
        offsets[3] += 1
        sizes = sidecar.video.packets.sizes.copy()
        sizes[3] -= 1
        packets = msgspec.structs.replace(
            sidecar.video.packets, offset=pack_column("offset", offsets), size=pack_column("size", sizes)
        )
        return msgspec.structs.replace(sidecar, video=msgspec.structs.replace(sidecar.video, packets=packets))

    reissue(shards / "s-0.tar", lie)
    found = verify_shard(shards / "s-0.tar")
    assert [damage.check for damage in found.damage] == ["decode", "decode"]
    assert "packet 3: expected (offset, size, key)" in found.damage[0].detail
    assert not verify_shard(shards / "s-0.tar", share=0).damage


def test_a_member_that_does_not_decode_is_found(tmp_path: Path) -> None:
    """Every checksum of such a shard holds: its builder stored damage."""
    sidecar, members = tiny_sample(0)
    assert sidecar.video is not None
    payload = bytearray(members["mp4"])
    for row in (10, 20):
        start = int(sidecar.video.packets.offsets[row])
        payload[start + 8 : start + 40] = bytes(32)
    with ShardWriter(tmp_path / "s.tar", identity="{}") as writer:
        writer.add(sidecar, {**members, "mp4": bytes(payload)})
        writer.commit()
    (damage,) = verify_shard(tmp_path / "s.tar").damage
    assert damage.check == "decode" and "member mp4" in damage.detail


def test_a_row_that_disagrees_with_its_sidecar_is_found(shards: Path) -> None:
    path = shards / "s-0.tar"
    index = read_index(path)
    rows = [msgspec.structs.replace(row, motion=row.motion + 1) for row in index.samples]
    index_path(path).write_bytes(write_index(msgspec.structs.replace(index, samples=tuple(rows))))
    assert [damage.check for damage in verify_shard(path).damage] == ["row", "row"]


def test_an_index_of_an_older_minor_is_not_asked_for_what_it_cannot_hold(shards: Path) -> None:
    path = shards / "s-0.tar"
    index = read_index(path)
    rows = tuple(msgspec.structs.replace(row, scene=0, luma=0.0) for row in index.samples)
    older: ShardIndex = msgspec.structs.replace(index, schema="1.0", samples=rows)
    index_path(path).write_bytes(write_index(older))
    assert verify_shard(path).damage == ()


def test_strict_stops_at_the_first_damage(shards: Path) -> None:
    flip(shards / "s-0.tar", 10)
    with pytest.raises(
        ShardError, match=r"s-0\.tar, sample tiny-000: header: .*\(1 of 2 samples are intact\)"
    ):
        verify(shards, strict=True)


def test_a_folder_without_shards_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no shards and no catalogue here"):
        verify(tmp_path)


def test_verify_changes_nothing(shards: Path) -> None:
    flip(shards / "s-0.tar", 10)
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    verify(shards, mode="full")
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_the_tiny_data_set_is_clean(tiny_catalogue: Catalogue) -> None:
    assert verify(tiny_catalogue.folder, mode="full").clean
