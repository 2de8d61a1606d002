"""Decides the order of passages: BM25 within a tenant, and reciprocal rank fusion of two rankings."""

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


def inverse_document_frequency(passages: int, passages_with_term: int) -> float:
    """Return the weight of a term, over 0; higher if fewer passages hold it."""
    return math.log(1 + (passages - passages_with_term + 0.5) / (passages_with_term + 0.5))


def bm25_term_score(frequency: int, length: int, mean_length: float, idf: float) -> float:
    """Return what one term adds to a passage's score.

    Args:
        frequency: Occurrences of the term in the passage.
        length: Terms in the passage.
        mean_length: Mean of `length` over the tenant's passages.
        idf: Inverse document frequency of the term.
    """
    return idf * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / mean_length))


def fuse_rankings(rankings: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """Merge rankings by reciprocal rank fusion.

    Args:
        rankings: Items, best first, each without repetitions.

    Returns:
        Every item once with its score, best first; ties keep the order of appearance.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
