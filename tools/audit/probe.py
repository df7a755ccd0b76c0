"""A probe that is given one artefact and asked for the label, judged on sources that it did not learn from."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from unreel.models.evaluation import Estimate, balanced_accuracy, bootstrap

__all__ = ["Evidence", "probe"]

_FOLDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a probe sees of N decisions.

    Attributes:
        seen: f32 `[N, D]`, the artefact and nothing else.
        answers: i64 `[N]`, the labels.
        sources: str `[N]`.
    """

    seen: NDArray[np.float32]
    answers: NDArray[np.int64]
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing."""
        return 1 / len(np.unique(self.answers))

    @classmethod
    def join(cls, parts: "list[Evidence]") -> "Evidence":
        """All of `parts`, one after the other."""
        return cls(
            seen=np.concatenate([part.seen for part in parts]),
            answers=np.concatenate([part.answers for part in parts]),
            sources=np.concatenate([part.sources for part in parts]),
        )


def probe(evidence: Evidence) -> Estimate:
    """Balanced accuracy of boosted trees that are taught and asked in turn, by whole sources.

    Trees, because many artefacts are not linear: a phase, the sameness of two pictures, one number between two others.
    """
    if not np.ptp(evidence.seen, axis=0).any():
        # Constant answers that differ from fold to fold would be a little off chance.
        told = np.full_like(evidence.answers, evidence.answers[0])
        return bootstrap(balanced_accuracy(told, evidence.answers), evidence.sources)
    model = HistGradientBoostingClassifier(max_iter=80, class_weight="balanced", random_state=0)
    with threadpool_limits(1):
        told = cross_val_predict(
            model, evidence.seen, evidence.answers, groups=evidence.sources, cv=GroupKFold(_FOLDS)
        )
    return bootstrap(balanced_accuracy(told, evidence.answers), evidence.sources)
