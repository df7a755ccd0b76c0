"""Which language a text is in: told by a name or a manifest, else detected where there is enough of it."""

import re
from functools import lru_cache
from typing import Any, Final

__all__ = ["detect_language", "language_code", "track_language"]

_CODE: Final = re.compile(r"([a-z]{2})([-_][a-z0-9]+)*", re.IGNORECASE)
# Pieces of 60 characters of film subtitles in three languages, about 48 letters each: 15 of 21 reach it, all of them rightly.
_LEAST_LETTERS: Final = 48
_LEAST_PROBABILITY: Final = 0.9
# More than this does not change the answer.
_MOST_LETTERS: Final = 20_000
# ISO 639-2, both of its codes where it has two, of languages that tracks of subtitles are in.
_THREE_LETTERS: Final = dict(
    re.findall(
        r"(\w+):(\w+)",
        "ara:ar ben:bn bul:bg cat:ca ces:cs cze:cs dan:da deu:de ger:de ell:el gre:el eng:en est:et eus:eu baq:eu fas:fa "
        "per:fa fin:fi fra:fr fre:fr gle:ga glg:gl heb:he hin:hi hrv:hr hun:hu hye:hy arm:hy ind:id isl:is ice:is ita:it "
        "jpn:ja kan:kn kat:ka geo:ka kaz:kk kor:ko lav:lv lit:lt mal:ml mar:mr mkd:mk mac:mk msa:ms may:ms nld:nl dut:nl "
        "nob:nb nno:nn nor:no pol:pl por:pt pan:pa ron:ro rum:ro rus:ru slk:sk slo:sk slv:sl spa:es sqi:sq alb:sq srp:sr "
        "swa:sw swe:sv tam:ta tel:te tgl:tl tha:th tur:tr ukr:uk urd:ur vie:vi zho:zh chi:zh",
    )
)


def language_code(text: str) -> str | None:
    """The ISO 639-1 code in a tag such as `en`, `pt-BR` or `zh_Hans`; None: it is no such tag."""
    code = _CODE.fullmatch(text)
    return None if code is None else code[1].lower()


def track_language(text: str) -> str | None:
    """The ISO 639-1 code of what a container says of a track, `eng` or `en-GB`; None: nothing, or not a language known here."""
    return _THREE_LETTERS.get(text.lower()[:3]) if len(text) == 3 else language_code(text)


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
