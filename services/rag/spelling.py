"""Decides which of a tenant's terms a misheard one may have been."""

from __future__ import annotations

from collections.abc import Iterable

# Each guess is compared with all terms that begin alike: a query of gibberish must not hold up the others.
GUESSES_MAX = 4
PREFIX_CHARACTERS = 2
# A guess counts for less than a word that was really said.
NEAR_WEIGHT = 0.5
_NEAR_MAX = 3
_SHORTEST = 4


def distance_allowed(term: str) -> int:
    """How many letters may differ: none in short terms and numbers, one in usual ones, two in long ones."""
    if len(term) < _SHORTEST or not term.isalpha():
        return 0
    return 1 if len(term) < 7 else 2


def nearest(term: str, vocabulary: Iterable[str]) -> list[str]:
    """At most three terms of `vocabulary` within the allowed distance of `term`, closest first."""
    allowed = distance_allowed(term)
    if not allowed:
        return []
    near = ((distance(term, other, allowed), other) for other in vocabulary if abs(len(other) - len(term)) <= allowed)
    return [other for letters, other in sorted(near) if letters <= allowed][:_NEAR_MAX]


def distance(left: str, right: str, limit: int) -> int:
    """Letters to insert, delete, replace or swap with the neighbour; `limit` + 1 where it is more than `limit`."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        following = [i]
        for j, b in enumerate(right, 1):
            cost = min(row[j] + 1, following[-1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            following.append(cost)
        if min(following) > limit:
            return limit + 1
        before, row = row, following
    return min(row[-1], limit + 1)
