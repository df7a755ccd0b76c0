"""Sidecars of older versions become those of today; newer ones are not written anew."""

import msgspec
import pytest

from unreel.shards.care.migrations import MIGRATIONS, upgrade_sidecar, version_of
from unreel.shards.errors import ShardError
from unreel.shards.sample import SCHEMA, Facts, Sidecar, Source, write_sidecar

OLD = {"schema": "1.0", "key": "a-1", "source": {"id": "00", "name": "a.mp4"}, "labels": {}, "tracks": {}}


def old(**facts: object) -> bytes:
    return msgspec.json.encode({**OLD, "video": None, "audio": None, "facts": facts, "original": None})


def test_a_path_leads_from_every_version_to_today() -> None:
    for start in MIGRATIONS:
        version = start
        while version != SCHEMA:
            assert MIGRATIONS[version][0] > version
            version = MIGRATIONS[version][0]


@pytest.mark.parametrize(
    ("facts", "measured"),
    [
        ({}, ()),
        ({"motion": "AAA="}, ("motion", "luma", "cuts", "content_box")),
        (
            {"motion": "AAA=", "loudness": "AAA="},
            ("motion", "luma", "cuts", "content_box", "loudness", "silence"),
        ),
    ],
)
def test_1_0_lists_what_it_had_measured(facts: dict[str, str], measured: tuple[str, ...]) -> None:
    sidecar = upgrade_sidecar(old(**facts))
    assert (sidecar.schema, sidecar.facts.measured) == ("1.1", measured)
    assert upgrade_sidecar(write_sidecar(sidecar)) == sidecar


def test_a_sidecar_of_today_stays_as_it_is() -> None:
    sidecar = Sidecar(key="a", source=Source(id="0", name="a"), facts=Facts(measured=("hashes",)))
    assert upgrade_sidecar(write_sidecar(sidecar)) == sidecar


@pytest.mark.parametrize("schema", ["1.2", "2.0"])
def test_newer_sidecars_are_not_written_anew(schema: str) -> None:
    with pytest.raises(ShardError, match=rf"schema {schema} is newer than 1\.1, .* lose .*: update"):
        upgrade_sidecar(msgspec.json.encode({**OLD, "schema": schema, "smell": "none"}))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"schema": "one"}', b'{"schema": 3}', b'{"schema": "1.0"}']
)
def test_what_is_no_sidecar_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match="not a sidecar"):
        upgrade_sidecar(data)


def test_versions_have_two_numbers() -> None:
    assert version_of("1.10") > version_of("1.9")
    with pytest.raises(ValueError, match="unpack"):
        version_of("1.2.3")
