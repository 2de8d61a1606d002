"""What can be learned from: the features of a turn, and how far its outcomes say that a stronger model was needed."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One turn: what the scorer saw, and how far a stronger model was needed (0 not at all, 1 wholly)."""

    features: Mapping[str, float]
    need: float

    @property
    def needed(self) -> bool:
        """Whether a stronger model was needed rather than not."""
        return self.need >= 0.5


@dataclass(frozen=True, slots=True)
class ScorerWeights:
    """A logistic scorer."""

    weights: Mapping[str, float]
    bias: float

    def raw(self, features: Mapping[str, float]) -> float:
        """The sum before squashing; it orders as the score does."""
        return self.bias + sum(self.weights.get(name, 0.0) * value for name, value in features.items())


def need_from_outcomes(outcomes: Sequence[str], tier: int) -> float | None:
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
