"""The gateway's numbers, registered once a process. Labels are bounded: tiers and outcomes, never a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10)

# The name that autoscalers of LiveKit agents look for; it has no prefix on purpose.
active_rooms = Gauge("livekit_active_rooms", "Rooms that an agent of this process serves.")
rooms_max = Gauge("hocket_media_gateway_rooms_max", "Rooms that this process may serve at once.")
jobs = Counter("hocket_media_gateway_jobs", "Jobs offered by LiveKit.", ["tenant_tier", "outcome"])
dispatches = Counter("hocket_media_gateway_dispatches", "Agents asked for.", ["cause"])
agents_missing = Counter("hocket_media_gateway_agents_missing", "Dispatches that brought no agent within the bound.")
agent_join_seconds = Histogram(
    "hocket_media_gateway_agent_join_seconds", "From a dispatch to the agent being in the room.", buckets=_SECONDS
)
webhooks = Counter("hocket_media_gateway_webhooks", "Webhooks received.", ["outcome"])
fail_open = Counter("hocket_media_gateway_fail_open", "Times a dependency was gone and work went on.", ["dependency"])
turns = Counter("hocket_media_gateway_turns", "Turns of conversation.", ["tenant_tier", "outcome"])
turn_seconds = Histogram(
    "hocket_media_gateway_turn_seconds",
    "From the end of the person's speech to the first sample of the answer, on the agent's clock.",
    ["tenant_tier"],
    buckets=_SECONDS,
)
degraded = Counter("hocket_media_gateway_degraded_turns", "Turns that went on without a part.", ["part"])
