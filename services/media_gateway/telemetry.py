"""Prometheus metrics of the gateway. Labels are bounded: tiers, outcomes and service names, never a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10)

# Without hocket's prefix: autoscalers of LiveKit agents expect this name.
active_rooms = Gauge("livekit_active_rooms", "Rooms that agents of this process serve now.")
rooms_max = Gauge("hocket_media_gateway_rooms_max", "Rooms that this process may serve at once.")
jobs = Counter("hocket_media_gateway_jobs", "Jobs that LiveKit offered, by outcome.", ["tenant_tier", "outcome"])
dispatches = Counter("hocket_media_gateway_dispatches", "Agents dispatched, by cause.", ["cause"])
agents_missing = Counter(
    "hocket_media_gateway_agents_missing", "Dispatches after which no agent joined within agent_join_timeout_s."
)
agent_join_seconds = Histogram(
    "hocket_media_gateway_agent_join_seconds", "Time from a dispatch until the agent is in the room.", buckets=_SECONDS
)
webhooks = Counter("hocket_media_gateway_webhooks", "Webhooks received from LiveKit, by outcome.", ["outcome"])
fail_open = Counter(
    "hocket_media_gateway_fail_open", "Operations that went on without a dependency, by dependency.", ["dependency"]
)
turns = Counter("hocket_media_gateway_turns", "Turns of conversation, by outcome.", ["tenant_tier", "outcome"])
turn_seconds = Histogram(
    "hocket_media_gateway_turn_seconds",
    "Time from the end of the user's input to the first sample of the answer, on the agent's clock.",
    ["tenant_tier"],
    buckets=_SECONDS,
)
degraded = Counter(
    "hocket_media_gateway_degraded_turns", "Turns that went on without a service or store, by its name.", ["part"]
)
