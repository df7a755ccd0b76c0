"""Which members are a sample, what it is called here, and what its text members say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.shards.errors import MediaRefused
from unreel.shards.foreign.samples import group_members, mapped_key, pick, read_words
from unreel.shards.foreign.tar import TarEntry
from unreel.shards.sample import check_key


def entries(*names: str) -> list[TarEntry]:
    return [TarEntry(name, 512 * number, 1, 0) for number, name in enumerate(names)]


def test_the_key_ends_at_the_first_dot_after_the_last_slash() -> None:
    found = group_members(entries("a.b/c.mp4", "a.b/c.JSON", "a.b/c.seg.png", "d.mp4"))
    assert [(sample.key, list(sample.members)) for sample in found.samples] == [
        ("a.b/c", ["mp4", "json"]),
        ("d", ["mp4"]),
    ]
    assert found.ignored == {"seg.png": 1}


def test_split_samples_are_put_together_and_doubled_members_refuse_theirs() -> None:
    found = group_members(entries("a.mp4", "b.mp4", "a.txt", "b.mp4", "b.txt"))
    a, b = found.samples
    assert (list(a.members), a.split, a.refused) == (["mp4", "txt"], True, None)
    assert b.refused is not None and b.refused[0] == "duplicate-member"
    with pytest.raises(MediaRefused, match="duplicate-member"):
        pick(b)


def test_what_can_run_code_and_what_has_no_name_is_not_read() -> None:
    names = [f"a.{name}" for name in ("pyd", "pth", "npy", "pickle", "mp4.pkl", "PYD")]
    found = group_members(entries(*names, "noextension", ".hidden", "b.xyz"))
    assert [one.reason for one in found.refused] == ["code"] * len(names)
    assert found.ignored == {"": 2, "xyz": 1} and not found.samples


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a.mp4", "a.json", "a.txt"), {"video": "mp4"}),
        (("a.jpg", "a.json"), {"picture": "jpg"}),
        (("a.webm", "a.flac", "a.jpg"), {"video": "webm", "sound": "flac"}),
    ],
)
def test_media_are_picked_by_kind(names: tuple[str, ...], expected: dict[str, str]) -> None:
    assert pick(group_members(entries(*names)).samples[0]) == expected


@pytest.mark.parametrize(
    ("names", "reason"), [(("a.json", "a.txt"), "no-media"), (("a.mp4", "a.webm"), "ambiguous")]
)
def test_samples_without_one_clear_medium_are_refused(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(MediaRefused, match=reason):
        pick(group_members(entries(*names)).samples[0])


@given(st.text(max_size=200))
def test_every_key_is_mapped_into_our_alphabet_and_always_alike(key: str) -> None:
    assert check_key(mapped_key(key)) == mapped_key(key) and len(mapped_key(key)) <= 60


@given(st.lists(st.text(alphabet="aA.-_/ é", min_size=1, max_size=8), unique=True, max_size=50))
def test_different_keys_stay_different(keys: list[str]) -> None:
    assert len({mapped_key(key) for key in keys}) == len(keys)


def test_keys_of_our_alphabet_keep_their_name() -> None:
    assert mapped_key("000000012_00003") == "000000012_00003"
    assert mapped_key("Clips/Dog Runs").startswith("clips-dog-runs-")


def test_words_give_labels_source_and_span() -> None:
    document = {
        "caption": "a dog",
        "url": "https://example.org/v",
        "license": "CC-BY",
        "clips": [["00:00:01.5", "00:01:02"]],
        "similarity": 0.5,
        "nsfw": True,
        "exif": {"a": 1},
        "nothing": None,
    }
    words = read_words({"json": json.dumps(document).encode(), "cls": b" 7\n"})
    assert words.labels["cls"] == 7 and words.labels["nsfw"] == 1 and words.labels["similarity"] == 0.5
    assert "exif" not in words.labels and "nothing" not in words.labels
    assert (words.url, words.licence, words.span_us) == (
        "https://example.org/v",
        "CC-BY",
        (1_500_000, 62_000_000),
    )
    assert read_words({"json": b'{"clips": [[3.0, 4.5]]}'}).span_us == (3_000_000, 4_500_000)
    assert read_words({"json": b'{"clips": [[4, "x"]]}'}).span_us is None


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"json": b"{"}, "bad-json"),
        ({"json": b"[" * 100_000}, "bad-json"),
        ({"json": b'{"a": "\xff"}'}, "bad-json"),
        ({"cls": b"dog"}, "bad-class"),
    ],
)
def test_broken_words_refuse_the_sample(texts: dict[str, bytes], reason: str) -> None:
    with pytest.raises(MediaRefused, match=reason):
        read_words(texts)


def test_labels_have_bounds() -> None:
    many = {str(number): number for number in range(1000)} | {"big": 10**40, "long": "x" * 2000}
    labels = read_words({"json": json.dumps(many).encode()}).labels
    assert len(labels) == 64 and "big" not in labels and "long" not in labels
