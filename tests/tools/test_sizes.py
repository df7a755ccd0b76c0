"""Sizes as people write them."""

import pytest

from unreel.tools.sizes import read_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64MiB", 64 << 20), ("1.5 GB", 1_500_000_000), ("300k", 300_000), ("2gib", 2 << 30)],
)
def test_size_is_read(text: str, size: int) -> None:
    assert read_size("--shard-bytes", text) == size


@pytest.mark.parametrize("text", ["", "0", "-4", "MiB", "1e9", "4 parsec", "0.4"])
def test_no_size_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="--shard-bytes"):
        read_size("--shard-bytes", text)
