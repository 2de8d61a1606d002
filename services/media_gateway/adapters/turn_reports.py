"""Turns reported by the rooms' processes to the process whose metrics are scraped.

Over a Unix datagram socket: a report never blocks a turn, and one that is lost is missed in a histogram and nowhere
else. A process of its own per room has no port that a scraper could know.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from hocket.chassis.identity import TENANT_TIERS
from services.media_gateway import telemetry

_BYTES_MAX = 2048
_PARTS = frozenset({"llm_router", "speech", "rag", "vision", "backend", "ratelimit", "redis"})


class TurnReporter:
    """Sends reports from a room's process."""

    def __init__(self, path: str, tenant_tier: str) -> None:
        """Send to the socket at `path`; an empty one sends nothing."""
        self._path = path
        self._tenant_tier = tenant_tier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def report(self, facts: dict[str, Any]) -> None:
        """Send what metrics count of a turn: nothing of what was said."""
        if not self._path:
            return
        told = {
            "tenant_tier": self._tenant_tier,
            "outcome": "interrupted" if facts["interrupted"] else "degraded" if facts["degraded"] else "answered",
            "degraded": facts["degraded"],
            "e2e_ms": facts["timings_ms"].get("e2e"),
        }
        with contextlib.suppress(OSError):
            self._socket.sendto(json.dumps(told).encode(), self._path)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TurnReports(asyncio.DatagramProtocol):
    """Receives reports and counts them."""

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the protocol's signature
        """Count one turn."""
        if len(data) > _BYTES_MAX:
            return
        try:
            told: Any = json.loads(data)
            tier, outcome = str(told["tenant_tier"]), str(told["outcome"])
            parts, e2e_ms = list(told["degraded"]), told["e2e_ms"]
        except (ValueError, KeyError, TypeError):
            return
        if tier not in TENANT_TIERS:
            return
        telemetry.turns.labels(tier, outcome).inc()
        for part in _PARTS.intersection(parts):
            telemetry.degraded.labels(part).inc()
        if isinstance(e2e_ms, int | float):
            telemetry.turn_seconds.labels(tier).observe(e2e_ms / 1000)


async def listen(path: Path) -> asyncio.DatagramTransport:
    """Receive reports at `path` until the transport is closed."""
    loop = asyncio.get_running_loop()
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(0)
    receiver.bind(str(path))
    transport, _ = await loop.create_datagram_endpoint(TurnReports, sock=receiver)
    return transport
