"""Grouping of sources into shards: by content and size, by nothing else."""

import random

import msgspec

from unreel.shards.border.probe import Probe
from unreel.shards.grouping import Entry, group_entries, groups_digest
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.profiles import PROFILES
from unreel.shards.sample import Original

PROFILE = PROFILES["clips-128"]


def entries(count: int, seconds: float = 10.0) -> list[Entry]:
    rng = random.Random(0)
    return [
        Entry(
            SourceFile(path=f"/media/{number}.mp4", name=f"{number}.mp4"),
            Probe(
                id=f"{rng.getrandbits(64):016x}",
                demuxer="mov",
                video=0,
                audio=None,
                crop=None,
                matrix=None,
                width=176,
                height=128,
                rate=(25, 1),
                step=1,
                counted=False,
                seconds=rng.uniform(0.2, 1.8) * seconds,
                original=Original(container="mov"),
            ),
        )
        for number in range(count)
    ]


def test_groups_do_not_depend_on_the_order_of_the_listing() -> None:
    listed = entries(200)
    shuffled = random.Random(1).sample(listed, len(listed))
    assert group_entries(shuffled, PROFILE) == group_entries(listed, PROFILE)


def test_every_entry_is_in_one_group_and_groups_are_about_equal() -> None:
    listed = entries(1000)
    groups = group_entries(listed, PROFILE)
    assert sorted(entry.source.path for group in groups for entry in group) == sorted(
        e.source.path for e in listed
    )
    sizes = [sum(entry.probe.seconds for entry in group) for group in groups]
    assert len(groups) == 32
    assert max(sizes) < 1.2 * min(sizes)


def test_shard_size_can_be_asked_for() -> None:
    listed = entries(100)
    total = sum(entry.probe.seconds for entry in listed) * PROFILE.bytes_per_second
    assert len(group_entries(listed, PROFILE, shard_bytes=round(total / 5))) == 5
    assert len(group_entries(listed[:3], PROFILE)) == 1
    assert group_entries([], PROFILE) == []


def test_digest_tells_sources_and_labels_and_not_folders() -> None:
    groups = group_entries(entries(20), PROFILE)
    first = groups[0][0]

    def digest_with(**changes: object) -> str:
        changed = Entry(msgspec.structs.replace(first.source, **changes), first.probe)
        return groups_digest([[changed, *groups[0][1:]], *groups[1:]])

    digest = groups_digest(groups)
    assert digest_with(path="/elsewhere/0.mp4") == digest
    assert digest_with(labels={"digit": 3}) != digest
    assert digest_with(split="val") != digest
    assert digest_with(tracks={"x": (1.0,)}) != digest
