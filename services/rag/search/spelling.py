"""Decides which of a tenant's terms replace a query term that no passage holds, for instance a misheard one."""

from __future__ import annotations

from collections.abc import Iterable

# Each correction reads all terms with the same prefix; this bounds the work for a query of unknown words.
CORRECTIONS_MAX = 4
PREFIX_CHARACTERS = 2
# Weight of a corrected term; a term that occurs in the query has 1.
NEAR_WEIGHT = 0.5
_NEAR_MAX = 3
_SHORTEST = 4


def distance_allowed(term: str) -> int:
    """Return the allowed edit distance: 0 for terms under 4 letters and for numbers, 1 under 7 letters, else 2."""
    if len(term) < _SHORTEST or not term.isalpha():
        return 0
    return 1 if len(term) < 7 else 2


def nearest(term: str, vocabulary: Iterable[str]) -> list[str]:
    """Return at most three terms of `vocabulary` within the allowed edit distance of `term`, closest first."""
    allowed = distance_allowed(term)
    if not allowed:
        return []
    near = (
        (edit_distance(term, other, allowed), other) for other in vocabulary if abs(len(other) - len(term)) <= allowed
    )
    return [other for letters, other in sorted(near) if letters <= allowed][:_NEAR_MAX]


def edit_distance(left: str, right: str, limit: int) -> int:
    """Return the optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.

    Args:
        left: A term.
        right: Another term.
        limit: Distance above which the exact value does not matter.

    Returns:
        The distance, or `limit` + 1 if it exceeds `limit`.
    """
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
