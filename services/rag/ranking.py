"""Decides the order of passages: BM25 over a tenant's own terms, and reciprocal rank fusion of two orders."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TypeVar

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009: the usual values.
K1 = 1.2
B = 0.75
# Cormack, Clarke and Buettcher, SIGIR 2009.
RRF_K = 60

T = TypeVar("T", bound=Hashable)


def rarity(passages: int, passages_with_term: int) -> float:
    """The inverse document frequency of a term, over 0; higher for a term that fewer passages hold."""
    return math.log(1 + (passages - passages_with_term + 0.5) / (passages_with_term + 0.5))


def term_score(frequency: int, length: int, mean_length: float, term_rarity: float) -> float:
    """What a term adds to a passage's score: `frequency` times among its `length` terms."""
    return term_rarity * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / mean_length))


def fused(orders: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """One order of all that stands in `orders` (best first, each without repeats), with scores; ties as first seen."""
    scores: dict[T, float] = {}
    for order in orders:
        for rank, item in enumerate(order, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
