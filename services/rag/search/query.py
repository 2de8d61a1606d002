"""Values of a search: the query, the passages found, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.rag.text.analysis import QueryTerm


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A validated search; `budget_s` is the time for it in seconds."""

    query: str
    terms: Sequence[QueryTerm]
    k: int
    filters: Mapping[str, str]
    budget_s: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found; scores are comparable within one ranking only."""

    passage_id: str
    document_id: str
    title: str
    text: str
    start_byte: int
    end_byte: int
    headings: tuple[str, ...]
    metadata: Mapping[str, str]
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first; the duration of each stage in seconds; skipped stages, each as "stage: reason"."""

    passages: Sequence[Passage]
    timings_s: Sequence[tuple[str, float]]
    degraded: Sequence[str] = ()
