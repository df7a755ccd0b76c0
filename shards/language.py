"""Which language a text is in: told by a name or a manifest, else detected where there is enough of it."""

import re
from functools import lru_cache
from typing import Any, Final

__all__ = ["detect_language", "language_code"]

_CODE: Final = re.compile(r"([a-z]{2})([-_][a-z0-9]+)*", re.IGNORECASE)
# Pieces of 60 characters of film subtitles in three languages, about 48 letters each: 15 of 21 reach it, all of them rightly.
_LEAST_LETTERS: Final = 48
_LEAST_PROBABILITY: Final = 0.9
# More than this does not change the answer.
_MOST_LETTERS: Final = 20_000


def language_code(text: str) -> str | None:
    """The ISO 639-1 code in a tag such as `en`, `pt-BR` or `zh_Hans`; None: it is no such tag."""
    code = _CODE.fullmatch(text)
    return None if code is None else code[1].lower()


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of a text by py3langid's model, the same on every machine; None: too short, or not sure enough."""
    letters = sum(map(str.isalpha, text[:_MOST_LETTERS]))
    if letters < _LEAST_LETTERS:
        return None
    code, probability = _identifier().classify(text[:_MOST_LETTERS])
    return str(code) if probability >= _LEAST_PROBABILITY else None


@lru_cache(1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
