"""What an audit finds of a guard, and the sentence that follows from its numbers."""

from dataclasses import dataclass
from typing import Final, Literal

from unreel.models.evaluation import Estimate

__all__ = ["CLEAR", "NEAR", "Finding", "Side", "Verdict"]

NEAR: Final = 2.0
"""Standard errors within which a probe is at chance."""

CLEAR: Final = 3.0
"""Standard errors from which on a probe is above chance."""

Verdict = Literal["closed", "open", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A probe with the guard on, or off.

    Attributes:
        settings: how the guard stands, in words.
        accuracy: balanced, over sources that the probe did not learn from.
    """

    settings: str
    accuracy: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One artefact, with its guard on and off.

    Attributes:
        guard: its name in `GUARDS`.
        threat: its number in the list of threats, such as `D9`.
        artefact: what the probe sees.
        task: whose answer it tries to tell.
        data: what was looked at.
        chance: of guessing.
        known: why this form of the guard cannot close it; "" where it should.
        seconds: that the case took.
    """

    guard: str
    threat: str
    artefact: str
    task: str
    data: str
    chance: float
    off: Side
    on: Side
    known: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it is open and should not be."""
        return self.verdict == "open" and not self.known

    @property
    def verdict(self) -> Verdict:
        """`closed`: at chance with the guard and clearly above without; `open`: above chance with it.

        `not shown`: the artefact tells nothing even without the guard, so that nothing is known of the guard.
        """
        if _above(self.on.accuracy, self.chance, NEAR):
            return "open"
        return "closed" if _above(self.off.accuracy, self.chance, CLEAR) else "not shown"


def _above(accuracy: Estimate, chance: float, standard_errors: float) -> bool:
    # Without any error (one value for all sources) the number itself decides.
    return accuracy.value - chance > standard_errors * (accuracy.standard_error or 0.0)
