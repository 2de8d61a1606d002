"""Metrics of this service, registered once a process. Limits are bounded by the table, tenants appear by tier alone."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DECISIONS = Counter(
    "hocket_ratelimit_decisions", "Decisions by limit, outcome and tier.", ["limit", "outcome", "tenant_tier"]
)
DEGRADED = Counter("hocket_ratelimit_degraded", "Answers given without Redis (fail open, bounded).", ["operation"])
REDIS_SECONDS = Histogram(
    "hocket_ratelimit_redis_duration_seconds",
    "Duration of calls to Redis.",
    ["command", "outcome"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.5, 1),
)
DEPENDENCY_UP = Gauge(
    "hocket_ratelimit_dependency_up", "Whether a dependency answered last (1) or not.", ["dependency"]
)
LEASES = Counter("hocket_ratelimit_leases", "Leases by limit and outcome.", ["limit", "outcome"])
COST_EVENTS = Counter("hocket_ratelimit_cost_events", "Cost events by outcome: recorded or duplicate.", ["outcome"])
COST_MICRO_USD = Counter("hocket_ratelimit_cost_micro_usd", "Booked price by kind and tier.", ["kind", "tenant_tier"])
