"""A sidecar that does not go with its members is told apart, whatever is wrong with it."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from unreel.shards.care.contract import contract_breaches
from unreel.shards.sample import Facts, Sidecar, pack_column

SIZES = {"mp4": 700, "flac": 512}
Sample = tuple[Sidecar, dict[str, bytes]]


def changed(sidecar: Sidecar, path: str, value: Any) -> Sidecar:
    """`sidecar` with the field `path`, such as `video.rate`, of another value."""
    head, _, rest = path.partition(".")
    if rest:
        value = changed(getattr(sidecar, head), rest, value)
    return msgspec.structs.replace(sidecar, **{head: value})


def column(name: str, count: int, step: int = 20) -> bytes:
    return pack_column(name, np.arange(count) * step)


def test_a_sound_sample_breaches_nothing(sample: Callable[..., Sample]) -> None:
    assert list(contract_breaches(sample("k")[0], SIZES)) == []
    assert list(contract_breaches(sample("k", sound=False)[0], {"mp4": 700, "txt": 3})) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("key", "A.b", "allowed are a-z"),
        ("source.id", "../x", "16 hex digits"),
        ("source.start_frame", -1, "start_frame of 0 or more"),
        ("source.span_us", (5, 5), "ascending span"),
        ("video.member", "mkv", r"expected the members \['flac', 'mkv'\]"),
        ("video.rate", (25, 0), "frames and a rate"),
        ("video.frames", 31, "expected 31 numbers in packet column offset, found 30"),
        ("video.gop", 8, "at most 8 frames apart, found 16"),
        (
            "video.packets.offset",
            column("offset", 30, 30),
            "inside the member of 700 bytes, found one that ends at 890",
        ),
        ("video.packets.offset", column("offset", 30, 10), "one after the other"),
        ("video.packets.key", bytes(30), "key frame at 0"),
        ("audio.samples", 57_599, "expected 57600 audio samples beside 30 frames, found 57599"),
        ("audio.channels", 0, "0 channels"),
        ("facts.motion", column("motion", 29), "expected 30 numbers in fact motion, found 29"),
        ("facts.hashes", b"123", "whole hashes"),
        ("facts.cuts", (4, 3), "cuts that ascend"),
        ("facts.cuts", (30,), "cuts that ascend"),
        ("facts.silence", ((0, 57_601),), "silent spans"),
        ("facts.silence", ((10, 10),), "silent spans"),
        ("facts.content_box", (0, 0, 161, 128), "content_box inside 160x128"),
        ("facts.overlay_box", (8, 8, 8, 9), "overlay_box inside 160x128"),
        ("tracks", {"x": column("track", 31)}, "expected 30 numbers in track x, found 31"),
    ],
)
def test_each_breach_is_named(sample: Callable[..., Sample], path: str, value: Any, words: str) -> None:
    found = list(contract_breaches(changed(sample("k")[0], path, value), SIZES))
    assert found
    assert re.search(words, "; ".join(found)), found


def test_members_are_held_against_the_sidecar(sample: Callable[..., Sample]) -> None:
    (found,) = contract_breaches(sample("k")[0], {"mp4": 700})
    assert found == "expected the members ['flac', 'mp4'], found ['mp4']"
    nothing = msgspec.structs.replace(sample("k")[0], video=None, audio=None, facts=Facts())
    assert "expected a picture or a sound, found neither" in list(contract_breaches(nothing, {}))
