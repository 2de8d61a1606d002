"""Prometheus counter of calls that were let through because the ratelimit service gave no decision.

Only servers import this module: prometheus_client comes with the `server` extra, and the clients work without it.
"""

from __future__ import annotations

from prometheus_client import Counter

# Label `operation`: the RPC of the ratelimit service, in snake case: check, acquire or get_costs.
limiter_unavailable = Counter(
    "hocket_limiter_unavailable",
    "Calls let through because the ratelimit service did not answer in time or answered with an error.",
    ["operation"],
)
