import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.shards.remote.cache import ByteCache, keep


def test_kept_bytes_come_back_also_to_the_next_run(tmp_path):
    ByteCache(tmp_path, 100).put("shard/7", b"seven")
    later = ByteCache(tmp_path, 100)
    assert (later.get("shard/7"), later.get("shard/8"), later.held) == (b"seven", None, 5)


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = ByteCache(tmp_path, 30)
    for name in "abc":
        cache.put(name, bytes(10))
    cache.get("a")
    cache.put("d", bytes(10))
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]


def test_file_that_another_process_cleared_away_is_gone(tmp_path):
    cache = ByteCache(tmp_path, 30)
    cache.put("a", b"1")
    (tmp_path / "a").unlink()
    assert (cache.get("a"), cache.held) == (None, 0)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40)), max_size=20))
def test_never_more_than_the_limit_lies_in_the_folder(tmp_path_factory, puts):
    folder = tmp_path_factory.mktemp("cache")
    cache = ByteCache(folder, 64)
    for name, size in puts:
        cache.put(name, bytes(size))
        lying = sum(path.stat().st_size for path in folder.iterdir())
        assert lying == cache.held <= 64


def test_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        keep(tmp_path / "a", "text")
    assert list(tmp_path.iterdir()) == []


def test_negative_limit_is_named(tmp_path):
    with pytest.raises(ValueError, match="cache limit -1"):
        ByteCache(tmp_path, -1)
