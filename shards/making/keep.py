"""Rules that say which clips a build keeps, such as `motion>=2`: parsed from text, judged on a finished sidecar."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from unreel.shards.index import SampleRow, row_of
from unreel.shards.making.measures import MEASURES, TOLERANCE
from unreel.shards.sample import Sidecar

__all__ = ["NO_LANGUAGE", "Rule", "broken_rule", "read_rule", "read_rules"]

NO_LANGUAGE: Final = "none"
"""What `language=` calls a sample without words, or whose language is not known."""

_FORM: Final = re.compile(r"\s*([a-z_]+)\s*(>=|<=|=)\s*([^<>=\s][^<>=]*?)\s*")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}|none")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; equal rules have equal `text`, however they were written."""

    text: str
    holds: Callable[[Sidecar, SampleRow], bool]


def read_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Rules in the order of their text, each once: the order in which they are given decides nothing.

    Raises:
        ValueError: see `read_rule`.
    """
    rules = {rule.text: rule for rule in map(read_rule, texts)}
    return tuple(rules[text] for text in sorted(rules))


def read_rule(text: str) -> Rule:
    """A rule: `NAME>=NUMBER` or `NAME<=NUMBER` of `measures.MEASURES`, or `language=CODE[,CODE...]`.

    Raises:
        ValueError: it is none of these.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"rule {text!r}: write NAME>=NUMBER, NAME<=NUMBER or language=CODE,CODE; {_names()}")
    name, sign, value = match.groups()
    if name == "language":
        return _language(text, sign, value)
    if name not in MEASURES:
        raise ValueError(f"rule {text!r}: there is no measure {name!r}; {_names()}")
    return _bound(text, name, sign, value)


def broken_rule(rules: Sequence[Rule], sidecar: Sidecar) -> str | None:
    """The text of the first rule that a sample breaks; None where it is kept."""
    if not rules:
        return None
    row = row_of(sidecar, ())
    return next((rule.text for rule in rules if not rule.holds(sidecar, row)), None)


def _names() -> str:
    return f"the names are {', '.join(MEASURES)} and language"


def _bound(text: str, name: str, sign: str, value: str) -> Rule:
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if sign == "=" or not math.isfinite(bound):
        raise ValueError(f"rule {text!r}: write {name}>=NUMBER or {name}<=NUMBER, such as {name}>=2")
    measure = MEASURES[name]
    if sign == ">=":
        return Rule(f"{name}>={bound:.12g}", lambda _, row: measure(row) >= bound - TOLERANCE)
    return Rule(f"{name}<={bound:.12g}", lambda _, row: measure(row) <= bound + TOLERANCE)


def _language(text: str, sign: str, value: str) -> Rule:
    codes = sorted({code.strip().lower() for code in value.split(",")})
    if sign != "=" or not all(_LANGUAGE.fullmatch(code) for code in codes):
        raise ValueError(
            f"rule {text!r}: write language=CODE,CODE with ISO 639 codes such as en, or {NO_LANGUAGE} "
            "for samples whose language is not known"
        )
    allowed = frozenset(codes)
    return Rule(
        f"language={','.join(codes)}", lambda sidecar, _: (sidecar.language or NO_LANGUAGE) in allowed
    )
