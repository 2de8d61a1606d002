"""Fits scorer weights to outcomes and judges them on held-out rows; they are promoted when they rank no worse.

Logistic regression by Newton's method (iteratively reweighted least squares) with a ridge towards the current weights,
so that few outcomes change little. A dozen features and a hundred thousand rows take a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.llm_router.routing.tier_mix import ABSOLUTE_CUTS
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow

ROWS_MIN = 200
HOLD_OUT_PERIOD = 3
RIDGE = 1.0
ROUNDS = 25
_STEP_MIN = 1e-6
_SLOPE_MIN = 1e-6
_SPREAD_MIN = 1e-9


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of a fit: AUROC of old and new weights on the held-out rows."""

    fitted: ScorerWeights
    auroc_old: float
    auroc_new: float
    rows: int
    rows_held_out: int

    @property
    def promoted(self) -> bool:
        """True when the new weights rank the held-out rows no worse than the old ones."""
        return self.auroc_new >= self.auroc_old


def fit(rows: Sequence[TrainingRow], old: ScorerWeights) -> FitResult:
    """Fit new weights; every third row (by position) is held out.

    Args:
        rows: Turns in the order of recording.
        old: Current weights.

    Raises:
        ValueError: Fewer than `ROWS_MIN` rows, or all rows of a part have the same label.
    """
    if len(rows) < ROWS_MIN:
        raise ValueError(f"{len(rows)} outcomes are too few; at least {ROWS_MIN} are needed")
    held_out = rows[::HOLD_OUT_PERIOD]
    training = [row for i, row in enumerate(rows) if i % HOLD_OUT_PERIOD]
    if any(len({row.needed for row in part}) < 2 for part in (training, held_out)):
        raise ValueError("all outcomes have the same label; record good and bad ones")
    fitted = _on_the_scale_of(old, _newton(training, old), rows)
    return FitResult(fitted, auroc(held_out, old), auroc(held_out, fitted), len(rows), len(held_out))


def _newton(rows: Sequence[TrainingRow], old: ScorerWeights) -> ScorerWeights:
    names = sorted(old.weights)
    prior = np.array([old.bias, *(old.weights[name] for name in names)])
    x = np.array([[1.0, *(row.features.get(name, 0.0) for name in names)] for row in rows])
    need = np.array([row.need for row in rows])
    theta = prior.copy()
    for _ in range(ROUNDS):
        probability = 1 / (1 + np.exp(-np.clip(x @ theta, -35, 35)))
        slope = np.maximum(probability * (1 - probability), _SLOPE_MIN)
        gradient = x.T @ (need - probability) + RIDGE * (prior - theta)
        hessian = (x.T * slope) @ x + RIDGE * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        theta += step
        if np.abs(step).max() < _STEP_MIN:
            break
    bias, *weights = theta.tolist()
    return ScorerWeights(dict(zip(names, weights, strict=True)), bias)


def _on_the_scale_of(old: ScorerWeights, fitted: ScorerWeights, rows: Sequence[TrainingRow]) -> ScorerWeights:
    """Rescale `fitted` so that the same share of the traffic falls below each fixed cut as before.

    Outcomes teach an order only: the rate of complaints depends on the answering model, and a score equal to the chance
    of a complaint would leave no request above the cuts of `cap` and `quality`.
    """
    before = np.array([old.raw(row.features) for row in rows])
    after = np.array([fitted.raw(row.features) for row in rows])
    cuts = np.array([math.log(cut / (1 - cut)) for cut in ABSOLUTE_CUTS])
    low, high = (float(np.quantile(after, (before < cut).sum() / len(before))) for cut in cuts)
    if high - low > _SPREAD_MIN:
        scale = float(cuts[1] - cuts[0]) / (high - low)
        return _scaled(fitted, scale, float(cuts[0]) - scale * low)
    # All traffic lies on one side of both cuts: keep its mean and spread.
    scale = float(before.std()) / max(float(after.std()), _SPREAD_MIN)
    return _scaled(fitted, scale, float(before.mean()) - scale * float(after.mean()))


def _scaled(weights: ScorerWeights, scale: float, shift: float) -> ScorerWeights:
    return ScorerWeights({name: scale * w for name, w in weights.weights.items()}, scale * weights.bias + shift)


def auroc(rows: Sequence[TrainingRow], weights: ScorerWeights) -> float:
    """Return the chance that a row in need scores above one that is not; ties count half (Mann-Whitney)."""
    needed = np.array([row.needed for row in rows])
    _, tie_group, ties = np.unique([weights.raw(row.features) for row in rows], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[tie_group]
    above, below = int(needed.sum()), int((~needed).sum())
    return float((ranks[needed].sum() - above * (above + 1) / 2) / (above * below))
