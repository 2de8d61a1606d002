"""Metrics of the rag service."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.rag.search.query import SearchResult

_STAGE_SECONDS = Histogram(
    "hocket_rag_search_stage_seconds",
    "Duration of the stages of a search: embed, lexical, vector, fuse.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
_DEGRADED = Counter("hocket_rag_search_degraded_steps", "Stages of a search that were skipped.", ["stage"])
INGESTED = Counter(
    "hocket_rag_ingested_documents", "Ingested documents by outcome: stored, unchanged or refused.", ["outcome"]
)


def count_search(result: SearchResult) -> None:
    """Record the stage durations and skipped stages of a search."""
    for stage, elapsed_s in result.timings_s:
        _STAGE_SECONDS.labels(stage).observe(elapsed_s)
    for step in result.degraded:
        _DEGRADED.labels(step.partition(":")[0]).inc()
