"""New weights of the scorer from outcomes: fitted on most, judged on rows kept apart, promoted where they are no worse.

A logistic regression by Newton's method (iteratively reweighted least squares) with a ridge that pulls towards the
weights in force: few outcomes then change little. A dozen features and a hundred thousand rows take a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.llm_router.routing.tier_mix import ABSOLUTE_CUTS
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow

ROWS_MIN = 200
APART_PERIOD = 3
RIDGE = 1.0
ROUNDS = 25
_STEP_MIN = 1e-6
_SLOPE_MIN = 1e-6
_SPREAD_MIN = 1e-9


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit came to: ordering (AUROC) of old and new weights on the rows kept apart, and whether to promote."""

    fitted: ScorerWeights
    auroc_old: float
    auroc_new: float
    rows: int
    rows_apart: int

    @property
    def promoted(self) -> bool:
        """Whether the new weights are no worse where neither has looked."""
        return self.auroc_new >= self.auroc_old


def fit(rows: Sequence[TrainingRow], old: ScorerWeights) -> FitResult:
    """New weights from `rows`, every third of which (by position) is kept apart. Raises ValueError for too few rows."""
    if len(rows) < ROWS_MIN:
        raise ValueError(f"{len(rows)} outcomes are too few; {ROWS_MIN} are needed")
    apart = rows[::APART_PERIOD]
    seen = [row for i, row in enumerate(rows) if i % APART_PERIOD]
    if any(len({row.needed for row in part}) < 2 for part in (seen, apart)):
        raise ValueError("all outcomes say the same; there is nothing to learn from")
    fitted = _on_the_scale_of(old, _newton(seen, old), rows)
    return FitResult(fitted, auroc(apart, old), auroc(apart, fitted), len(rows), len(apart))


def _newton(rows: Sequence[TrainingRow], old: ScorerWeights) -> ScorerWeights:
    names = sorted(old.weights)
    prior = np.array([old.bias, *(old.weights[name] for name in names)])
    x = np.array([[1.0, *(row.features.get(name, 0.0) for name in names)] for row in rows])
    need = np.array([row.need for row in rows])
    theta = prior.copy()
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -35, 35)))
        slope = np.maximum(chance * (1 - chance), _SLOPE_MIN)
        gradient = x.T @ (need - chance) + RIDGE * (prior - theta)
        hessian = (x.T * slope) @ x + RIDGE * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        theta += step
        if np.abs(step).max() < _STEP_MIN:
            break
    bias, *weights = theta.tolist()
    return ScorerWeights(dict(zip(names, weights, strict=True)), bias)


def _on_the_scale_of(old: ScorerWeights, fitted: ScorerWeights, rows: Sequence[TrainingRow]) -> ScorerWeights:
    """`fitted` with its sums stretched and moved so that as much of the traffic falls below each fixed cut as before.

    An order is all that outcomes can teach: how many complain depends on who answers, and a score that meant the chance
    of a complaint would leave nobody above the cuts of `cap` and `quality`.
    """
    before = np.array([old.raw(row.features) for row in rows])
    after = np.array([fitted.raw(row.features) for row in rows])
    cuts = np.array([math.log(cut / (1 - cut)) for cut in ABSOLUTE_CUTS])
    low, high = (float(np.quantile(after, (before < cut).sum() / len(before))) for cut in cuts)
    if high - low > _SPREAD_MIN:
        scale = float(cuts[1] - cuts[0]) / (high - low)
        return _scaled(fitted, scale, float(cuts[0]) - scale * low)
    # Traffic that lies on one side of both cuts: its middle and its breadth stay.
    scale = float(before.std()) / max(float(after.std()), _SPREAD_MIN)
    return _scaled(fitted, scale, float(before.mean()) - scale * float(after.mean()))


def _scaled(weights: ScorerWeights, scale: float, shift: float) -> ScorerWeights:
    return ScorerWeights({name: scale * w for name, w in weights.weights.items()}, scale * weights.bias + shift)


def auroc(rows: Sequence[TrainingRow], weights: ScorerWeights) -> float:
    """The chance that a row in need scores above one that is not, ties counted half (Mann-Whitney)."""
    needed = np.array([row.needed for row in rows])
    _, place, ties = np.unique([weights.raw(row.features) for row in rows], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    above, below = int(needed.sum()), int((~needed).sum())
    return float((ranks[needed].sum() - above * (above + 1) / 2) / (above * below))
