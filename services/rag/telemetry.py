"""Metrics of the rag service."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Counter

from hocket.chassis.errors import MeshError
from hocket.chassis.telemetry import LatencyHistogram
from services.rag.search.query import SearchResult

_QUERIES = Counter(
    "hocket_rag_queries",
    "Searches by outcome: answered, degraded (a stage was skipped), refused (wrong or over a limit), failed or"
    " cancelled; scale on its rate.",
    ["outcome"],
)
# Created here, so that an autoscaler finds a 0 before the first search.
_ANSWERED = _QUERIES.labels("answered")
_REFUSED_CODES = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}

_STAGE_SECONDS = LatencyHistogram(
    "hocket_rag_search_stage_seconds",
    "Duration of the stages of a search: embed, lexical, vector, fuse.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
_DEGRADED = Counter("hocket_rag_search_degraded_steps", "Stages of a search that were skipped.", ["stage"])
INGESTED = Counter(
    "hocket_rag_ingested_documents", "Ingested documents by outcome: stored, unchanged or refused.", ["outcome"]
)


@contextmanager
def counted_query() -> Generator[None, None, None]:
    """Count a search that raises; `count_search` counts the others."""
    try:
        yield
    except MeshError as error:
        _QUERIES.labels("refused" if error.code in _REFUSED_CODES else "failed").inc()
        raise
    except Exception:
        _QUERIES.labels("failed").inc()
        raise
    except BaseException:
        _QUERIES.labels("cancelled").inc()
        raise


def count_search(result: SearchResult) -> None:
    """Count a search that gave a result, its stage durations and its skipped stages."""
    (_QUERIES.labels("degraded") if result.degraded else _ANSWERED).inc()
    for stage, elapsed_s in result.timings_s:
        _STAGE_SECONDS.labels(stage).observe(elapsed_s)
    for step in result.degraded:
        _DEGRADED.labels(step.partition(":")[0]).inc()
