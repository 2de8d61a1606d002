"""Metrics of the ratelimit service. Labels are bounded: limits by the limit table, tenants by their tier."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from hocket.chassis.telemetry import LatencyHistogram

DECISIONS = Counter(
    "hocket_ratelimit_decisions",
    "Decisions by limit, outcome (admitted or denied) and tenant tier.",
    ["limit", "outcome", "tenant_tier"],
)
DEGRADED = Counter(
    "hocket_ratelimit_degraded",
    "Decisions made by the local fallback because Redis did not answer.",
    ["operation"],
)
REDIS_SECONDS = LatencyHistogram(
    "hocket_ratelimit_redis_duration_seconds",
    "Duration of calls to Redis, by command and outcome (ok or failed).",
    ["command", "outcome"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.5, 1),
)
DEPENDENCY_UP = Gauge(
    "hocket_ratelimit_dependency_up",
    "1 if the last check of the dependency (redis or postgres) succeeded, else 0.",
    ["dependency"],
)
LEASES = Counter(
    "hocket_ratelimit_leases", "Leases by limit and outcome: granted, refused or degraded.", ["limit", "outcome"]
)
COST_EVENTS = Counter(
    "hocket_ratelimit_cost_events", "Cost events received, by outcome: recorded or duplicate.", ["outcome"]
)
COST_MICRO_USD = Counter(
    "hocket_ratelimit_cost_micro_usd", "Recorded cost in micro-USD, by kind and tenant tier.", ["kind", "tenant_tier"]
)


def expose_decisions(limits: Iterable[str]) -> None:
    """Expose a 0 for each limit, so that an autoscaler finds its metric before the first decision."""
    for limit in limits:
        DECISIONS.labels(limit, "admitted", "standard")
