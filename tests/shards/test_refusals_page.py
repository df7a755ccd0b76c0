"""Every reason that the source can give stands on the page, and the page has no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from unreel.shards.border import limits
from unreel.shards.border.probe import SKIPPED
from unreel.shards.foreign import tar

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "refusals.md").read_text()
# Reasons that are not written at the call: a table of names, and pairs of reason and detail.
INDIRECT = {"waiting", "duplicate-member"} | SKIPPED | set(limits._REASONS.values())
NAMES = {"unknown-type", "name-control", "name-absolute", "name-escapes"} | set(tar._REFUSED_TYPES.values())
PLACES = {"MediaRefused": 0, "TarRefusal": 1}


def reasons() -> Iterator[str]:
    for path in (ROOT / "shards").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            place = PLACES.get(getattr(node.func, "id", ""), -1) if isinstance(node, ast.Call) else -1
            if place >= 0 and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                yield node.args[place].value


def listed() -> dict[str, str]:
    """Reason → the rest of its row."""
    return dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", PAGE, re.MULTILINE))


def test_page_lists_every_reason_and_no_other() -> None:
    assert set(listed()) == set(reasons()) | INDIRECT | NAMES


def test_page_says_what_is_skipped() -> None:
    skipped = {reason for reason, row in listed().items() if row.startswith("skipped")}
    assert skipped == SKIPPED


def test_page_tells_every_limit() -> None:
    for name in limits.Limits.__struct_fields__:
        assert f"`{name}` " in PAGE
