"""From how answers were received to new weights of the scorer: fitted on most, judged on data kept apart.

A row holds the features that the scorer saw, and whether a cheap answer was good enough. The fit is a logistic
regression by Newton's method on a dozen features: no library, a second for a hundred thousand rows. New weights are
promoted only where they order the rows kept apart no worse than the old ones do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What an outcome says about the answer: 1 good enough, 0 wanting. A barge-in says little: people interrupt good answers
# too, so it counts as half a complaint.
GOODNESS: Mapping[str, float] = {
    "thumbs_up": 1.0,
    "judged_good": 1.0,
    "barge_in": 0.5,
    "re_asked": 0.0,
    "thumbs_down": 0.0,
    "judged_bad": 0.0,
}
ROWS_MIN = 200
APART_SHARE = 0.3
RIDGE = 1.0
ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Row:
    """One turn: what the scorer saw, and how far a stronger model was needed (0 not at all, 1 wholly)."""

    features: Mapping[str, float]
    need: float


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic scorer."""

    weights: Mapping[str, float]
    bias: float

    def raw(self, features: Mapping[str, float]) -> float:
        """The sum before squashing; it orders as the score does."""
        return self.bias + sum(self.weights.get(name, 0.0) * value for name, value in features.items())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a fit came to: ordering (AUROC) of old and new weights on the rows kept apart, and whether to promote."""

    fitted: Weights
    auroc_old: float
    auroc_new: float
    rows: int
    rows_apart: int

    @property
    def promoted(self) -> bool:
        """Whether the new weights are no worse where neither has looked."""
        return self.auroc_new >= self.auroc_old


def fit(rows: Sequence[Row], old: Weights) -> Verdict:
    """New weights from `rows`, every third of which (by position) is kept apart. Raises ValueError for too few rows."""
    if len(rows) < ROWS_MIN:
        raise ValueError(f"{len(rows)} outcomes are too few; {ROWS_MIN} are needed")
    period = round(1 / APART_SHARE)
    apart = [r for i, r in enumerate(rows) if i % period == 0]
    seen = [r for i, r in enumerate(rows) if i % period]
    if len({r.need >= 0.5 for r in seen}) < 2 or len({r.need >= 0.5 for r in apart}) < 2:
        raise ValueError("all outcomes say the same; there is nothing to learn from")
    fitted = _newton(seen, sorted(old.weights), old)
    return Verdict(fitted, _auroc(apart, old), _auroc(apart, fitted), len(rows), len(apart))


def _newton(rows: Sequence[Row], names: Sequence[str], old: Weights) -> Weights:
    """Maximum likelihood with a ridge that pulls towards the old weights, so that few rows change little."""
    prior = [old.bias, *(old.weights[n] for n in names)]
    theta = list(prior)
    table = [([1.0, *(r.features.get(n, 0.0) for n in names)], r.need) for r in rows]
    size = len(theta)
    for _ in range(ROUNDS):
        gradient = [RIDGE * (p - t) for p, t in zip(prior, theta, strict=True)]
        hessian = [[RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
        for x, need in table:
            p = _logistic(sum(a * b for a, b in zip(theta, x, strict=True)))
            slope = max(p * (1 - p), 1e-6)
            for i in range(size):
                gradient[i] += (need - p) * x[i]
                weighted = slope * x[i]
                for j in range(i + 1):
                    hessian[i][j] += weighted * x[j]
        for i in range(size):
            for j in range(i):
                hessian[j][i] = hessian[i][j]
        step = _solve(hessian, gradient)
        theta = [t + s for t, s in zip(theta, step, strict=True)]
        if max(abs(s) for s in step) < 1e-6:
            break
    return Weights(dict(zip(names, theta[1:], strict=True)), theta[0])


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a positive definite system, by Gauss with pivots."""
    size = len(right)
    rows = [[*matrix[i], right[i]] for i in range(size)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for i in range(column + 1, size):
            factor = rows[i][column] / rows[column][column]
            for j in range(column, size + 1):
                rows[i][j] -= factor * rows[column][j]
    solution = [0.0] * size
    for i in reversed(range(size)):
        rest = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - rest) / rows[i][i]
    return solution


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 35.0), -35.0)))


def _auroc(rows: Sequence[Row], weights: Weights) -> float:
    """The chance that a row in need scores above one that is not, ties counted half."""
    scored = sorted((weights.raw(r.features), r.need >= 0.5) for r in rows)
    ranks, i = 0.0, 0
    while i < len(scored):
        j = i
        while j < len(scored) and scored[j][0] == scored[i][0]:
            j += 1
        ranks += (i + j + 1) / 2 * sum(needed for _, needed in scored[i:j])
        i = j
    needed = sum(n for _, n in scored)
    return (ranks - needed * (needed + 1) / 2) / (needed * (len(scored) - needed))


def need_of(outcomes: Sequence[str], tier: int) -> float | None:
    """How far a turn needed a stronger model, from its outcomes; None where they do not tell.

    A bad answer of the top tier says the request is hard, a good answer of the bottom tier that it is easy; a good
    answer of a dear model says nothing about whether a cheap one would have done.
    """
    told = [GOODNESS[o] for o in outcomes if o in GOODNESS]
    if not told:
        return None
    good = sum(told) / len(told)
    if good >= 0.5 and tier > 1:
        return None
    return 1 - good
