"""Linear probes on frozen features: ridge regression of what varies, logistic regression of classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import BaseCrossValidator, GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from unreel.models.evaluation.intervals import Statistic
from unreel.models.evaluation.scores import balanced_accuracy, r_squared

__all__ = ["FOLDS", "Examples", "classify", "regress"]

FOLDS: Final = 4
"""Parts of the training sources, each of which judges the strengths that were fitted to the others."""

_RIDGE: Final = tuple(10.0**power for power in range(-1, 6))
_INVERSE: Final = tuple(10.0**power for power in range(-4, 1))
"""Grids of the strength of regularisation (ridge) and of its inverse (logistic), on standardised features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a probe learns from or is tested on.

    Attributes:
        x: f32 `[N, D]`, frozen features.
        y: float `[N]` or `[N, k]` to regress, or class names `[N]`.
        sources: the source of each row, str `[N]`; folds are made of whole sources.
    """

    x: NDArray[np.float32]
    y: NDArray
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.x)


def regress(train: Examples, test: Examples) -> NDArray[np.float64]:
    """Ridge regression of `y`, predicted for the rows of `test`: f64 of the shape of `test.y`.

    The strength is chosen by cross-validation over the training sources; held-out sources choose nothing.
    """
    model = make_pipeline(StandardScaler(), Ridge())
    folds = GroupKFold(_folds(train))
    return _fit(model, {"ridge__alpha": _RIDGE}, train, folds, r_squared).predict(test.x)


def classify(train: Examples, test: Examples) -> NDArray[np.str_]:
    """Logistic regression of the classes `y`, weighted equally, predicted for the rows of `test`: str `[M]`.

    Each class should have at least `FOLDS` training sources.
    """
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000, tol=1e-3)
    )
    grid = {"logisticregression__C": _INVERSE}
    folds = StratifiedGroupKFold(_folds(train))
    return _fit(model, grid, train, folds, balanced_accuracy).predict(test.x)


def _folds(train: Examples) -> int:
    sources = len(np.unique(train.sources))
    if sources < 2:
        raise ValueError(
            f"a probe needs at least 2 training sources to choose its strength; there are {sources}"
        )
    return min(FOLDS, sources)


def _fit(
    model: Pipeline,
    grid: dict[str, tuple[float, ...]],
    train: Examples,
    folds: BaseCrossValidator,
    score: Callable[[NDArray, NDArray], Statistic],
) -> GridSearchCV:
    """The model with the strength that scores best, fitted to all of `train`."""

    def judge(fitted: Pipeline, x: NDArray, y: NDArray) -> float:
        # R² has no value on a part in which nothing varies; such a part judges all strengths alike.
        return float(np.nan_to_num(score(fitted.predict(x), y)(np.ones((1, len(x))))[0]))

    search = GridSearchCV(model, grid, scoring=judge, cv=folds)
    # Matrices this small are solved in a millisecond, in which threads would only wait for each other.
    with threadpool_limits(1):
        return search.fit(train.x, train.y, groups=train.sources)
