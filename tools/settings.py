"""`--set KEY=VALUE`: one setting from the command line, its value read as TOML."""

import tomllib
from typing import Any

__all__ = ["parse_setting"]


def parse_setting(text: str, *, form: str, example: str) -> tuple[str, Any]:
    """Key and value of `KEY=VALUE`; a value that is no TOML is text.

    Raises ValueError, which shows `form` and `example`, when there is no '=' or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"--set {text!r}: write {form}, such as {example}")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
