"""Training rows for the complexity scorer: features of a turn, and the need for a stronger model by its outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Quality of the answer by outcome: 1 good, 0 bad. A barge-in counts as half a complaint: people interrupt good answers
# too.
GOODNESS: Mapping[str, float] = {
    "thumbs_up": 1.0,
    "judged_good": 1.0,
    "barge_in": 0.5,
    "re_asked": 0.0,
    "thumbs_down": 0.0,
    "judged_bad": 0.0,
}


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One turn: its features, and the need for a stronger model (0 none, 1 certain)."""

    features: Mapping[str, float]
    need: float

    @property
    def needed(self) -> bool:
        """True when a stronger model was needed."""
        return self.need >= 0.5


@dataclass(frozen=True, slots=True)
class ScorerWeights:
    """Weights of a logistic scorer."""

    weights: Mapping[str, float]
    bias: float

    def raw(self, features: Mapping[str, float]) -> float:
        """Return the weighted sum before the logistic function; it orders requests as the score does."""
        return self.bias + sum(self.weights.get(name, 0.0) * value for name, value in features.items())


def need_from_outcomes(outcomes: Sequence[str], tier: int) -> float | None:
    """Return the need of a turn for a stronger model, or None where its outcomes do not show it.

    A bad answer of any tier shows need, a good answer of the simple tier shows none; a good answer of a higher tier
    does not tell whether the simple tier would have sufficed.
    """
    scores = [GOODNESS[o] for o in outcomes if o in GOODNESS]
    if not scores:
        return None
    good = sum(scores) / len(scores)
    if good >= 0.5 and tier > 1:
        return None
    return 1 - good
