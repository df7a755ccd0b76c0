"""The page on the sidecar names every field of every struct, with its version, and the figures of the code."""

import re
from pathlib import Path

import msgspec
import pytest

from unreel.shards.making import overlay
from unreel.shards.making.facts import FACTS
from unreel.shards.sample import (
    COLUMN_DTYPES,
    SCHEMA,
    Audio,
    Facts,
    Image,
    Original,
    Packets,
    Segment,
    Sidecar,
    Source,
    Video,
)

PAGE = (Path(__file__).parents[2] / "docs" / "sidecar.md").read_text()
SECTIONS: dict[type[msgspec.Struct], str] = {
    Sidecar: "Sidecar",
    Source: "Source",
    Video: "Video",
    Packets: "Video",
    Audio: "Audio and Image",
    Image: "Audio and Image",
    Segment: "Audio and Image",
    Facts: "Facts",
    Original: "Original",
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("struct", SECTIONS)
def test_every_field_is_on_the_page(struct: type[msgspec.Struct]) -> None:
    missing = [name for name in struct.__struct_fields__ if f"`{name}`" not in section(SECTIONS[struct])]
    assert missing == []


@pytest.mark.parametrize("struct", SECTIONS)
def test_the_page_names_no_field_that_is_not_there(struct: type[msgspec.Struct]) -> None:
    known = {
        name for one, title in SECTIONS.items() if title == SECTIONS[struct] for name in one.__struct_fields__
    }
    rows = re.findall(r"^\| (`[^|]+`) \|", section(SECTIONS[struct]), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named <= known


def test_every_fact_is_a_field_and_every_column_has_its_dtype_there() -> None:
    assert {*FACTS} == {*Facts.__struct_fields__} - {"measured"}
    table = section("Columns")
    for name, dtype in COLUMN_DTYPES.items():
        line = next(line for line in table.splitlines() if re.search(rf"`(packets\.)?{name}s?`", line))
        assert {"<u4": "u32", "u1": "u8", "<f2": "f16", "<u8": "u64", "<f4": "f32"}[dtype] in line


def test_the_newest_version_is_on_the_page() -> None:
    assert re.search(r"^\| {}\.{} \|".format(*SCHEMA), section("Versions"), re.MULTILINE)


def test_how_the_overlay_is_decided_is_what_the_code_does() -> None:
    text = " ".join(section("Facts").split())
    assert overlay._FRAMES == 16 and "Sixteen frames" in text
    shares = (overlay._COHERENCE, overlay._PRESENCE, overlay._FEWEST_MOVING, overlay._RING_SHARE)
    assert all(f"{share:.0%}".replace("%", " %") in text for share in shares)
    assert f"ring of {overlay._RING} pixels" in text and f"by {overlay._RING_LEVELS} levels" in text
